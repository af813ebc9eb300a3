//! The fields of the operations on objects.
//!
//! Addresses are their 32 bytes; times are Unix milliseconds, 0 for none.

use std::ops::Range;

use super::fields::{FieldsError, fields, flag};
use crate::Address;
use crate::limits::{HAS_ADDRESSES, MEDIA_TYPE_BYTES};

fields! {
    /// Of an *object get*: an address and a part of the object.
    GetRequest {
        /// The object.
        address: Address as address,
        /// Where the part begins, in bytes.
        offset: u64 as u64,
        /// Bytes of the part; 0 for all that follow.
        length: u64 as u64,
    }

    /// In front of the bytes of an object, or of a part of it.
    GetReply<'a> {
        /// Bytes of the whole object.
        size: u64 as u64,
        /// Where in it the bytes begin.
        offset: u64 as u64,
        /// When it expires.
        expires_ms: u64 as u64,
        /// Its media type.
        media_type: &'a str as media_type,
    }

    /// In front of the bytes of an object to store.
    PutRequest<'a> {
        /// The address that the bytes must hash to; on the wire, zeros for none.
        expected: Option<Address> as optional_address,
        /// Time to live from the end of the upload, in milliseconds; 0 for none.
        ttl_ms: u64 as u64,
        /// The media type to keep; empty for none.
        media_type: &'a str as media_type,
    }

    /// What became of an upload.
    PutReply {
        /// Where the object is.
        address: Address as address,
        /// Its size in bytes.
        size: u64 as u64,
        /// It was there already.
        existed: bool as flag,
    }

    /// What an object is, without its bytes.
    HeadReply<'a> {
        /// Bytes of the object.
        size: u64 as u64,
        /// When it expires.
        expires_ms: u64 as u64,
        /// Its media type.
        media_type: &'a str as media_type,
    }
}

impl GetRequest {
    /// Bytes of the fields.
    pub const BYTES: usize = 48;

    /// See [`resolve`].
    pub fn resolve(&self, size: u64) -> Option<(bool, Range<u64>)> {
        resolve(self.offset, self.length, size)
    }
}

/// The bytes asked for of an object of `size` bytes: whether they are a part that was asked for as
/// such, and which. `None` when the object has none of them: the rule of HTTP for one range.
pub fn resolve(offset: u64, length: u64, size: u64) -> Option<(bool, Range<u64>)> {
    if offset == 0 && length == 0 {
        return Some((false, 0..size));
    }
    let end = match length {
        0 => size,
        length => offset.saturating_add(length).min(size),
    };
    (offset < size).then_some((true, offset..end))
}

impl PutRequest<'_> {
    /// Most bytes of the fields.
    pub const BYTES_MAX: usize = 32 + 8 + 2 + MEDIA_TYPE_BYTES;
}

impl PutReply {
    /// Bytes of the fields.
    pub const BYTES: usize = 41;
}

/// The addresses of an *object has*, at most [`HAS_ADDRESSES`].
///
/// # Errors
///
/// If there are more, or the payload does not consist of whole ones.
pub fn decode_addresses(payload: &[u8]) -> Result<Vec<Address>, FieldsError> {
    let (addresses, rest) = payload.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(FieldsError::Truncated);
    }
    if addresses.len() > HAS_ADDRESSES {
        return Err(FieldsError::TooLong);
    }
    Ok(addresses.iter().copied().map(Address::from_bytes).collect())
}

/// The answers to an *object has*: one byte for each address, 0 or 1.
///
/// # Errors
///
/// If one is something else.
pub fn decode_presence(payload: &[u8]) -> Result<Vec<bool>, FieldsError> {
    payload.iter().copied().map(flag).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fields::check_fields;
    use super::*;

    #[test]
    fn parts_resolve_as_a_range_of_http_does() {
        assert_eq!(resolve(0, 0, 10), Some((false, 0..10)));
        assert_eq!(resolve(0, 0, 0), Some((false, 0..0)));
        assert_eq!(resolve(0, 10, 10), Some((true, 0..10)));
        assert_eq!(resolve(9, 0, 10), Some((true, 9..10)));
        assert_eq!(resolve(9, u64::MAX, 10), Some((true, 9..10)));
        assert_eq!(resolve(10, 0, 10), None);
        assert_eq!(resolve(0, 1, 0), None);
    }

    #[test]
    fn a_media_type_has_a_cap_and_is_text() {
        let fields =
            |length: u16, text: &[u8]| [&[0; 40][..], &length.to_be_bytes(), text].concat();
        let longest = fields(255, &[b'x'; 255]);
        assert_eq!(longest.len(), PutRequest::BYTES_MAX);
        assert!(matches!(PutRequest::parse(&longest), Ok(Some((_, 297)))));
        let too_long = fields(256, b"");
        assert_eq!(PutRequest::parse(&too_long), Err(FieldsError::TooLong));
        let not_text = fields(1, &[0xff]);
        assert_eq!(PutRequest::parse(&not_text), Err(FieldsError::Text));
    }

    #[test]
    fn addresses_are_whole_and_not_too_many() {
        let most = vec![7; 32 * HAS_ADDRESSES];
        let count = decode_addresses(&most).map(|addresses| addresses.len());
        assert_eq!(count, Ok(HAS_ADDRESSES));
        let over = vec![7; 32 * (HAS_ADDRESSES + 1)];
        assert_eq!(decode_addresses(&over), Err(FieldsError::TooLong));
        assert_eq!(decode_addresses(&[7; 33]), Err(FieldsError::Truncated));
        assert_eq!(decode_addresses(&[]), Ok(Vec::new()));
        assert_eq!(decode_presence(&[0, 1]), Ok(vec![false, true]));
        assert_eq!(decode_presence(&[2]), Err(FieldsError::Value));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_less_asks_for_more(
            numbers: [u64; 3], hash: [u8; 32], media_type in "[ -~]{0,40}", existed: bool,
        ) {
            let [size, offset, expires_ms] = numbers;
            let media_type = media_type.as_str();
            let address = Address::from_bytes(hash);

            check_fields!(PutRequest { expected: Some(address), ttl_ms: size, media_type }, PutRequest);
            check_fields!(GetReply { size, offset, expires_ms, media_type }, GetReply);
            check_fields!(HeadReply { size, expires_ms, media_type }, HeadReply);
            check_fields!(GetRequest { address, offset, length: size }, GetRequest);
            check_fields!(PutReply { address, size, existed }, PutReply);
        }
    }
}
