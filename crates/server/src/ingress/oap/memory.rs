//! Memory for payloads: copies that pin no read buffer, and what is inflated.

use crate::buffer::{paid, reserve};
use crate::call::CallError;
use crate::node::Node;
use bytes::Bytes;
use micronode_engine::MemoryKind;
use micronode_protocol::compression::{DECODER_BYTES, inflate, inflated_bound};

/// A copy that pins nothing of a read buffer.
pub(super) fn copy(node: &Node, bytes: &[u8]) -> Result<Bytes, CallError> {
    let reservation = reserve(&node.budget, MemoryKind::Buffers, bytes.len())?;
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
        reserve(&node.budget, MemoryKind::Decoders, DECODER_BYTES)?,
    );
    let reservation = reserve(&node.budget, MemoryKind::Buffers, bound)?;
    let bytes =
        inflate(payload, bound).map_err(|error| CallError::new(error.code(), error.to_string()))?;
    Ok(paid(bytes, reservation))
}
