//! The operations below the framing: what each is called on the wire, and the fields of its
//! payloads. Both ends use the same encoders and parsers.
//!
//! A payload is one byte string that may be cut anywhere between frames, so a parser of the fields
//! in front of a body may be asked before they are all there, and then asks for more.

mod events;
mod fields;
mod hello;
mod mailbox;
mod name;
mod object;
mod token;

pub use events::{EventFrame, EventsRequest, LaggedFrame};
pub use fields::{FieldsError, Parsed};
pub use hello::{Hello, HelloError, Transports, Welcome};
pub use mailbox::{
    AckRequest, Delivery, ExtendRequest, NackRequest, PurgeReply, QueueRequest, ReceiveRequest,
    RedriveReply, RedriveRequest, SendReply, SendRequest, SubscribeRequest, Verdict,
    decode_verdicts, encode_receipt,
};
pub use name::{
    EXPECT_ABSENT, EXPECT_ANY, NameDeleteRequest, NameEntry, NameListRequest, NameReadRequest,
    NameReply, NameRequest, NameSetReply, NameSetRequest, NameWatchRequest,
};
pub use object::{
    GetReply, GetRequest, HeadReply, PutReply, PutRequest, decode_addresses, decode_presence,
    resolve,
};
pub use token::{TOKEN_TEXT_BYTES, TokenReply};

/// The family of HELLO, ping, cancel, and answers to frames of no stream.
pub const CONTROL: u16 = 0;
/// HELLO, with [`CONTROL`]; without START and with END, on an open stream: cancel.
pub const HELLO: u16 = 0;

macro_rules! operations {
    ($( $(#[$doc:meta])* $variant:ident = $app:literal, $code:literal, $name:literal; )*) => {
        /// An operation that a request can open a stream for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Operation { $( $(#[$doc])* $variant, )* }

        impl Operation {
            /// Every operation, by family and code.
            pub const ALL: &'static [Self] = &[$( Self::$variant, )*];

            /// The family, `app_proto_id` of the header.
            pub const fn app(self) -> u16 {
                match self { $( Self::$variant => $app, )* }
            }

            /// The code of a request.
            pub const fn code(self) -> u16 {
                match self { $( Self::$variant => $code, )* }
            }

            /// What people call it.
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }

            /// The operation that a header asks for.
            pub const fn of(app: u16, code: u16) -> Option<Self> {
                match (app, code) { $( ($app, $code) => Some(Self::$variant), )* _ => None }
            }
        }
    };
}

operations! {
    /// Nothing; that it is answered is the answer.
    Ping = 0, 1, "ping";
    /// Make a token of a grant.
    Exchange = 0, 2, "exchange";
    /// Make a token of a token.
    Mint = 0, 3, "mint";
    /// The body back.
    Echo = 1, 1, "echo";
    /// Read an object or a part of it.
    ObjectGet = 2, 1, "object get";
    /// Store an object.
    ObjectPut = 2, 2, "object put";
    /// Which of these objects are here.
    ObjectHas = 2, 3, "object has";
    /// Delete an object and wipe its memory.
    ObjectDelete = 2, 4, "object delete";
    /// Describe an object.
    ObjectHead = 2, 5, "object head";
    /// The chaining values of an object.
    ObjectManifest = 2, 6, "object manifest";
    /// Where a name points.
    NameGet = 3, 1, "name get";
    /// Point a name at an object.
    NameSet = 3, 2, "name set";
    /// Remove a name.
    NameDelete = 3, 3, "name delete";
    /// Names that begin so, a page of them.
    NameList = 3, 4, "name list";
    /// Names that begin so, and what becomes of them.
    NameWatch = 3, 5, "name watch";
    /// Read the object that a name points at.
    NameRead = 3, 6, "name read";
    /// Put a message into a queue.
    Send = 4, 1, "send";
    /// Lease messages of a queue.
    Receive = 4, 2, "receive";
    /// Be done with messages.
    Ack = 4, 3, "ack";
    /// Give messages back.
    Nack = 4, 4, "nack";
    /// Keep messages longer.
    Extend = 4, 5, "extend";
    /// How much a queue holds.
    QueueStats = 4, 6, "stats";
    /// Messages of a queue as they come.
    Subscribe = 4, 7, "subscribe";
    /// Remove all messages of a queue.
    Purge = 4, 8, "purge";
    /// Move dead letters back to their queue.
    Redrive = 4, 9, "redrive";
    /// The events of the bus as they come.
    Events = 5, 1, "events";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_found_by_its_numbers() {
        for operation in Operation::ALL {
            let found = Operation::of(operation.app(), operation.code());
            assert_eq!(found, Some(*operation));
        }
        assert_eq!(Operation::of(CONTROL, HELLO), None, "HELLO opens no stream");
        assert_eq!(Operation::of(2, 7), None);
    }
}
