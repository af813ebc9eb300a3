//! A token as frames carry it: a token is text, base64url without padding, and a frame has its
//! bytes.

use micronode_protocol::limits::CAPABILITY_BYTES;

/// The bytes of a token. `None` if it is not in its one spelling (foreign characters, padding,
/// bits that belong to no byte), or longer than any.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for digits in text.chunks(4) {
        let mut bits = 0u32;
        for digit in digits {
            bits = bits << 6 | sextet(*digit)?;
        }
        let (count, spare) = match digits.len() {
            4 => (3, 0),
            3 => (2, 2),
            2 => (1, 4),
            _ => return None,
        };
        if bits & ((1 << spare) - 1) != 0 {
            return None;
        }
        bytes.extend_from_slice(&(bits >> spare).to_be_bytes()[4 - count..]);
    }
    (bytes.len() <= CAPABILITY_BYTES).then_some(bytes)
}

fn sextet(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_4648_decode() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("Zg", b"f"),
            ("Zm8", b"fo"),
            ("Zm9v", b"foo"),
            ("Zm9vYg", b"foob"),
            ("Zm9vYmE", b"fooba"),
            ("Zm9vYmFy", b"foobar"),
            ("-_-_", b"\xfb\xff\xbf"),
        ] {
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(bytes), "{text}");
        }
    }

    #[test]
    fn another_spelling_is_refused() {
        for text in [
            "Zg==", "Zm9", "Zh", "Z", "Zm9vY", "+/+/", "Zm 9v", "Zm9v\n", "é",
        ] {
            assert_eq!(decode(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn the_longest_capability_fits_and_one_byte_more_does_not() {
        let digits = |bytes: usize| vec![b'A'; (bytes * 8).div_ceil(6)];
        assert_eq!(
            decode(&digits(CAPABILITY_BYTES)).map(|bytes| bytes.len()),
            Some(CAPABILITY_BYTES)
        );
        assert_eq!(decode(&digits(CAPABILITY_BYTES + 1)), None);
    }
}
