//! `mbox` against a real node over both protocols.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, kill_process_group, prlimit};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};
use support::bench::{Bench, assert_exit};
use support::wait_until;

/// Sends a message; its id.
#[track_caller]
fn send(it: &Bench, queue: &str, body: &str) -> String {
    let output = it.run_with(&["mbox", "send", queue], body.as_bytes());
    assert_exit(&output, 0);
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

/// Messages of a queue: ready, leased and dead.
#[track_caller]
fn counts(it: &Bench, queue: &str) -> [u64; 3] {
    let stats = it.json(&["mbox", "stats", queue]);
    ["ready", "leased", "dead"].map(|state| stats[state].as_u64().unwrap())
}

/// An exit without a word: nothing went wrong.
#[track_caller]
fn assert_none(it: &Bench, arguments: &[&str]) {
    let output = it.run(arguments);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(output.stdout.is_empty() && output.stderr.is_empty());
}

#[test]
fn what_is_sent_is_received_and_gone_when_it_is_acknowledged() {
    for it in Bench::over_each_protocol() {
        let id = send(&it, "jobs", "one\n");
        fs::write(it.path("file"), b"two \0 bytes").unwrap();
        it.done(&["mbox", "send", "jobs", "file"]);
        let received = it.json(&["mbox", "recv", "jobs"]);
        assert_eq!(
            (&received["id"], &received["attempt"]),
            (&json!(id), &json!(1))
        );
        assert_eq!(received["body"], "b25lCg==");
        assert!(received["enqueued_at"].as_str().unwrap().ends_with('Z'));
        // Leased, so the next one comes.
        let body = it.done(&["mbox", "recv", "jobs", "--ack"]);
        assert_eq!(body, b"two \0 bytes");
        assert_none(&it, &["mbox", "recv", "jobs"]);
        assert_eq!(counts(&it, "jobs"), [0, 1, 0]);
        let receipt = received["receipt"].as_str().unwrap();
        let acked = it.line(&["mbox", "ack", "jobs", receipt]);
        assert_eq!(acked, format!("{receipt}  ok"));
        assert_eq!(counts(&it, "jobs"), [0, 0, 0]);
        for (receipt, code) in [(receipt, "late"), ("x", "unknown")] {
            let acked = it.run(&["mbox", "ack", "jobs", receipt, "--json"]);
            assert_eq!(acked.status.code(), Some(3));
            let verdict: Value = serde_json::from_slice(&acked.stdout).unwrap();
            let late_or_unknown = [json!(code), json!("unknown")];
            assert_eq!(verdict["receipt"], receipt);
            assert!(late_or_unknown.contains(&verdict["code"]), "{verdict}");
        }
    }
}

#[test]
fn several_messages_are_lines_of_json_and_nothing_else() {
    for it in Bench::over_each_protocol() {
        for body in ["1", "2", "3"] {
            send(&it, "jobs", body);
        }
        assert_exit(&it.run(&["mbox", "recv", "jobs", "--max", "2"]), 2);
        let received = it.line(&["mbox", "recv", "jobs", "--max", "9", "--json"]);
        let bodies: Vec<Value> = received
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["body"].take())
            .collect();
        assert_eq!(bodies, ["MQ==", "Mg==", "Mw=="]);
    }
}

#[test]
fn a_message_that_is_returned_comes_again_and_ends_among_the_dead() {
    for it in Bench::over_each_protocol() {
        send(&it, "jobs", "bad");
        for attempt in 1..=5 {
            let received = it.json(&["mbox", "recv", "jobs"]);
            assert_eq!(received["attempt"], attempt);
            let receipt = received["receipt"].as_str().unwrap();
            it.done(&["mbox", "nack", "jobs", receipt]);
        }
        assert_none(&it, &["mbox", "recv", "jobs"]);
        assert_eq!(counts(&it, "jobs"), [0, 0, 1]);
        assert_eq!(
            it.line(&["mbox", "redrive", "jobs", "--limit", "9"]),
            "1 moved, 0 left"
        );
        let received = it.json(&["mbox", "recv", "jobs"]);
        let receipt = received["receipt"].as_str().unwrap();
        it.done(&["mbox", "nack", "jobs", receipt, "--delay", "1h"]);
        assert_none(&it, &["mbox", "recv", "jobs"]);
        assert_eq!(it.json(&["mbox", "stats", "jobs"])["delayed"], 1);
        let purged = it.json(&["mbox", "purge", "jobs"]);
        assert_eq!(purged, json!({"queue": "jobs", "removed": 1}));
        for verb in ["stats", "purge", "redrive"] {
            assert_exit(&it.run(&["mbox", verb, "never"]), 3);
            assert_exit(&it.run(&["mbox", verb, "No Queue"]), 2);
        }
    }
}

#[test]
fn a_message_is_sent_once_under_its_key() {
    for it in Bench::over_each_protocol() {
        fs::write(it.path("one"), b"one").unwrap();
        fs::write(it.path("two"), b"two").unwrap();
        let send = |file| ["mbox", "send", "jobs", file, "--key", "k"];
        let first = it.json(&send("one"));
        let again = it.json(&send("one"));
        assert_eq!(
            (&first["duplicate"], &again["duplicate"]),
            (&json!(false), &json!(true))
        );
        assert_eq!(first["id"], again["id"]);
        assert_exit(&it.run(&send("two")), 4);
        assert_eq!(counts(&it, "jobs"), [1, 0, 0]);
        let delayed = ["mbox", "send", "later", "one", "--delay", "1h"];
        it.done(&delayed);
        assert_none(&it, &["mbox", "recv", "later"]);
        fs::write(it.path("large"), vec![0; 1024 * 1024 + 1]).unwrap();
        assert_exit(&it.run(&["mbox", "send", "jobs", "large"]), 4);
        assert_exit(&it.run(&["mbox", "send", "jobs", "missing"]), 1);
    }
}

#[test]
fn who_waits_gets_the_message_when_it_comes() {
    for it in Bench::over_each_protocol() {
        let started = Instant::now();
        assert_none(&it, &["mbox", "recv", "jobs", "--wait", "300ms"]);
        assert!(started.elapsed() >= Duration::from_millis(300));
        let waits = it.start(&["mbox", "recv", "jobs", "--wait", "20s", "--ack"]);
        // It is there by then, or the message is.
        std::thread::sleep(Duration::from_millis(300));
        send(&it, "jobs", "here\n");
        assert_eq!(waits.line(), "here");
    }
}

#[test]
fn a_command_deals_with_each_message_and_its_success_acknowledges_it() {
    for it in Bench::over_each_protocol() {
        let ids = ["one\n", "two\n", "bad\n"].map(|body| send(&it, "jobs", body));
        let command = "read -r body; echo \"$MICRO_QUEUE $MICRO_MESSAGE_ID $MICRO_ATTEMPT $body\"; \
            test \"$body\" != bad";
        let output = it.run(&["mbox", "recv", "jobs", "--exec", command, "--max", "3"]);
        assert_exit(&output, 1);
        let expected = [
            format!("jobs {} 1 one\n", ids[0]),
            format!("jobs {} 1 two\n", ids[1]),
            format!("jobs {} 1 bad\n", ids[2]),
        ];
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected.concat());
        // Back in its queue, and nothing else, where it rests for a second.
        assert_eq!(it.json(&["mbox", "stats", "jobs"])["delayed"], 1);
        let next = ["mbox", "recv", "jobs", "--exec", "cat", "--max", "1"];
        assert_none(&it, &next);
        assert_eq!(it.done(&[&next[..], &["--wait", "4s"]].concat()), b"bad\n");
        assert_eq!(counts(&it, "jobs"), [0, 0, 0]);
    }
}

/// A command that does not read its input must not fail for it, whatever the size.
#[test]
fn a_command_need_not_read_the_message() {
    for it in Bench::over_each_protocol() {
        fs::write(it.path("large"), vec![b'x'; 200 * 1024]).unwrap();
        it.done(&["mbox", "send", "jobs", "large"]);
        it.done(&["mbox", "recv", "jobs", "--exec", "true", "--max", "1"]);
        assert_eq!(counts(&it, "jobs"), [0, 0, 0]);
    }
}

#[test]
fn a_message_stays_its_commands_own_while_it_runs() {
    for it in Bench::over_each_protocol() {
        send(&it, "jobs", "slow");
        let command = "echo begun; sleep 4; echo ended";
        let exec = ["mbox", "recv", "jobs", "--exec", command];
        let works = it.start(&[&exec[..], &["--visibility", "2s", "--max", "1"]].concat());
        assert_eq!(works.line(), "begun");
        // Longer than its lease, and shorter than the command.
        assert_none(&it, &["mbox", "recv", "jobs", "--wait", "3s"]);
        assert_eq!(works.line(), "ended");
        wait_until("the message being acknowledged", || {
            counts(&it, "jobs") == [0, 0, 0]
        });
    }
}

/// Its end used to be noticed only when the node had answered, or not, to the last wish for a
/// longer lease.
#[test]
fn a_command_that_ends_is_not_waited_for_because_of_its_lease() {
    for it in Bench::over_each_protocol() {
        send(&it, "jobs", "1");
        let command = "echo $$; sleep 3";
        let exec = ["mbox", "recv", "jobs", "--exec", command];
        let mut works = it.start(&[&exec[..], &["--visibility", "300ms", "--max", "1"]].concat());
        let process = PathBuf::from("/proc").join(works.line());
        it.node.signal(Signal::STOP);
        wait_until("the command being reaped", || !process.exists());
        // Nor is it for the node to hold up somebody who is in a hurry.
        for signal in [Signal::INT, Signal::TERM] {
            kill_process(Pid::from_child(&works.child), signal).unwrap();
        }
        assert_eq!(works.exit(), Some(1));
    }
}

/// The interrupt key of a terminal signals all processes in front of it, and used to kill the
/// command, too; SIGTERM ended the worker alone, and the command went on without its message.
#[test]
fn a_signal_lets_the_command_end_and_begins_no_other() {
    let benches = Bench::over_each_protocol().into_iter();
    for (it, signal) in benches.zip([Signal::INT, Signal::TERM]) {
        send(&it, "jobs", "1");
        send(&it, "jobs", "2");
        let command = "echo begun; sleep 3; echo ended";
        let exec = ["mbox", "recv", "jobs", "--exec", command];
        // Shorter than the command, so that its lease is prolonged behind the signal, too.
        let mut works = it.start(&[&exec[..], &["--visibility", "2s"]].concat());
        assert_eq!(works.line(), "begun");
        kill_process_group(Pid::from_child(&works.child), signal).unwrap();
        assert_eq!(works.line(), "ended");
        assert_eq!(works.exit(), Some(0));
        assert_eq!(counts(&it, "jobs"), [1, 0, 0]);
    }
}

#[test]
fn a_signal_ends_who_waits_for_a_message() {
    for it in Bench::over_each_protocol() {
        for signal in [Signal::INT, Signal::TERM] {
            send(&it, "jobs", "1");
            let mut works = it.start(&["mbox", "recv", "jobs", "--exec", "echo done"]);
            assert_eq!(works.line(), "done");
            kill_process(Pid::from_child(&works.child), signal).unwrap();
            assert_eq!(works.exit(), Some(0));
        }
    }
}

#[test]
fn the_second_signal_kills_the_command_and_returns_the_message() {
    for it in Bench::over_each_protocol() {
        send(&it, "jobs", "1");
        let command = "echo begun; sleep 600 & wait; echo ended";
        let mut works = it.start(&["mbox", "recv", "jobs", "--exec", command]);
        assert_eq!(works.line(), "begun");
        for signal in [Signal::INT, Signal::TERM] {
            kill_process_group(Pid::from_child(&works.child), signal).unwrap();
        }
        // What the shell started holds stdout, too.
        works.assert_no_more_lines();
        assert_eq!(works.exit(), Some(1));
        assert_eq!(counts(&it, "jobs"), [1, 0, 0]);
    }
}

/// Used to be a failure of the message like any other: a misspelt command made dead letters of a
/// whole queue within seconds.
#[test]
fn a_command_that_is_not_there_ends_the_worker() {
    for it in Bench::over_each_protocol() {
        fs::write(it.path("no-program"), b"").unwrap();
        for (command, says) in [("./missing", "127"), ("./no-program", "126")] {
            send(&it, "jobs", "1");
            send(&it, "jobs", "2");
            let exec = ["mbox", "recv", "jobs", "--exec", command, "--max", "9"];
            let output = it.run(&exec);
            assert_exit(&output, 1);
            let error = String::from_utf8(output.stderr).unwrap();
            assert!(error.contains(says), "{error}");
            assert_eq!(counts(&it, "jobs"), [2, 0, 0]);
            it.done(&["mbox", "purge", "jobs"]);
        }
    }
}

/// The same where this host is out of something that a process needs.
#[test]
fn a_shell_that_cannot_be_started_ends_the_worker() {
    for it in Bench::over_each_protocol() {
        send(&it, "jobs", "1");
        let mut works = it.start(&["mbox", "recv", "jobs", "--exec", "echo done"]);
        assert_eq!(works.line(), "done");
        wait_until("the message being acknowledged", || {
            counts(&it, "jobs") == [0, 0, 0]
        });
        // Those that it has open stay so.
        let none = Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        prlimit(Some(Pid::from_child(&works.child)), Resource::Nofile, none).unwrap();
        send(&it, "jobs", "2");
        send(&it, "jobs", "3");
        assert_eq!(works.exit(), Some(1));
        assert_eq!(counts(&it, "jobs"), [2, 0, 0]);
    }
}

#[test]
fn a_tail_prints_and_acknowledges_what_comes() {
    for it in Bench::over_each_protocol() {
        send(&it, "log", "one");
        let tail = it.start(&["mbox", "tail", "log"]);
        assert_eq!(tail.line(), "one");
        send(&it, "log", "two\n");
        send(&it, "log", "three");
        assert_eq!((tail.line(), tail.line()), ("two".into(), "three".into()));
        wait_until("everything being acknowledged", || {
            counts(&it, "log") == [0, 0, 0]
        });
    }
}

/// What the node said of an acknowledgement was not looked at: who printed too slowly got
/// everything twice, and was never told why.
#[test]
fn who_prints_for_longer_than_the_lease_is_told() {
    for it in Bench::over_each_protocol() {
        fs::write(it.path("large"), vec![b'x'; 200 * 1024]).unwrap();
        for verb in [&["recv", "jobs", "--ack"][..], &["tail", "jobs"]] {
            it.done(&["mbox", "send", "jobs", "large"]);
            let mut prints = it.piped(&[&["mbox"], verb].concat());
            // It waits for somebody to read what it prints, until the message is no more its own.
            wait_until("the message being received", || {
                counts(&it, "jobs") == [0, 1, 0]
            });
            it.done(&["mbox", "purge", "jobs"]);
            let mut printed = vec![0; 200 * 1024];
            prints
                .stdout
                .take()
                .unwrap()
                .read_exact(&mut printed)
                .unwrap();
            let mut error = String::new();
            let mut stderr = BufReader::new(prints.stderr.take().unwrap());
            stderr.read_line(&mut error).unwrap();
            assert!(error.contains("its lease had ended"), "{error}");
            if verb[0] == "recv" {
                assert_eq!(prints.wait().unwrap().code(), Some(1));
            } else {
                prints.kill().unwrap();
                prints.wait().unwrap();
            }
        }
    }
}

/// Starts it and waits until it can print no more: three messages do not fit into its pipe.
fn stuck(it: &Bench, arguments: &[&str]) -> Child {
    fs::write(it.path("body"), vec![b'x'; 40 * 1024]).unwrap();
    for _ in 0..9 {
        it.done(&["mbox", "send", "log", "body"]);
    }
    let child = it.piped(arguments);
    let mut before = Vec::new();
    wait_until("it being stuck", || {
        std::thread::sleep(Duration::from_millis(300));
        let now = counts(it, "log").to_vec();
        let same = now == before && now[1] > 0;
        before = now;
        same
    });
    child
}

/// Ends what is stuck, and checks that it was in silence; its exit code.
#[track_caller]
fn end(mut child: Child, signal: Option<Signal>) -> Option<i32> {
    match signal {
        Some(signal) => kill_process(Pid::from_child(&child), signal).unwrap(),
        None => drop(child.stdout.take()),
    }
    wait_until("the command ending", || child.try_wait().unwrap().is_some());
    let mut error = String::new();
    let mut stderr = child.stderr.take().unwrap();
    stderr.read_to_string(&mut error).unwrap();
    assert_eq!(error, "");
    child.wait().unwrap().code()
}

const ENDS: [Option<Signal>; 3] = [None, Some(Signal::INT), Some(Signal::TERM)];

/// Of each message it had up to 32 more at hand, all of which had been delivered for nothing when
/// it ended: with few deliveries allowed, `tail | head -3` made dead letters of a queue.
#[test]
fn a_tail_that_ends_gives_back_what_it_did_not_print_and_took_no_more() {
    for it in Bench::over_each_protocol() {
        for ends in ENDS {
            let tail = stuck(&it, &["mbox", "tail", "log"]);
            let [ready, leased, _] = counts(&it, "log");
            assert_eq!(leased, 1, "{ready} ready");
            assert_eq!(end(tail, ends), Some(0), "{ends:?}");
            assert_eq!(counts(&it, "log"), [ready + 1, 0, 0], "{ends:?}");
            it.done(&["mbox", "purge", "log"]);
        }
    }
}

/// What was received and could not be printed stayed leased.
#[test]
fn what_was_received_and_not_printed_is_given_back() {
    for it in Bench::over_each_protocol() {
        for ends in ENDS {
            for (ack, printed_and_leased) in [(&["--ack"][..], 0), (&[], 1)] {
                let recv = ["mbox", "recv", "log", "--max", "5", "--json"];
                let recv = stuck(&it, &[&recv[..], ack].concat());
                assert_eq!(counts(&it, "log"), [4, 5, 0]);
                assert_eq!(end(recv, ends), Some(0), "{ends:?}");
                // The first of them fits into the pipe, and nothing behind it.
                assert_eq!(
                    counts(&it, "log"),
                    [8, printed_and_leased, 0],
                    "{ends:?} {ack:?}"
                );
                it.done(&["mbox", "purge", "log"]);
            }
        }
    }
}

/// It used to learn of it from the next message, which then had been delivered for nothing.
#[test]
fn a_tail_that_nobody_reads_any_more_ends_before_the_next_message() {
    for it in Bench::over_each_protocol() {
        send(&it, "log", "one\n");
        let mut tail = it.piped(&["mbox", "tail", "log"]);
        let mut line = [0; 4];
        let mut stdout = tail.stdout.take().unwrap();
        stdout.read_exact(&mut line).unwrap();
        drop(stdout);
        assert_eq!(end(tail, None), Some(0));
        assert_eq!(counts(&it, "log"), [0, 0, 0]);
    }
}

/// The advice was that for objects: to raise a limit that has nothing to do with messages, or that a
/// queue may have been deleted.
#[test]
fn what_fails_of_a_queue_comes_with_advice_for_queues() {
    for it in Bench::over_each_protocol() {
        fs::write(it.path("large"), vec![0; 300_000]).unwrap();
        for (arguments, code, hint) in [
            (&["send", "q", "large"][..], 4, "limits.mailbox.max_body"),
            (&["stats", "nosuch"], 3, "once it is sent to"),
            (&["purge", "nosuch"], 3, "once it is sent to"),
        ] {
            let output = it.run(&[&["mbox"], arguments].concat());
            assert_exit(&output, code);
            let error = String::from_utf8(output.stderr).unwrap();
            assert!(error.contains(hint), "{error}");
        }
    }
}

/// It was told of a lease that had ended, and to ask for a longer one.
#[test]
fn a_command_whose_message_was_purged_is_told_what_may_have_happened() {
    for it in Bench::over_each_protocol() {
        send(&it, "jobs", "1");
        let command = "mkfifo end; echo; read -r end < end";
        let exec = ["mbox", "recv", "jobs", "--max", "1", "--exec", command];
        let mut works = it.piped(&exec);
        let mut line = [0];
        works
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut line)
            .unwrap();
        it.done(&["mbox", "purge", "jobs"]);
        fs::write(it.path("end"), "\n").unwrap();
        let output = works.wait_with_output().unwrap();
        assert_exit(&output, 1);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("purged or the node restarted"), "{error}");
    }
}

/// The node was asked, and what it said was exit code 1, as if to try again might help.
#[test]
fn what_no_node_could_do_is_wrong_usage() {
    for it in Bench::over_each_protocol() {
        for (arguments, says) in [
            (&["send", "q.dlq", "/dev/null"][..], "redrive"),
            (&["send", "q", "/dev/null", "--delay", "8d"], "7 days"),
            (&["recv", "q", "--visibility", "13h"], "12 hours"),
            (&["nack", "q", "r", "--delay", "8d"], "7 days"),
            (&["redrive", "q.dlq"], "without"),
        ] {
            let output = it.run(&[&["mbox"], arguments].concat());
            assert_exit(&output, 2);
            let error = String::from_utf8(output.stderr).unwrap();
            assert!(error.contains(says), "{arguments:?}: {error}");
        }
    }
}
