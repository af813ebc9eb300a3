//! Memory that a request holds for its own duration, under a byte reservation, and bodies that must
//! be whole before they mean anything.

use crate::call::{CallBody, CallError};
use crate::clock;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use micronode_engine::{MemoryKind, OverBudget, Reservation, Store};

/// A collected body together with the reservation that pays for it.
pub(crate) struct Collected {
    bytes: Bytes,
    /// Given back on drop.
    reservation: Reservation,
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
        paid(self.bytes, self.reservation)
    }
}

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
pub(crate) fn paid(bytes: impl AsRef<[u8]> + Send + 'static, reservation: Reservation) -> Bytes {
    Bytes::from_owner(Paid {
        bytes,
        _reservation: reservation,
    })
}

/// Memory that is about to be filled.
pub(crate) fn reserve(
    store: &Store,
    kind: MemoryKind,
    bytes: usize,
) -> Result<Reservation, OverBudget> {
    let mut reservation = reserve_ahead(store, kind, bytes)?;
    reservation.fill(bytes as u64);
    Ok(reservation)
}

/// Memory that is filled little by little. In a cache, which is full most of its life, objects
/// make room for it.
pub(crate) fn reserve_ahead(
    store: &Store,
    kind: MemoryKind,
    bytes: usize,
) -> Result<Reservation, OverBudget> {
    let bytes = bytes as u64;
    store.with_room(clock::now(), bytes, || store.budget().reserve(kind, bytes))
}

/// Collects a body that the guard has capped at one-shot size. Memory is reserved before it is
/// allocated, and doubles from what the first piece needs: many small bodies at once hold no more
/// than twice their bytes.
pub(crate) async fn collect(mut body: CallBody, store: &Store) -> Result<Collected, CallError> {
    let mut reservation = store.budget().reserve(MemoryKind::Buffers, 0)?;
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame?.into_data() else {
            continue;
        };
        let needed = bytes.len() + piece.len();
        if needed > bytes.capacity() {
            let capacity = needed.max(2 * bytes.capacity());
            let more = (capacity - bytes.capacity()) as u64;
            store.with_room(clock::now(), more, || reservation.grow(more))?;
            reservation.fill(more);
            bytes.reserve(capacity - bytes.len());
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(Collected {
        bytes: bytes.freeze(),
        reservation,
    })
}
