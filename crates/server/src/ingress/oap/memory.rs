//! Memory for frames: what is too long for the read buffer, and what is inflated.

use crate::call::CallError;
use crate::node::Node;
use bytes::Bytes;
use micronode_engine::{MemoryKind, OverBudget, Reservation};
use micronode_protocol::compression::{DECODER_BYTES, inflate, inflated_bound};

/// Bytes together with the reservation that pays for them.
struct Paid<B> {
    bytes: B,
    /// Given back on drop.
    _reservation: Reservation,
}

impl<B: AsRef<[u8]>> AsRef<[u8]> for Paid<B> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

/// `bytes`, whose last user gives the reservation back.
pub(super) fn paid(bytes: impl AsRef<[u8]> + Send + 'static, reservation: Reservation) -> Bytes {
    Bytes::from_owner(Paid {
        bytes,
        _reservation: reservation,
    })
}

/// Memory that is about to be filled.
pub(super) fn reserve(
    node: &Node,
    kind: MemoryKind,
    bytes: usize,
) -> Result<Reservation, OverBudget> {
    let mut reservation = node.budget.reserve(kind, bytes as u64)?;
    reservation.fill(bytes as u64);
    Ok(reservation)
}

/// A copy that pins nothing of a read buffer.
pub(super) fn copy(node: &Node, bytes: &[u8]) -> Result<Bytes, CallError> {
    let reservation = reserve(node, MemoryKind::Buffers, bytes.len())?;
    Ok(paid(Box::<[u8]>::from(bytes), reservation))
}

/// A compressed payload, inflated under the bounds of the node's decoders: their number, their
/// memory, their ratio.
pub(super) fn inflated(node: &Node, payload: &[u8]) -> Result<Bytes, CallError> {
    let bounds = node.limits.decompress(node.limits.oap.max_frame as u64);
    let ratio = usize::try_from(bounds.ratio).unwrap_or(usize::MAX);
    let bound = inflated_bound(payload, ratio, node.limits.oap.max_frame);
    let _decoder = (
        node.decoders.acquire()?,
        reserve(node, MemoryKind::Decoders, DECODER_BYTES)?,
    );
    let reservation = reserve(node, MemoryKind::Buffers, bound)?;
    let bytes =
        inflate(payload, bound).map_err(|error| CallError::new(error.code(), error.to_string()))?;
    Ok(paid(bytes, reservation))
}
