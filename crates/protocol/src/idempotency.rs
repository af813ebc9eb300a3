//! What an idempotency key is. The one place that knows: clients and nodes ask here.

use crate::limits::IDEMPOTENCY_KEY_BYTES;

/// Whether this is an idempotency key: printable ASCII, spaces too. None at its ends, where HTTP
/// takes them away and another key would be left.
pub fn is_idempotency_key(text: &str) -> bool {
    (1..=IDEMPOTENCY_KEY_BYTES).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        && text.trim_ascii() == text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_printable_and_the_same_over_every_wire() {
        for key in ["k", "order 7", "~!\"#", &"k".repeat(IDEMPOTENCY_KEY_BYTES)] {
            assert!(is_idempotency_key(key), "{key:?}");
        }
        for other in [
            "",
            " ",
            " k",
            "k ",
            "a\tb",
            "a\r\nb",
            "k\x7f",
            "é",
            &"k".repeat(IDEMPOTENCY_KEY_BYTES + 1),
        ] {
            assert!(!is_idempotency_key(other), "{other:?}");
        }
    }
}
