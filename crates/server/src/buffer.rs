//! Bodies that must be whole before they mean anything, collected under a byte reservation.

use crate::call::{CallBody, CallError};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use micronode_engine::{Budget, MemoryKind, Reservation};
use micronode_protocol::limits::GROUP_BYTES;

/// A collected body together with the reservation that pays for it.
pub(crate) struct Collected {
    bytes: Bytes,
    /// Given back on drop.
    _reservation: Reservation,
}

impl std::ops::Deref for Collected {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Collected {
    /// The bytes as one value that gives the reservation back when its last user drops it.
    pub(crate) fn into_bytes(self) -> Bytes {
        struct Paid(Collected);
        impl AsRef<[u8]> for Paid {
            fn as_ref(&self) -> &[u8] {
                &self.0.bytes
            }
        }
        Bytes::from_owner(Paid(self))
    }
}

/// Collects a body that the guard has capped at one-shot size. Memory is reserved before it is
/// allocated, one group at a time.
pub(crate) async fn collect(mut body: CallBody, budget: &Budget) -> Result<Collected, CallError> {
    let mut reservation = budget.reserve(MemoryKind::Buffers, 0)?;
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame?.into_data() else {
            continue;
        };
        let needed = bytes.len() + piece.len();
        if needed > bytes.capacity() {
            let capacity = needed
                .next_multiple_of(GROUP_BYTES)
                .max(2 * bytes.capacity());
            let more = (capacity - bytes.capacity()) as u64;
            reservation.grow(more)?;
            reservation.fill(more);
            bytes.reserve(capacity - bytes.len());
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(Collected {
        bytes: bytes.freeze(),
        _reservation: reservation,
    })
}
