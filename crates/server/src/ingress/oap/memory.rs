//! Memory for payloads: copies that pin no read buffer, what is inflated, and what of both is held
//! until a peer has read it.

use crate::buffer::{paid, reserve};
use crate::call::CallError;
use crate::node::Node;
use bytes::Bytes;
use micronode_engine::MemoryKind;
use micronode_protocol::compression::{DECODER_BYTES, inflate, inflated_bound};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A copy that pins nothing of a read buffer.
pub(super) fn copy(node: &Node, bytes: &[u8]) -> Result<Bytes, CallError> {
    let reservation = reserve(&node.store, MemoryKind::Buffers, bytes.len())?;
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
        reserve(&node.store, MemoryKind::Decoders, DECODER_BYTES)?,
    );
    let reservation = reserve(&node.store, MemoryKind::Buffers, bound)?;
    let bytes =
        inflate(payload, bound).map_err(|error| CallError::new(error.code(), error.to_string()))?;
    Ok(paid(bytes, reservation))
}

/// Memory of answers that are slices of something longer: all of it is held until the last slice
/// has been written, however little of it is left to write.
#[derive(Default)]
pub(super) struct Held(Arc<AtomicUsize>);

struct HeldBytes {
    bytes: Bytes,
    held: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes.len(), Relaxed);
    }
}

impl Held {
    /// The same bytes, counted until their last user drops them.
    pub(super) fn count(&self, bytes: Bytes) -> Bytes {
        self.0.fetch_add(bytes.len(), Relaxed);
        Bytes::from_owner(HeldBytes {
            bytes,
            held: Arc::clone(&self.0),
        })
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.load(Relaxed)
    }
}
