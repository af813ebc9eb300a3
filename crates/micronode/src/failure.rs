//! How a verb fails: what was wrong, what to do about it, and the exit code that a script sees.

use std::io::{self, IsTerminal, Write};
use std::{env, fmt};

use micronode_client::{Error, Integrity, Problem, TransportError};
use micronode_protocol::ErrorCode;

const IDEMPOTENCY_MISMATCH: &str = ErrorCode::IdempotencyMismatch.as_str();
const QUOTA_EXCEEDED: &str = ErrorCode::QuotaExceeded.as_str();

/// Exit codes of the process. Their numbers are a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Done = 0,
    /// Anything that no other code names.
    Failed = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    NotFound = 3,
    /// The node said no, for want of authority or because of a limit.
    Refused = 4,
    /// Bytes that do not match their address.
    Integrity = 5,
}

impl Exit {
    /// Reports the failure of one of several things that a verb does and goes on: the first
    /// failure decides.
    pub(crate) fn then(self, failure: &Failure) -> Self {
        failure.report();
        if self == Exit::Done {
            failure.exit
        } else {
            self
        }
    }
}

/// A failure to report.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// What was wrong.
    what: String,
    /// What to do about it, where there is something to say.
    hint: Option<String>,
    /// Nobody reads what is written any more.
    reader_gone: bool,
}

impl Failure {
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Failure {
            exit,
            what: what.into(),
            hint: None,
            reader_gone: false,
        }
    }

    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// A failed operation of this host on `subject`.
    pub(crate) fn local(subject: impl fmt::Display, error: &io::Error) -> Self {
        Failure {
            reader_gone: error.kind() == io::ErrorKind::BrokenPipe,
            ..Self::new(Exit::Failed, format!("{subject}: {error}"))
        }
    }

    /// For what only prints: whoever reads the beginning of it, as `head` does, has what they want.
    pub(crate) fn unless_reader_gone(self) -> Result<Exit, Self> {
        if self.reader_gone {
            Ok(Exit::Done)
        } else {
            Err(self)
        }
    }

    /// Says what the failure is about.
    pub(crate) fn about(mut self, subject: impl fmt::Display) -> Self {
        self.what = format!("{subject}: {}", self.what);
        self
    }

    /// Says what to do, unless something more specific is known.
    pub(crate) fn or_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// Says what to do in this case, whatever is known of others.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Writes the failure to stderr; a stderr that is gone changes nothing.
    pub(crate) fn report(&self) {
        let stderr = io::stderr();
        let coloured =
            stderr.is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let (red, plain) = if coloured {
            ("\x1b[1;31m", "\x1b[0m")
        } else {
            ("", "")
        };
        let mut text = format!("{red}error:{plain} {}\n", self.what);
        if let Some(hint) = &self.hint {
            text.push_str(&format!("  hint: {hint}\n"));
        }
        let _ = stderr.lock().write_all(text.as_bytes());
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let hint = hint(&error);
        let mut what = error.to_string();
        if let Error::Problem(problem) = &error
            && let Some(corr_id) = &problem.corr_id
        {
            what.push_str(&format!(" (corr_id {corr_id})"));
        }
        Failure {
            hint,
            ..Failure::new(exit(&error), what)
        }
    }
}

fn exit(error: &Error) -> Exit {
    match error {
        Error::Problem(problem) => match problem.status {
            404 => Exit::NotFound,
            422 if problem.code.as_deref() == Some(IDEMPOTENCY_MISMATCH) => Exit::Refused,
            // The node hashed the upload and found another address.
            422 => Exit::Integrity,
            400 | 405 | 500 => Exit::Failed,
            _ => Exit::Refused,
        },
        Error::Grant(error) => exit(error),
        Error::Integrity(_) => Exit::Integrity,
        Error::InvalidUrl { .. }
        | Error::TokenNotBase64
        | Error::InvalidTls(_)
        | Error::InvalidContentType(_)
        | Error::Invalid { .. }
        | Error::RangeUnsatisfiable { .. } => Exit::Usage,
        _ => Exit::Failed,
    }
}

fn hint(error: &Error) -> Option<String> {
    let hint = match error {
        Error::Problem(problem) => return problem_hint(problem),
        Error::Grant(error) => match error.status() {
            Some(401) => {
                "does the node know the issuer (`issuers`), and not deny it (`auth.deny`)?"
            }
            Some(403) => {
                "the grant has ended, is not valid yet, or is for another node: see `micronode token inspect`"
            }
            _ => return hint(error),
        },
        Error::Integrity(Integrity::Upload { .. }) => {
            "the bytes changed on their way; put them again"
        }
        Error::Integrity(_) => {
            "nothing that failed verification was kept; putting the object again heals a node's copy"
        }
        Error::Transport(TransportError::Connect(_)) => {
            "is the node running, and is this its port for the protocol? The URL comes from --url or MICRO_URL"
        }
        Error::Tls(_) => {
            "--ca names the authority of the node's certificate, --pin its key, --client-cert and --client-key what the node asks for"
        }
        Error::InvalidUrl { .. } => {
            "set --url or MICRO_URL, for example http://127.0.0.1:8080 or oap://127.0.0.1:8081"
        }
        Error::TokenNotBase64 => "set MICRO_TOKEN to a token as a node or an issuer printed it",
        _ => return None,
    };
    Some(hint.to_owned())
}

fn problem_hint(problem: &Problem) -> Option<String> {
    let code = problem.code.as_deref().unwrap_or_default();
    let hint = match problem.status {
        _ if code == IDEMPOTENCY_MISMATCH => {
            "another message was sent under this key; each message has a key of its own"
        }
        _ if code == QUOTA_EXCEEDED => {
            "what is there has to go first: see `micronode mbox stats`, and the node's limits"
        }
        401 => {
            "set MICRO_TOKEN to a token of this node, or MICRO_GRANT to a grant of an issuer that it knows"
        }
        403 => "MICRO_TOKEN, or the grant, does not allow this or has ended; ask for one that does",
        404 => "it was never there, has expired, or was deleted",
        409 => "remove the names that point at the object first: see `micronode name ls`",
        412 => "somebody was faster: see `micronode name get`, and decide again",
        413 => "the node's limits.max_object bounds the size of objects",
        422 => "the file changed while it was being uploaded; put it again",
        429 | 503 => match problem.retry_after {
            Some(wait) => {
                return Some(format!(
                    "the node asks to wait {} s before trying again",
                    wait.as_secs()
                ));
            }
            None => "the node is busy; try again later",
        },
        _ => return None,
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn problem(status: u16) -> Error {
        Error::Problem(Box::new(Problem {
            status,
            code: None,
            detail: None,
            retryable: false,
            corr_id: Some("id-1".into()),
            retry_after: None,
        }))
    }

    #[test]
    fn every_kind_of_answer_has_its_exit_code() {
        for (status, expected) in [
            (400, Exit::Failed),
            (401, Exit::Refused),
            (403, Exit::Refused),
            (404, Exit::NotFound),
            (408, Exit::Refused),
            (409, Exit::Refused),
            (412, Exit::Refused),
            (413, Exit::Refused),
            (415, Exit::Refused),
            (422, Exit::Integrity),
            (429, Exit::Refused),
            (500, Exit::Failed),
            (503, Exit::Refused),
            (504, Exit::Refused),
        ] {
            assert_eq!(Failure::from(problem(status)).exit, expected, "{status}");
        }
        let stored = Error::from(Integrity::Stored { detail: None });
        assert_eq!(Failure::from(stored).exit, Exit::Integrity);
        assert_eq!(
            Failure::from(Error::from(TransportError::Truncated)).exit,
            Exit::Failed
        );
        for usage in [Error::RangeUnsatisfiable { size: 1 }, Error::TokenNotBase64] {
            assert_eq!(Failure::from(usage).exit, Exit::Usage);
        }
    }

    #[test]
    fn the_subject_leads_and_the_correlation_id_can_be_quoted() {
        let failure = Failure::from(problem(401))
            .about("file")
            .or_hint("not this one");
        assert_eq!(
            failure.what,
            "file: the node answered 401 Unauthorized (corr_id id-1)"
        );
        let hint = failure.hint.unwrap();
        assert!(
            hint.contains("MICRO_TOKEN") && hint.contains("MICRO_GRANT"),
            "{hint}"
        );
    }
}
