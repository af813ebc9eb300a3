//! The bytes of a message.

use bytes::Bytes;
use micronode_protocol::limits::MESSAGE_OVERHEAD_BYTES;

use crate::budget::{Budget, Charge, MemoryKind, OverBudget};
use crate::wiped::WipedBytes;

/// Kept until the message is gone and whoever received it is done with it.
struct Body {
    bytes: WipedBytes,
    /// Last, so that it is given back after the memory is gone.
    _charge: Charge,
}

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A copy of `bytes` that is paid for and will be wiped.
pub(super) fn copy(budget: &Budget, bytes: &[u8]) -> Result<Bytes, OverBudget> {
    let cost = bytes.len() as u64 + MESSAGE_OVERHEAD_BYTES;
    Ok(Bytes::from_owner(Body {
        _charge: budget.charge(MemoryKind::Messages, cost)?,
        bytes: WipedBytes::copy_of(bytes),
    }))
}
