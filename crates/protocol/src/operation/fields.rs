//! Reading and writing fields: those in front of a body, and those that are a whole payload.

use bytes::BufMut;
use thiserror::Error;

use crate::limits::{
    EVENT_ID_CHARS, IDEMPOTENCY_KEY_BYTES, MEDIA_TYPE_BYTES, MESSAGE_BYTES_MAX, NAME_BYTES,
    RECEIPT_CHARS, RECEIPTS,
};
use crate::name::QueueRef;
use crate::{Address, ErrorCode};

/// Why fields cannot be what they should be, however many more bytes came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FieldsError {
    /// A text that is not UTF-8.
    #[error("a text is not UTF-8")]
    Text,
    /// A text or a body beyond its cap.
    #[error("a field is longer than it may be")]
    TooLong,
    /// Where a name or a queue is meant: longer than any, or not UTF-8.
    #[error("this is no name and no queue: it is too long, or no text")]
    Name,
    /// A value that the field may not have.
    #[error("a field has a value that it may not have")]
    Value,
    /// A whole payload that ends before its fields do.
    #[error("the payload ends before its fields do")]
    Truncated,
    /// A whole payload that has more than its fields.
    #[error("more bytes than this operation has fields")]
    Trailing,
}

impl FieldsError {
    /// The public code.
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Name => ErrorCode::BadName,
            Self::Truncated => ErrorCode::Truncated,
            Self::Text | Self::TooLong | Self::Value | Self::Trailing => ErrorCode::BadRequest,
        }
    }
}

/// What was parsed, and how many bytes of the payload it took; `None` while bytes are missing.
pub type Parsed<T> = Result<Option<(T, usize)>, FieldsError>;

/// Why a field could not be read.
#[derive(Clone, Copy)]
pub(super) enum Unread {
    /// The payload ends before it does.
    Missing,
    Wrong(FieldsError),
}

/// Fields being read from the front of a payload.
pub(super) struct Reader<'a> {
    payload: &'a [u8],
    at: usize,
}

type Read<T> = Result<T, Unread>;

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Read<&'a [u8]> {
        let bytes = self.payload[self.at..]
            .get(..count)
            .ok_or(Unread::Missing)?;
        self.at += count;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let bytes = self.bytes(N)?;
        Ok(*bytes.first_chunk().expect("so many bytes"))
    }

    pub(super) fn u16(&mut self) -> Read<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Read<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Read<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn flag(&mut self) -> Read<bool> {
        let [byte] = self.array()?;
        flag(byte).map_err(Unread::Wrong)
    }

    pub(super) fn address(&mut self) -> Read<Address> {
        self.array().map(Address::from_bytes)
    }

    /// Zeros for none.
    pub(super) fn optional_address(&mut self) -> Read<Option<Address>> {
        let hash = self.array()?;
        Ok((hash != [0; 32]).then(|| Address::from_bytes(hash)))
    }

    /// A text of at most `most` bytes: its length, then its bytes.
    pub(super) fn str16(&mut self, most: usize) -> Read<&'a str> {
        let length = usize::from(self.u16()?);
        if length > most {
            return Err(Unread::Wrong(FieldsError::TooLong));
        }
        let bytes = self.bytes(length)?;
        std::str::from_utf8(bytes).map_err(|_| Unread::Wrong(FieldsError::Text))
    }

    pub(super) fn media_type(&mut self) -> Read<&'a str> {
        self.str16(MEDIA_TYPE_BYTES)
    }

    pub(super) fn name(&mut self) -> Read<&'a str> {
        self.str16(NAME_BYTES).map_err(as_name)
    }

    pub(super) fn queue(&mut self) -> Read<&'a str> {
        self.str16(QueueRef::BYTES_MAX).map_err(as_name)
    }

    pub(super) fn idempotency_key(&mut self) -> Read<&'a str> {
        self.str16(IDEMPOTENCY_KEY_BYTES)
    }

    /// A receipt, or the id of a message.
    pub(super) fn receipt(&mut self) -> Read<&'a str> {
        self.str16(RECEIPT_CHARS)
    }

    pub(super) fn event_id(&mut self) -> Read<&'a str> {
        self.str16(EVENT_ID_CHARS)
    }

    /// The body of a message: its length, then its bytes.
    pub(super) fn message(&mut self) -> Read<&'a [u8]> {
        let length = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        if length > MESSAGE_BYTES_MAX {
            return Err(Unread::Wrong(FieldsError::TooLong));
        }
        self.bytes(length)
    }

    /// Receipts to the end of the payload.
    pub(super) fn receipts(&mut self) -> Read<Vec<&'a str>> {
        let mut receipts = Vec::new();
        while self.at < self.payload.len() {
            if receipts.len() == RECEIPTS {
                return Err(Unread::Wrong(FieldsError::TooLong));
            }
            receipts.push(self.receipt()?);
        }
        Ok(receipts)
    }
}

fn as_name(unread: Unread) -> Unread {
    match unread {
        Unread::Missing => Unread::Missing,
        Unread::Wrong(_) => Unread::Wrong(FieldsError::Name),
    }
}

pub(super) fn flag(byte: u8) -> Result<bool, FieldsError> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(FieldsError::Value),
    }
}

/// Reads fields at the front of a payload.
pub(super) fn front<'a, T>(
    payload: &'a [u8],
    fields: impl FnOnce(&mut Reader<'a>) -> Read<T>,
) -> Parsed<T> {
    let mut reader = Reader { payload, at: 0 };
    match fields(&mut reader) {
        Ok(read) => Ok(Some((read, reader.at))),
        Err(Unread::Missing) => Ok(None),
        Err(Unread::Wrong(error)) => Err(error),
    }
}

/// Reads a payload that is nothing but what is parsed at its front.
pub(super) fn whole<'a, T>(
    payload: &'a [u8],
    parse: impl FnOnce(&'a [u8]) -> Parsed<T>,
) -> Result<T, FieldsError> {
    match parse(payload)? {
        Some((read, at)) if at == payload.len() => Ok(read),
        Some(_) => Err(FieldsError::Trailing),
        None => Err(FieldsError::Truncated),
    }
}

/// A value as it is written.
pub(super) trait Field {
    fn put(&self, buffer: &mut impl BufMut);
}

macro_rules! numbers {
    ($( $number:ty, $put:ident; )*) => { $(
        impl Field for $number {
            fn put(&self, buffer: &mut impl BufMut) {
                buffer.$put(*self);
            }
        }
    )* };
}

numbers! { u16, put_u16; u32, put_u32; u64, put_u64; }

impl Field for bool {
    fn put(&self, buffer: &mut impl BufMut) {
        buffer.put_u8((*self).into());
    }
}

impl Field for Address {
    fn put(&self, buffer: &mut impl BufMut) {
        buffer.put_slice(self.as_bytes());
    }
}

impl Field for Option<Address> {
    fn put(&self, buffer: &mut impl BufMut) {
        buffer.put_slice(&self.map_or([0; 32], |address| *address.as_bytes()));
    }
}

/// A text: its length, then its bytes.
///
/// # Panics
///
/// If it is longer than its length can say. Texts have far lower caps.
impl Field for &str {
    fn put(&self, buffer: &mut impl BufMut) {
        buffer.put_u16(u16::try_from(self.len()).expect("a text within its cap"));
        buffer.put_slice(self.as_bytes());
    }
}

/// Fields in their order on the wire: `name: type as what the [Reader] calls it`. They can be
/// written, read from the front of a payload, and read as all of one.
macro_rules! fields {
    ($(
        $(#[$doc:meta])*
        $name:ident $(<$lifetime:lifetime>)? {
            $( $(#[$field_doc:meta])* $field:ident: $value:ty as $read:ident, )*
        }
    )*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name $(<$lifetime>)? {
            $( $(#[$field_doc])* pub $field: $value, )*
        }

        impl $(<$lifetime>)? $name $(<$lifetime>)? {
            /// Writes the fields.
            pub fn encode(&self, buffer: &mut impl bytes::BufMut) {
                $( $crate::operation::fields::Field::put(&self.$field, buffer); )*
            }

            /// Reads the fields at the front of a payload.
            ///
            /// # Errors
            ///
            /// If more bytes would not help.
            pub fn parse(payload: & $($lifetime)? [u8]) -> $crate::operation::fields::Parsed<Self> {
                $crate::operation::fields::front(payload, |reader| {
                    Ok(Self { $( $field: reader.$read()?, )* })
                })
            }

            /// Reads a payload that is nothing but these fields.
            ///
            /// # Errors
            ///
            /// If it is something else.
            pub fn decode(
                payload: & $($lifetime)? [u8],
            ) -> Result<Self, $crate::operation::fields::FieldsError> {
                $crate::operation::fields::whole(payload, Self::parse)
            }
        }
    )* };
}
pub(super) use fields;

/// Checks that fields are read as they were written, that they ask for more wherever they are cut,
/// and that nothing behind them belongs to them.
#[cfg(test)]
macro_rules! check_fields {
    ($written:expr, $type:ident) => {{
        let written = $written;
        let mut bytes = Vec::new();
        written.encode(&mut bytes);
        for cut in 0..bytes.len() {
            proptest::prop_assert_eq!($type::parse(&bytes[..cut]), Ok(None));
            proptest::prop_assert_eq!($type::decode(&bytes[..cut]), Err(FieldsError::Truncated));
        }
        proptest::prop_assert_eq!($type::decode(&bytes), Ok(written));
        let length = bytes.len();
        bytes.push(b'x');
        proptest::prop_assert_eq!($type::parse(&bytes), Ok(Some((written, length))));
        proptest::prop_assert_eq!($type::decode(&bytes), Err(FieldsError::Trailing));
    }};
}
#[cfg(test)]
pub(super) use check_fields;
