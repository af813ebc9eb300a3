//! The one spelling of bytes as text: base64url without padding (RFC 4648, 5).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The text of `bytes`.
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes of `text`, at most `most` of them. `None` for foreign characters, padding, bits that
/// belong to no byte, or more bytes. Nothing is allocated for a text that is too long.
pub fn decode(text: &[u8], most: usize) -> Option<Vec<u8>> {
    if text.len() > (most * 8).div_ceil(6) {
        return None;
    }
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_4648_decode_and_encode() {
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
            assert_eq!(decode(text.as_bytes(), 8).as_deref(), Some(bytes), "{text}");
            assert_eq!(encode(bytes), text);
        }
    }

    #[test]
    fn another_spelling_is_refused() {
        for text in [
            "Zg==", "Zm9", "Zh", "Z", "Zm9vY", "+/+/", "Zm 9v", "Zm9v\n", "é",
        ] {
            assert_eq!(decode(text.as_bytes(), 100), None, "{text:?}");
        }
    }

    #[test]
    fn the_longest_fits_and_one_byte_more_does_not() {
        let digits = |bytes: usize| vec![b'A'; (bytes * 8).div_ceil(6)];
        for most in [0, 1, 2, 3, 8192] {
            let fits = decode(&digits(most), most).map(|bytes| bytes.len());
            assert_eq!(fits, Some(most));
            assert_eq!(decode(&digits(most + 1), most), None);
        }
    }
}
