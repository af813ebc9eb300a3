//! What the verbs that talk to a node present: a token, or a grant to exchange for one.
//!
//! Neither is a flag, because every user of a machine can read the flags of its processes.

use std::env;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use micronode_client::{Grant, Token};
use micronode_protocol::limits::GRANT_BYTES;
use zeroize::Zeroizing;

use crate::failure::Failure;

const TOKEN: &str = "MICRO_TOKEN";
const GRANT: &str = "MICRO_GRANT";
/// As the variable of the flag `--grant-file`.
pub(super) const GRANT_FILE: &str = "MICRO_GRANT_FILE";

/// Bytes read of what should be a token or a grant, with room for white space around the longest.
const READ_BYTES: u64 = 2 * GRANT_BYTES as u64;

/// The token or the grant that a client shall have; `file` holds a grant.
pub(super) fn read(file: Option<&Path>) -> Result<(Option<Token>, Option<Grant>), Failure> {
    let token = variable(TOKEN)?;
    let grant = match (variable(GRANT)?, file) {
        (Some(_), Some(_)) => {
            let what = format!(
                "{GRANT} and a file with a grant (--grant-file, {GRANT_FILE}) are both set"
            );
            return Err(Failure::usage(what).or_hint("unset one of them"));
        }
        (Some(text), None) => Some((GRANT.to_owned(), text)),
        (None, Some(path)) => {
            let text = File::open(path).and_then(text);
            let text = text.map_err(|error| Failure::local(path.display(), &error))?;
            Some((path.display().to_string(), text))
        }
        (None, None) => None,
    };
    match (token, grant) {
        (Some(_), Some((place, _))) => Err(Failure::usage(format!(
            "{TOKEN} and a grant ({place}) are both set"
        ))
        .or_hint("unset one of them: a token is presented as it is, a grant is exchanged for one")),
        (Some(token), None) => {
            let token = Token::new(token.trim());
            let token = token.map_err(|error| Failure::usage(error.to_string()).about(TOKEN))?;
            Ok((Some(token), None))
        }
        (None, Some((place, grant))) => {
            let grant = Grant::new(grant.trim());
            let grant = grant.map_err(|error| Failure::usage(error.to_string()).about(place))?;
            Ok((None, Some(grant)))
        }
        (None, None) => Ok((None, None)),
    }
}

/// The text of a token or a grant that a verb is about: from its argument, standard input (`-`),
/// or the environment.
pub(super) fn subject(argument: Option<&str>) -> Result<Zeroizing<String>, Failure> {
    let text = match argument {
        Some("-") => {
            text(io::stdin().lock()).map_err(|error| Failure::local("standard input", &error))?
        }
        Some(text) => Zeroizing::new(text.to_owned()),
        None => variable(TOKEN)?.ok_or_else(|| {
            Failure::usage("there is no token").or_hint(format!(
                "set {TOKEN}, or give `-` and the token on standard input"
            ))
        })?,
    };
    Ok(Zeroizing::new(text.trim().to_owned()))
}

fn variable(name: &str) -> Result<Option<Zeroizing<String>>, Failure> {
    match env::var(name) {
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(Failure::usage(format!("{name} is not text"))),
    }
}

/// What is longer than [`READ_BYTES`] is cut, and then is neither token nor grant.
fn text(from: impl Read) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    from.take(READ_BYTES).read_to_string(&mut text)?;
    Ok(text)
}
