//! The fields of the operations on objects.
//!
//! Addresses are their 32 bytes; times are Unix milliseconds, 0 for none.

use bytes::BufMut;

use super::fields::{FieldsError, Parsed, Reader, put_str16};
use crate::Address;
use crate::limits::{HAS_ADDRESSES, MEDIA_TYPE_BYTES};

/// Of an *object get*: an address and a part of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetRequest {
    /// The object.
    pub address: Address,
    /// Where the part begins, in bytes.
    pub offset: u64,
    /// Bytes of the part; 0 for all that follow.
    pub length: u64,
}

impl GetRequest {
    /// Bytes of the fields.
    pub const BYTES: usize = 48;

    /// Writes the fields.
    pub fn encode(&self, buffer: &mut impl BufMut) {
        buffer.put_slice(self.address.as_bytes());
        buffer.put_u64(self.offset);
        buffer.put_u64(self.length);
    }

    /// Reads the fields.
    pub fn decode(fields: &[u8; Self::BYTES]) -> Self {
        let mut reader = Reader::new(fields);
        let mut read = || {
            Some(Self {
                address: Address::from_bytes(reader.array()?),
                offset: reader.u64()?,
                length: reader.u64()?,
            })
        };
        read().expect("all of them are there")
    }

    /// The bytes asked for of an object of `size` bytes: whether they are a part that was asked
    /// for as such, and which. `None` when the object has none of them: the rule of HTTP for one
    /// range.
    pub fn resolve(&self, size: u64) -> Option<(bool, std::ops::Range<u64>)> {
        if self.offset == 0 && self.length == 0 {
            return Some((false, 0..size));
        }
        let end = match self.length {
            0 => size,
            length => self.offset.saturating_add(length).min(size),
        };
        (self.offset < size).then_some((true, self.offset..end))
    }
}

/// In front of the bytes of an object, or of a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetReply<'a> {
    /// Bytes of the whole object.
    pub size: u64,
    /// Where in it the bytes begin.
    pub offset: u64,
    /// When it expires.
    pub expires_ms: u64,
    /// Its media type.
    pub media_type: &'a str,
}

impl<'a> GetReply<'a> {
    /// Writes the fields.
    pub fn encode(&self, buffer: &mut impl BufMut) {
        buffer.put_u64(self.size);
        buffer.put_u64(self.offset);
        buffer.put_u64(self.expires_ms);
        put_str16(buffer, self.media_type);
    }

    /// Reads the fields at the front of a payload.
    ///
    /// # Errors
    ///
    /// If more bytes would not help.
    pub fn parse(payload: &'a [u8]) -> Parsed<Self> {
        let mut reader = Reader::new(payload);
        let (Some(size), Some(offset), Some(expires_ms)) =
            (reader.u64(), reader.u64(), reader.u64())
        else {
            return Ok(None);
        };
        let Some(media_type) = reader.str16(MEDIA_TYPE_BYTES)? else {
            return Ok(None);
        };
        let reply = Self {
            size,
            offset,
            expires_ms,
            media_type,
        };
        Ok(Some((reply, reader.at())))
    }
}

/// In front of the bytes of an object to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutRequest<'a> {
    /// The address that the bytes must hash to; on the wire, zeros for none.
    pub expected: Option<Address>,
    /// Time to live from the end of the upload, in milliseconds; 0 for none.
    pub ttl_ms: u64,
    /// The media type to keep; empty for none.
    pub media_type: &'a str,
}

impl<'a> PutRequest<'a> {
    /// Most bytes of the fields.
    pub const BYTES_MAX: usize = 32 + 8 + 2 + MEDIA_TYPE_BYTES;

    /// Writes the fields.
    pub fn encode(&self, buffer: &mut impl BufMut) {
        let expected = self.expected.as_ref().map_or(&[0; 32], Address::as_bytes);
        buffer.put_slice(expected);
        buffer.put_u64(self.ttl_ms);
        put_str16(buffer, self.media_type);
    }

    /// Reads the fields at the front of a payload.
    ///
    /// # Errors
    ///
    /// If more bytes would not help.
    pub fn parse(payload: &'a [u8]) -> Parsed<Self> {
        let mut reader = Reader::new(payload);
        let (Some(expected), Some(ttl_ms)) = (reader.array::<32>(), reader.u64()) else {
            return Ok(None);
        };
        let Some(media_type) = reader.str16(MEDIA_TYPE_BYTES)? else {
            return Ok(None);
        };
        let request = Self {
            expected: (expected != [0; 32]).then(|| Address::from_bytes(expected)),
            ttl_ms,
            media_type,
        };
        Ok(Some((request, reader.at())))
    }
}

/// What became of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PutReply {
    /// Where the object is.
    pub address: Address,
    /// Its size in bytes.
    pub size: u64,
    /// It was there already.
    pub existed: bool,
}

impl PutReply {
    /// Bytes of the fields.
    pub const BYTES: usize = 41;

    /// Writes the fields.
    pub fn encode(&self, buffer: &mut impl BufMut) {
        buffer.put_slice(self.address.as_bytes());
        buffer.put_u64(self.size);
        buffer.put_u8(self.existed.into());
    }

    /// Reads the fields.
    ///
    /// # Errors
    ///
    /// If the last of them is neither 0 nor 1.
    pub fn decode(fields: &[u8; Self::BYTES]) -> Result<Self, FieldsError> {
        let (address, rest) = fields.split_first_chunk::<32>().expect("41 bytes");
        let (size, rest) = rest.split_first_chunk::<8>().expect("41 bytes");
        Ok(Self {
            address: Address::from_bytes(*address),
            size: u64::from_be_bytes(*size),
            existed: flag(rest[0])?,
        })
    }
}

/// What an object is, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadReply<'a> {
    /// Bytes of the object.
    pub size: u64,
    /// When it expires.
    pub expires_ms: u64,
    /// Its media type.
    pub media_type: &'a str,
}

impl<'a> HeadReply<'a> {
    /// Writes the fields.
    pub fn encode(&self, buffer: &mut impl BufMut) {
        buffer.put_u64(self.size);
        buffer.put_u64(self.expires_ms);
        put_str16(buffer, self.media_type);
    }

    /// Reads the fields at the front of a payload.
    ///
    /// # Errors
    ///
    /// If more bytes would not help.
    pub fn parse(payload: &'a [u8]) -> Parsed<Self> {
        let mut reader = Reader::new(payload);
        let (Some(size), Some(expires_ms)) = (reader.u64(), reader.u64()) else {
            return Ok(None);
        };
        let Some(media_type) = reader.str16(MEDIA_TYPE_BYTES)? else {
            return Ok(None);
        };
        let reply = Self {
            size,
            expires_ms,
            media_type,
        };
        Ok(Some((reply, reader.at())))
    }
}

/// The addresses of an *object has*, at most [`HAS_ADDRESSES`].
///
/// # Errors
///
/// If there are more, or the payload does not consist of whole ones.
pub fn decode_addresses(payload: &[u8]) -> Result<Vec<Address>, FieldsError> {
    let (addresses, rest) = payload.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(FieldsError::Value);
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

fn flag(byte: u8) -> Result<bool, FieldsError> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(FieldsError::Value),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parts_resolve_as_a_range_of_http_does() {
        let resolve = |offset, length, size| {
            let address = Address::of(b"");
            let request = GetRequest {
                address,
                offset,
                length,
            };
            request.resolve(size)
        };
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
        assert_eq!(decode_addresses(&[7; 33]), Err(FieldsError::Value));
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

            let mut fields = Vec::new();
            let put = PutRequest { expected: Some(address), ttl_ms: size, media_type };
            put.encode(&mut fields);
            check(&fields, put, PutRequest::parse)?;

            let get = GetReply { size, offset, expires_ms, media_type };
            fields.clear();
            get.encode(&mut fields);
            check(&fields, get, GetReply::parse)?;

            let head = HeadReply { size, expires_ms, media_type };
            fields.clear();
            head.encode(&mut fields);
            check(&fields, head, HeadReply::parse)?;

            fields.clear();
            let request = GetRequest { address, offset, length: size };
            request.encode(&mut fields);
            prop_assert_eq!(GetRequest::decode(fields.first_chunk().expect("48")), request);

            fields.clear();
            let stored = PutReply { address, size, existed };
            stored.encode(&mut fields);
            prop_assert_eq!(PutReply::decode(fields.first_chunk().expect("41")), Ok(stored));
        }
    }

    fn check<'a, T: PartialEq + std::fmt::Debug>(
        fields: &'a [u8],
        written: T,
        parse: impl Fn(&'a [u8]) -> Parsed<T>,
    ) -> Result<(), TestCaseError> {
        for cut in 0..fields.len() {
            prop_assert_eq!(parse(&fields[..cut]), Ok(None));
        }
        prop_assert_eq!(parse(fields), Ok(Some((written, fields.len()))));
        Ok(())
    }
}
