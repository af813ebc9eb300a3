//! The object verbs as a script sees them: exit codes, stdout, and the files that are left.
#![allow(clippy::unwrap_used)]

#[path = "../../client/tests/fake/mod.rs"]
mod fake;

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use fake::{Node, Reply, answer, problem};
use micronode_protocol::Address;
use micronode_protocol::limits::{GROUP_BYTES, ONE_SHOT_BYTES};
use serde_json::{Value, json};

fn object(size: usize) -> Vec<u8> {
    (0..size)
        .map(|at| (at % 251) as u8 ^ (at / 65536) as u8)
        .collect()
}

/// Runs the binary in `directory` with `input`, off the thread that serves the node.
async fn run_in(directory: &Path, url: &str, args: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_micronode"));
    command
        .args(args)
        .current_dir(directory)
        .env_clear()
        .env("MICRO_URL", url);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let input = input.to_vec();
    let running = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().unwrap();
        // Fails where the verb does not read its input.
        let _ = writer.join().unwrap();
        output
    });
    running.await.unwrap()
}

async fn run(node: &Node, args: &[&str]) -> Output {
    run_in(Path::new("."), &node.url, args, b"").await
}

/// Every exit code but 0 comes with an error on stderr, and nothing else is ever there.
#[track_caller]
fn assert_exit(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}", stderr(output));
    assert_eq!(output.stderr.is_empty(), code == 0, "{}", stderr(output));
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

fn json_lines(output: &Output) -> Vec<Value> {
    stdout(output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn put_prints_one_address_alone_and_several_with_their_names() {
    let node = Node::honest().await;
    let directory = tempfile::tempdir().unwrap();
    let (a, b) = (object(10), object(2 * ONE_SHOT_BYTES));
    fs::write(directory.path().join("a"), &a).unwrap();
    fs::write(directory.path().join("b"), &b).unwrap();
    let (of_a, of_b) = (Address::of(&a), Address::of(&b));

    let one = run_in(directory.path(), &node.url, &["put", "a"], b"").await;
    assert_exit(&one, 0);
    assert_eq!(stdout(&one), format!("{of_a}\n"));

    let two = run_in(directory.path(), &node.url, &["put", "a", "b"], b"").await;
    assert_exit(&two, 0);
    assert_eq!(stdout(&two), format!("{of_a}  a\n{of_b}  b\n"));

    let lines = run_in(
        directory.path(),
        &node.url,
        &["put", "a", "b", "--json"],
        b"",
    )
    .await;
    assert_exit(&lines, 0);
    let line = |name, address: Address, size| {
        let address = address.to_string();
        json!({"address": address, "size": size, "name": name, "existed": true, "expires_at": null})
    };
    assert_eq!(
        json_lines(&lines),
        [line("a", of_a, a.len()), line("b", of_b, b.len())]
    );
}

#[tokio::test]
async fn one_file_that_cannot_be_put_does_not_stop_the_others() {
    let node = Node::honest().await;
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a"), b"a").unwrap();
    let output = run_in(directory.path(), &node.url, &["put", "missing", "a"], b"").await;
    assert_exit(&output, 1);
    assert_eq!(stdout(&output), format!("{}  a\n", Address::of(b"a")));
    assert!(stderr(&output).contains("missing: "), "{}", stderr(&output));
}

#[tokio::test]
async fn put_streams_standard_input_with_its_options() {
    let node = Node::honest().await;
    for size in [0, 5, 3 * ONE_SHOT_BYTES] {
        let input = object(size);
        let args = [
            "put",
            "-",
            "--expires-in",
            "10m",
            "--content-type",
            "text/plain",
        ];
        let output = run_in(Path::new("."), &node.url, &args, &input).await;
        assert_exit(&output, 0);
        assert_eq!(stdout(&output), format!("{}\n", Address::of(&input)));
        let request = node.requests().pop().unwrap();
        assert_eq!(request.header("expires-in"), Some("600000ms"));
        assert_eq!(request.header("content-type"), Some("text/plain"));
    }
}

/// The thread that waits for standard input cannot be interrupted; the process must not wait for
/// it when the node has already refused.
#[tokio::test]
async fn a_refused_put_ends_although_its_input_goes_on() {
    let node =
        Node::start(|_, _| Some(Reply::SendAndDiscard(problem(413, "body_too_large", &[])))).await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_micronode"));
    command
        .args(["put", "-"])
        .env_clear()
        .env("MICRO_URL", &node.url);
    command.stdin(Stdio::piped()).stderr(Stdio::piped());
    let running = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // Enough to be streamed; then the pipe stays open.
        let _ = stdin.write_all(&object(2 * ONE_SHOT_BYTES));
        let mut message = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut message)
            .unwrap();
        let code = child.wait().unwrap().code();
        drop(stdin);
        (code, message)
    });
    let ended = tokio::time::timeout(Duration::from_secs(10), running).await;
    let (code, message) = ended.unwrap().unwrap();
    assert_eq!(code, Some(4), "{message}");
}

#[tokio::test]
async fn get_writes_the_object_or_a_range_of_it() {
    let node = Node::honest().await;
    let directory = tempfile::tempdir().unwrap();
    let bytes = object(6 * ONE_SHOT_BYTES + 7);
    let address = node.objects.insert(&bytes).to_string();
    let get = async |args: &[&str]| {
        let args = [&["get", &address], args].concat();
        let output = run_in(directory.path(), &node.url, &args, b"").await;
        assert_exit(&output, 0);
        output
    };
    assert!(get(&[]).await.stdout == bytes);
    assert!(get(&["-o", "-"]).await.stdout == bytes);
    assert_eq!(get(&["--range", "1-2"]).await.stdout, bytes[1..=2]);
    assert_eq!(
        get(&["--range", "-3"]).await.stdout,
        bytes[bytes.len() - 3..]
    );
    assert_eq!(get(&["--range=6291460-"]).await.stdout, bytes[6_291_460..]);

    let file = directory.path().join("file");
    assert!(get(&["-o", "file"]).await.stdout.is_empty());
    assert!(fs::read(&file).unwrap() == bytes);
    let output = get(&["--json", "-o", "file", "--range", "70000-4999999"]).await;
    assert!(fs::read(&file).unwrap() == bytes[70_000..5_000_000]);
    let expected = json!({
        "address": address, "size": bytes.len(), "file": "file", "start": 70_000, "length": 4_930_000,
    });
    assert_eq!(json_lines(&output), [expected]);
    assert_eq!(
        fs::read_dir(directory.path()).unwrap().count(),
        1,
        "no part file stays"
    );
}

/// Renaming a finished download to `/dev/null` would replace the device for everyone.
#[tokio::test]
async fn a_device_is_written_to_and_not_replaced() {
    let node = Node::honest().await;
    let address = node.objects.insert(b"x").to_string();
    assert_exit(&run(&node, &["get", &address, "-o", "/dev/null"]).await, 0);
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

#[tokio::test]
async fn the_empty_object_is_an_empty_file() {
    let node = Node::honest().await;
    let directory = tempfile::tempdir().unwrap();
    let address = node.objects.insert(b"").to_string();
    let args = ["get", &address, "-o", "file"];
    assert_exit(&run_in(directory.path(), &node.url, &args, b"").await, 0);
    assert_eq!(fs::read(directory.path().join("file")).unwrap(), b"");
}

#[tokio::test]
async fn wrong_bytes_reach_neither_the_output_nor_stdout() {
    let bytes = object(3 * GROUP_BYTES);
    let mut wrong = bytes.clone();
    wrong[2 * GROUP_BYTES] ^= 1;
    let node = Node::start(move |request, _| {
        request
            .is_data()
            .then(|| Reply::Send(answer(200, &[], &wrong)))
    })
    .await;
    let address = node.objects.insert(&bytes).to_string();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, b"before").unwrap();

    let args = ["get", &address, "-o", "file"];
    assert_exit(&run_in(directory.path(), &node.url, &args, b"").await, 5);
    assert_eq!(fs::read(&file).unwrap(), b"before");
    let part = fs::read(directory.path().join("file.part")).unwrap();
    assert!(part[..2 * GROUP_BYTES] == bytes[..2 * GROUP_BYTES]);
    assert!(
        part[2 * GROUP_BYTES..] == [0; GROUP_BYTES],
        "nothing unverified was written"
    );

    let output = run(&node, &["get", &address]).await;
    assert_exit(&output, 5);
    assert!(bytes.starts_with(&output.stdout));
}

#[tokio::test]
async fn resume_fetches_only_what_is_missing_or_wrong() {
    let node = Node::honest().await;
    let directory = tempfile::tempdir().unwrap();
    let bytes = object(5 * GROUP_BYTES + 1);
    let address = node.objects.insert(&bytes).to_string();
    let mut part = bytes[..4 * GROUP_BYTES].to_vec();
    part[GROUP_BYTES] ^= 1;
    fs::write(directory.path().join("file.part"), &part).unwrap();
    let args = ["get", &address, "-o", "file", "--resume"];
    assert_exit(&run_in(directory.path(), &node.url, &args, b"").await, 0);
    assert!(fs::read(directory.path().join("file")).unwrap() == bytes);
    let requests = node.requests();
    let mut asked: Vec<_> = requests
        .iter()
        .filter_map(|request| request.header("range"))
        .collect();
    asked.sort_unstable();
    // In the order of text, which is not that of numbers.
    let expected = [(4, bytes.len() - 1), (1, 2 * GROUP_BYTES - 1)]
        .map(|(group, last)| format!("bytes={}-{last}", group * GROUP_BYTES));
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn an_interrupted_get_says_how_to_go_on_and_does() {
    let bytes = object(3 * GROUP_BYTES);
    // One group and a half, and nothing more when asked for the rest.
    let mut cut = answer(200, &[], &bytes);
    cut.truncate(cut.len() - 3 * GROUP_BYTES / 2);
    let breaking = Node::start(move |request, _| {
        request.is_data().then(|| match request.header("range") {
            None => Reply::SendAndClose(cut.clone()),
            Some(_) => Reply::Send(problem(400, "bad_request", &[])),
        })
    })
    .await;
    let address = breaking.objects.insert(&bytes).to_string();
    let directory = tempfile::tempdir().unwrap();
    let args = ["get", &address, "-o", "file", "--resume"];
    let output = run_in(directory.path(), &breaking.url, &args[..4], b"").await;
    assert_exit(&output, 1);
    assert!(stderr(&output).contains("--resume"), "{}", stderr(&output));
    assert!(!directory.path().join("file").exists());

    let healthy = Node::honest().await;
    healthy.objects.insert(&bytes);
    assert_exit(&run_in(directory.path(), &healthy.url, &args, b"").await, 0);
    assert!(fs::read(directory.path().join("file")).unwrap() == bytes);
    let asked = healthy.requests().pop().unwrap();
    let rest = format!("bytes={GROUP_BYTES}-{}", bytes.len() - 1);
    assert_eq!(asked.header("range"), Some(rest.as_str()));
}

#[tokio::test]
async fn has_and_rm_answer_with_lines_and_exit_codes() {
    let node = Node::honest().await;
    let there = node.objects.insert(b"there").to_string();
    let absent = Address::of(b"absent").to_string();

    let output = run(&node, &["has", &there]).await;
    assert_exit(&output, 0);
    assert_eq!(stdout(&output), format!("{there}  present\n"));
    let output = run(&node, &["has", "--json", &there, &absent]).await;
    assert_eq!(output.status.code(), Some(3));
    let line = |address: &str, present: bool| json!({"address": address, "present": present});
    assert_eq!(
        json_lines(&output),
        [line(&there, true), line(&absent, false)]
    );

    let output = run(&node, &["rm", &absent, &there]).await;
    assert_exit(&output, 3);
    assert_eq!(stdout(&output), format!("{there}  deleted\n"));
    assert_eq!(run(&node, &["has", &there]).await.status.code(), Some(3));
}

#[tokio::test]
async fn refusals_and_failures_have_their_exit_codes_and_hints() {
    let address = Address::of(b"x").to_string();
    for (status, code, exit, hint) in [
        (401, "unauthenticated", 4, "MICRO_TOKEN"),
        (403, "forbidden", 4, "MICRO_TOKEN"),
        (404, "not_found", 3, "expired"),
        (409, "pinned", 4, "names"),
        (413, "body_too_large", 4, "max_object"),
        (502, "integrity_fail", 5, "putting"),
    ] {
        let node = Node::start(move |_, _| Some(Reply::Send(problem(status, code, &[])))).await;
        for verb in ["get", "rm"] {
            let output = run(&node, &[verb, &address]).await;
            assert_exit(&output, exit);
            let stderr = stderr(&output);
            assert!(
                stderr.contains(hint) && stderr.contains(&address),
                "{stderr}"
            );
        }
    }
    // Longer than the client is ready to wait, so that it does not.
    let busy = Node::start(|_, _| {
        Some(Reply::Send(problem(
            503,
            "overloaded",
            &[("retry-after", "60")],
        )))
    })
    .await;
    let output = run(&busy, &["get", &address]).await;
    assert_exit(&output, 4);
    assert!(stderr(&output).contains("60 s"), "{}", stderr(&output));
}

/// The verbs know of no wire: what they print and leave over OAP is what they do over HTTP.
#[tokio::test]
async fn every_object_verb_does_the_same_over_oap() {
    let node = fake::oap::Node::honest().await;
    let directory = tempfile::tempdir().unwrap();
    let bytes = object(9 * 1024 * 1024 + 5);
    let address = Address::of(&bytes).to_string();
    fs::write(directory.path().join("file"), &bytes).unwrap();
    let run = async |args: &[&str], input: &[u8]| {
        let args = [&["--url", node.url.as_str()], args].concat();
        run_in(directory.path(), "http://127.0.0.1:1", &args, input).await
    };
    let there = |output: &Output| {
        assert_exit(output, 0);
        json_lines(output)[0]["expires_at"].clone()
    };

    let put = run(&["put", "file", "--json"], b"").await;
    assert_eq!(there(&put), Value::Null);
    let put = run(&["put", "file", "--json", "--expires-in", "1h"], b"").await;
    // It is there for ever already.
    assert_eq!(there(&put), Value::Null);
    let put = run(&["put", "-", "--json", "--expires-in", "1h"], b"brief").await;
    assert_eq!(there(&put), "2100-01-01T00:00:00.123Z");
    let put = run(&["put", "-"], &bytes[1..]).await;
    assert_exit(&put, 0);
    assert_eq!(stdout(&put), format!("{}\n", Address::of(&bytes[1..])));

    assert_exit(&run(&["has", &address], b"").await, 0);
    let part = run(&["get", &address, "--range", "70000-140000"], b"").await;
    assert_exit(&part, 0);
    assert!(part.stdout == bytes[70_000..=140_000]);
    fs::write(directory.path().join("copy.part"), &bytes[..5_000_000]).unwrap();
    let get = run(&["get", &address, "-o", "copy", "--resume"], b"").await;
    assert_exit(&get, 0);
    assert!(fs::read(directory.path().join("copy")).unwrap() == bytes);

    let rm = run(&["rm", &address], b"").await;
    assert_exit(&rm, 0);
    assert_eq!(stdout(&rm), format!("{address}  deleted\n"));
    for verb in ["get", "has", "rm"] {
        assert_eq!(run(&[verb, &address], b"").await.status.code(), Some(3));
    }

    let nobody = tokio::net::TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("oap://{}", nobody.local_addr().unwrap());
    let output = run_in(directory.path(), &url, &["has", &address], b"").await;
    assert_exit(&output, 1);
    assert!(stderr(&output).contains("--url"), "{}", stderr(&output));
}

#[tokio::test]
async fn wrong_usage_is_exit_code_2_and_asks_no_node() {
    let node = Node::honest().await;
    let address = Address::of(b"x").to_string();
    let upper = address.to_uppercase();
    for args in [
        &["get"][..],
        &["get", "neither address nor name"],
        &["get", &upper],
        &["get", &address, "--range", "2-1"],
        &["get", &address, "--resume"],
        &["get", &address, "--json"],
        &["get", &address, "--resume", "-o", "-"],
        &["put"],
        &["put", "-", "-"],
        &["put", "-", "--expires-in", "10"],
        &["has"],
        &["has", "b3:"],
        &["rm", "x"],
        &["--url", "ftp://127.0.0.1:1", "has", &address],
        &["--url", "oaps://127.0.0.1", "has", &address],
        &["--url", "oap://127.0.0.1", "has", &address],
        &["--url", "nonsense", "has", &address],
        &["completions", "nosuchshell"],
        &["config", "check", "--rps", "many"],
        &["nosuchverb"],
        &[],
    ] {
        assert_exit(&run(&node, args).await, 2);
    }
    assert!(node.requests().is_empty());

    let small = node.objects.insert(b"x").to_string();
    assert_exit(&run(&node, &["get", &small, "--range", "1-"]).await, 2);
}

#[tokio::test]
async fn completions_pages_and_configuration_are_printed() {
    let node = Node::honest().await;
    for (args, expected) in [
        (&["completions", "bash"][..], "_micronode()"),
        (&["man"], ".TH micronode 1"),
        (&["config", "print"], "rps = 500"),
        (&["config", "print", "--rps", "7"], "rps = 7"),
        (&["config", "print", "--json"], "\"rps\":{"),
        (&["--version"], "micronode 0."),
        (&["put", "--help"], "Examples:"),
    ] {
        let output = run(&node, args).await;
        assert_exit(&output, 0);
        assert!(
            stdout(&output).contains(expected),
            "{args:?}: {}",
            stdout(&output)
        );
    }
    assert_exit(&run(&node, &["config", "check"]).await, 0);

    let directory = tempfile::tempdir().unwrap();
    assert_exit(
        &run_in(directory.path(), &node.url, &["man", "--out", "."], b"").await,
        0,
    );
    for page in ["micronode.1", "micronode-put.1", "micronode-config-print.1"] {
        assert!(directory.path().join(page).exists(), "{page}");
    }
}

/// A token in the environment is sent, and is in no message even when it cannot be one.
#[tokio::test]
async fn the_token_is_sent_and_never_printed() {
    let node = Node::start(|_, _| Some(Reply::Send(problem(401, "unauthenticated", &[])))).await;
    let address = Address::of(b"x").to_string();
    for (token, exit) in [("s3cret\n", 4), ("s3cret two", 2)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_micronode"));
        command.args(["rm", &address]).env_clear();
        command
            .env("MICRO_URL", &node.url)
            .env("MICRO_TOKEN", token);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap();
        assert_exit(&output, exit);
        assert!(!stderr(&output).contains("s3cret"), "{}", stderr(&output));
    }
    let requests = node.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].header("authorization"), Some("Bearer s3cret"));
}
