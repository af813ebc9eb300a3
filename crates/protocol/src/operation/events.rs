//! The fields of the bus, and of whoever has missed something of it.

use super::fields::fields;

fields! {
    /// Of *events*.
    EventsRequest<'a> {
        /// The last one that is known; empty to begin with the next.
        last_id: &'a str as event_id,
    }

    /// In front of the document of an event.
    EventFrame<'a> {
        /// The event.
        id: &'a str as event_id,
    }

    /// In a frame with the code 429: so many have been missed.
    LaggedFrame {
        /// How many.
        missed: u64 as u64,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fields::{FieldsError, check_fields};
    use super::*;
    use crate::limits::EVENT_ID_CHARS;

    #[test]
    fn the_id_of_an_event_has_a_cap() {
        let fields = |length: usize| [&[0, length as u8][..], &vec![b'x'; length]].concat();
        assert!(EventsRequest::decode(&fields(EVENT_ID_CHARS)).is_ok());
        let too_long = fields(EVENT_ID_CHARS + 1);
        assert_eq!(EventsRequest::decode(&too_long), Err(FieldsError::TooLong));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_less_asks_for_more(id in "[ -~]{0,64}", missed: u64) {
            let (id, last_id) = (id.as_str(), id.as_str());
            check_fields!(EventsRequest { last_id }, EventsRequest);
            check_fields!(EventFrame { id }, EventFrame);
            check_fields!(LaggedFrame { missed }, LaggedFrame);
        }
    }
}
