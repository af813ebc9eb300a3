//! Watching system calls, or answering them in the kernel's place, with strace.

use crate::support::Node;
use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Set where it is known to be there: without it, these tests then fail.
const REQUIRE: &str = "MICRONODE_REQUIRE_STRACE";

/// Whether processes may be traced here. If not, says so past the harness, which would keep it
/// back.
pub(crate) fn is_there() -> bool {
    let traced = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .output();
    let is_there = traced.is_ok_and(|run| run.status.success());
    if !is_there {
        let missing = "strace cannot trace here: install it (`apt-get install strace`), and let it";
        assert!(std::env::var_os(REQUIRE).is_none(), "{missing}");
        let told = writeln!(std::io::stderr(), "NOT TESTED with strace: {missing}");
        told.unwrap();
    }
    is_there
}

/// `command` under strace with `options`. The process that is started is the command's own and
/// not strace, which goes when that ends.
pub(crate) fn under(options: &[&str], command: &Command) -> Command {
    let mut strace = Command::new("strace");
    strace
        .args(["-D", "-f", "-qq"])
        .args(options)
        .arg(command.get_program())
        .args(command.get_args())
        // strace itself asks where things are.
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    strace
}

/// A node for which landlock_create_ruleset(2) ends as `outcome` says, the first time or always.
pub(crate) fn node_whose_kernel(outcome: &str, stderr: Stdio) -> Node {
    let inject = format!("inject=landlock_create_ruleset:{outcome}");
    let options = ["-o", "/dev/null", "-e", "trace=landlock_create_ruleset"];
    let options = [&options[..], &["-e", &inject]].concat();
    let mut command = under(&options, &Node::command(&["--rps", "0"]));
    command.stderr(stderr);
    Node::spawn(command)
}

/// One system call that has returned.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// With the parentheses taken off.
    pub(crate) arguments: String,
    /// As strace shows it: a number, or -1 and why.
    pub(crate) result: String,
}

impl Call {
    pub(crate) fn has_failed(&self) -> bool {
        self.result.starts_with('-') || self.result.starts_with('?')
    }

    /// Whether it has changed a file system, or opened a file so that it could.
    pub(crate) fn writes(&self) -> bool {
        const CHANGING: [&str; 28] = [
            "creat",
            "rename",
            "renameat",
            "renameat2",
            "link",
            "linkat",
            "symlink",
            "symlinkat",
            "mkdir",
            "mkdirat",
            "mknod",
            "mknodat",
            "unlink",
            "unlinkat",
            "rmdir",
            "truncate",
            "ftruncate",
            "fallocate",
            "chmod",
            "fchmod",
            "fchmodat",
            "chown",
            "fchown",
            "lchown",
            "fchownat",
            "setxattr",
            "utimensat",
            "copy_file_range",
        ];
        const OPENING: [&str; 3] = ["open", "openat", "openat2"];
        const FOR_WRITING: [&str; 6] = [
            "O_WRONLY",
            "O_RDWR",
            "O_CREAT",
            "O_TRUNC",
            "O_APPEND",
            "O_TMPFILE",
        ];
        if self.has_failed() {
            return false;
        }
        let opens = OPENING.contains(&&*self.name);
        let is_for_writing = FOR_WRITING.iter().any(|flag| self.arguments.contains(flag));
        CHANGING.contains(&&*self.name) || opens && is_for_writing
    }
}

/// What to watch for [`Call::writes`], and where things begin.
pub(crate) const WATCHED: &str = "trace=%file,?ftruncate,?fallocate,?fchmod,?fchown,?copy_file_range,\
                           ?clone,?clone3,connect,bind,?landlock_restrict_self";

/// The calls in a file that strace has written with `-f -o`, in the order of their ends.
pub(crate) fn calls(file: &Path) -> Vec<Call> {
    let text = String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned();
    let mut unfinished = HashMap::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let Some((process, line)) = line.split_once(' ') else {
            continue;
        };
        let (process, line) = (process.parse::<u32>().unwrap(), line.trim_start());
        if let Some(begun) = line.strip_suffix("<unfinished ...>") {
            unfinished.insert(process, begun.to_owned());
            continue;
        }
        let whole = match line.strip_prefix("<... ") {
            None => line.to_owned(),
            Some(rest) => {
                let (_, rest) = rest.split_once("resumed>").unwrap();
                unfinished.remove(&process).unwrap_or_default() + rest
            }
        };
        let call = whole.split_once('(').zip(whole.rsplit_once(" = "));
        // Anything else is a signal, or an end.
        let Some(((name, arguments), (_, result))) = call else {
            continue;
        };
        let arguments = arguments.rsplit_once(" = ").unwrap_or((arguments, "")).0;
        calls.push(Call {
            name: name.to_owned(),
            arguments: arguments.trim_end().trim_end_matches(')').to_owned(),
            result: result.to_owned(),
        });
    }
    calls
}
