//! Correlation ids: taken from `X-Corr-ID`, else from `traceparent`, else made up; always
//! returned, so that a client and the node can speak of the same request.

use http::{HeaderMap, HeaderValue};
use micronode_protocol::limits::CORR_ID_CHARS;
use std::cell::Cell;

pub(crate) const X_CORR_ID: &str = "x-corr-id";

/// The id of one request: printable ASCII, at most [`CORR_ID_CHARS`] characters.
pub(crate) fn of(headers: &HeaderMap) -> HeaderValue {
    if let Some(given) = headers
        .get(X_CORR_ID)
        .filter(|value| acceptable(value.as_bytes()))
    {
        return given.clone();
    }
    if let Some(trace) = headers
        .get("traceparent")
        .and_then(|value| trace_id(value.as_bytes()))
    {
        return HeaderValue::from_bytes(trace).expect("hex digits are a field value");
    }
    made_up()
}

fn acceptable(id: &[u8]) -> bool {
    (1..=CORR_ID_CHARS).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

/// The trace id of a W3C `traceparent`: `version "-" 32 hex "-" 16 hex "-" 2 hex`, version not
/// `ff`, ids not all zero; later versions may append fields.
fn trace_id(value: &[u8]) -> Option<&[u8]> {
    let mut fields = value.split(|&byte| byte == b'-');
    let (version, trace, parent, flags) = (
        fields.next()?,
        fields.next()?,
        fields.next()?,
        fields.next()?,
    );
    let hex = |field: &[u8], len| {
        field.len() == len
            && field
                .iter()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let valid = hex(version, 2)
        && version != b"ff"
        && (version != b"00" || fields.next().is_none())
        && hex(trace, 32)
        && hex(parent, 16)
        && hex(flags, 2)
        && trace.iter().any(|&byte| byte != b'0')
        && parent.iter().any(|&byte| byte != b'0');
    valid.then_some(trace)
}

/// 16 hex digits, different for each request of a process and unlikely to meet again in another.
pub(crate) fn made_up() -> HeaderValue {
    thread_local! {
        static NEXT: Cell<u64> = Cell::new(getrandom::u64().unwrap_or(0));
    }
    // An odd stride walks all 2^64 values before one repeats.
    let id = NEXT.with(|next| next.replace(next.get().wrapping_add(0x9e37_79b9_7f4a_7c15)));
    let mut text = [0; 16];
    for (index, digit) in text.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(id >> (60 - 4 * index)) as usize & 0xf];
    }
    HeaderValue::from_bytes(&text).expect("hex digits are a field value")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &'static str, value: &str) -> String {
        let headers = HeaderMap::from_iter([(
            http::HeaderName::from_static(name),
            value.parse().expect("a value"),
        )]);
        of(&headers).to_str().expect("text").to_owned()
    }

    #[test]
    fn a_printable_id_of_at_most_64_characters_is_kept() {
        let longest = "x".repeat(CORR_ID_CHARS);
        assert_eq!(id(X_CORR_ID, &longest), longest);
        for refused in ["", "two words", &"x".repeat(CORR_ID_CHARS + 1)] {
            assert_eq!(id(X_CORR_ID, refused).len(), 16, "{refused}");
        }
    }

    #[test]
    fn a_valid_traceparent_gives_its_trace_id() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        assert_eq!(
            id("traceparent", &format!("00-{trace}-b7ad6b7169203331-01")),
            trace
        );
        assert_eq!(
            id(
                "traceparent",
                &format!("01-{trace}-b7ad6b7169203331-01-later")
            ),
            trace
        );
        for bad in [
            "00-{t}-b7ad6b7169203331-01-x",
            "ff-{t}-b7ad6b7169203331-01",
            "00-{t}-0000000000000000-01",
            "00-{t}",
        ] {
            assert_eq!(
                id("traceparent", &bad.replace("{t}", trace)).len(),
                16,
                "{bad}"
            );
        }
    }

    #[test]
    fn made_up_ids_differ() {
        assert_ne!(made_up(), made_up());
    }
}
