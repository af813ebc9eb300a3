//! The keys of a mailbox, from which those of its queues come.

use zeroize::Zeroizing;

/// Two keys that nobody else knows: what comes from one outlasts a start of the node, what comes
/// from the other does not.
#[derive(Clone)]
pub struct MailboxKeys {
    /// Of the ids of messages, and of what idempotency keys are known by.
    pub(super) lasting: Zeroizing<[u8; 32]>,
    /// Of receipts, and of where queues are found.
    pub(super) start: Zeroizing<[u8; 32]>,
}

impl MailboxKeys {
    /// `lasting` is the same at every start that is to know what an earlier one kept; `start` is
    /// another at each.
    pub fn new(lasting: [u8; 32], start: [u8; 32]) -> Self {
        Self {
            lasting: Zeroizing::new(lasting),
            start: Zeroizing::new(start),
        }
    }
}
