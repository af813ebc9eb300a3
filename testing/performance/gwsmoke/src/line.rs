//! Lines that end with CR and LF, which HTTP/1.1, Redis, beanstalkd and NATS all speak in.

/// The line at the front of `bytes`, without its end; `None` while it is not whole. With its end it
/// is shorter than `most`.
///
/// # Errors
///
/// What is wrong with it: it is longer, or ends otherwise.
pub(crate) fn line(bytes: &[u8], most: usize) -> Result<Option<&[u8]>, &'static str> {
    let most_of_it = &bytes[..bytes.len().min(most)];
    match most_of_it.iter().position(|byte| *byte == b'\n') {
        Some(end) => match most_of_it[..end].strip_suffix(b"\r") {
            Some(line) => Ok(Some(line)),
            None => Err("a line does not end as one does"),
        },
        None if most_of_it.len() == most => Err("a line is too long"),
        None => Ok(None),
    }
}
