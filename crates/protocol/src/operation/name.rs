//! The fields of the operations on names.
//!
//! Whether a text is a name at all is asked with [`crate::name`]; here it has only a longest length.

use std::ops::Range;

use super::fields::fields;
use super::object::resolve;
use crate::Address;

/// As an expected revision: the name must not exist.
pub const EXPECT_ABSENT: u64 = 0;
/// As an expected revision: whatever it is.
pub const EXPECT_ANY: u64 = u64::MAX;

fields! {
    /// Of a *name get*.
    NameRequest<'a> {
        /// The name.
        name: &'a str as name,
    }

    /// Where a name points. Also in front of a [`GetReply`](super::GetReply), in the answer to a
    /// *name read*.
    NameReply {
        /// The object.
        address: Address as address,
        /// Since which revision.
        revision: u64 as u64,
    }

    /// Of a *name set*.
    NameSetRequest<'a> {
        /// The name.
        name: &'a str as name,
        /// The object.
        address: Address as address,
        /// The revision that it must have, [`EXPECT_ABSENT`] or [`EXPECT_ANY`].
        expected: u64 as u64,
    }

    /// What became of a *name set*.
    NameSetReply {
        /// The name's revision now.
        revision: u64 as u64,
    }

    /// Of a *name delete*.
    NameDeleteRequest<'a> {
        /// The name.
        name: &'a str as name,
        /// The revision that it must have, or [`EXPECT_ANY`].
        expected: u64 as u64,
    }

    /// Of a *name list*.
    NameListRequest<'a> {
        /// What the names begin with.
        prefix: &'a str as name,
        /// They come behind this one, in byte order.
        after: &'a str as name,
        /// Most names; 0 for as many as there are on a page.
        limit: u16 as u16,
    }

    /// A name of a list, of a snapshot, or one that has changed. Those of a list follow each other.
    NameEntry<'a> {
        /// The name.
        name: &'a str as name,
        /// The object; on the wire, zeros for a name that was deleted.
        address: Option<Address> as optional_address,
        /// The revision of this change.
        revision: u64 as u64,
    }

    /// Of a *name watch*.
    NameWatchRequest<'a> {
        /// What the names begin with.
        prefix: &'a str as name,
    }

    /// Of a *name read*.
    NameReadRequest<'a> {
        /// The name.
        name: &'a str as name,
        /// Where the part of the object begins, in bytes.
        offset: u64 as u64,
        /// Bytes of the part; 0 for all that follow.
        length: u64 as u64,
    }
}

impl NameReadRequest<'_> {
    /// See [`resolve`].
    pub fn resolve(&self, size: u64) -> Option<(bool, Range<u64>)> {
        resolve(self.offset, self.length, size)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fields::{FieldsError, check_fields};
    use super::*;
    use crate::limits::NAME_BYTES;

    #[test]
    fn a_name_has_a_cap_and_is_text() {
        let fields = |length: u16, text: &[u8]| [&length.to_be_bytes(), text].concat();
        let longest = fields(255, &[b'x'; NAME_BYTES]);
        assert!(NameRequest::decode(&longest).is_ok());
        // Seen before they are there.
        let too_long = fields(256, b"");
        assert_eq!(NameRequest::parse(&too_long), Err(FieldsError::Name));
        let not_text = fields(1, &[0xff]);
        assert_eq!(NameRequest::decode(&not_text), Err(FieldsError::Name));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_less_asks_for_more(
            name in "[a-z/]{0,20}", after in "[ -~]{0,20}", hash: [u8; 32], number: u64, limit: u16,
        ) {
            let (name, after, address) = (name.as_str(), after.as_str(), Address::from_bytes(hash));
            let (prefix, expected, revision) = (name, number, number);
            check_fields!(NameRequest { name }, NameRequest);
            check_fields!(NameReply { address, revision }, NameReply);
            check_fields!(NameSetRequest { name, address, expected }, NameSetRequest);
            check_fields!(NameSetReply { revision }, NameSetReply);
            check_fields!(NameDeleteRequest { name, expected }, NameDeleteRequest);
            check_fields!(NameListRequest { prefix, after, limit }, NameListRequest);
            check_fields!(NameEntry { name, address: Some(address), revision }, NameEntry);
            check_fields!(NameEntry { name, address: None, revision }, NameEntry);
            check_fields!(NameWatchRequest { prefix }, NameWatchRequest);
            check_fields!(NameReadRequest { name, offset: number, length: revision }, NameReadRequest);
        }

        #[test]
        fn the_names_of_a_list_are_read_one_behind_the_other(
            names in prop::collection::vec("[a-z/]{1,9}", 0..9), deleted: bool,
        ) {
            let entry = |(revision, name)| NameEntry {
                name,
                address: (!deleted).then(|| Address::of(b"x")),
                revision,
            };
            let written: Vec<_> = (0..).zip(names.iter().map(String::as_str)).map(entry).collect();
            let mut payload = Vec::new();
            for entry in &written {
                entry.encode(&mut payload);
            }
            let (mut rest, mut read) = (&payload[..], Vec::new());
            while let Ok(Some((entry, length))) = NameEntry::parse(rest) {
                read.push(entry);
                rest = &rest[length..];
            }
            prop_assert!(rest.is_empty());
            prop_assert_eq!(read, written);
        }
    }
}
