//! Caveats as arguments.

use micronode_protocol::capability::caveat::Caveat;

/// A caveat that nodes do not understand holds for nothing, so that what has it is of no use.
pub(super) fn check(text: &str) -> Result<String, String> {
    match Caveat::parse(text.as_bytes()) {
        Some(_) => Ok(text.to_owned()),
        None => Err(
            "no node understands it; a caveat is a key, an operator and a value with one space \
             between each, such as 'op = get,head' or 'name ^ builds/'"
                .to_owned(),
        ),
    }
}
