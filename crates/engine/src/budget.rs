//! The memory budget: every byte that peers can make the node hold is reserved here first.
//!
//! One atomic counter holds what is committed; a reservation moves it in one step or not at all,
//! so the limit is never exceeded, however many threads compete. Next to it the bytes really
//! filled are counted by kind: readiness looks at those, because a reservation that a slow upload
//! has not filled yet is not memory in use.
//!
//! Not for memory that no peer can influence (code, configuration, metrics).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use thiserror::Error;

/// What memory is held for: the `kind` label of `memory_used_bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryKind {
    /// Stored objects, with their chaining values and entries.
    Objects,
    /// Uploads that have not finished.
    Uploads,
    /// Request and response bytes between socket and store.
    Buffers,
    /// Windows and state of decompressors.
    Decoders,
    /// Messages in queues, with their entries.
    Messages,
    /// Names of objects, with their entries.
    Names,
}

impl MemoryKind {
    /// Every kind, in declaration order.
    pub const ALL: [Self; 6] = [
        Self::Objects,
        Self::Uploads,
        Self::Buffers,
        Self::Decoders,
        Self::Messages,
        Self::Names,
    ];

    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Objects => "objects",
            Self::Uploads => "uploads",
            Self::Buffers => "buffers",
            Self::Decoders => "decoders",
            Self::Messages => "messages",
            Self::Names => "names",
        }
    }
}

/// The reservation does not fit the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("over the memory budget by {missing} bytes")]
pub struct OverBudget {
    /// Bytes that would have to be given back for it to fit.
    pub missing: u64,
}

/// A shared memory budget in bytes. Clones share it.
#[derive(Clone, Debug)]
pub struct Budget {
    shared: Arc<Shared>,
}

// The counters guard no other data, so relaxed ordering is enough: each is exact on its own.
#[derive(Debug)]
struct Shared {
    limit: u64,
    committed: AtomicU64,
    used: [AtomicU64; MemoryKind::ALL.len()],
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> Self {
        let shared = Shared {
            limit,
            committed: AtomicU64::new(0),
            used: Default::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The limit in bytes.
    pub fn limit(&self) -> u64 {
        self.shared.limit
    }

    /// Bytes reserved, filled or not. Never above the limit.
    pub fn committed(&self) -> u64 {
        self.shared.committed.load(Relaxed)
    }

    /// Bytes that could still be reserved.
    pub fn free(&self) -> u64 {
        self.limit() - self.committed()
    }

    /// Bytes filled for `kind`.
    pub fn used(&self, kind: MemoryKind) -> u64 {
        self.shared.used[kind as usize].load(Relaxed)
    }

    /// Bytes filled, of all kinds.
    pub fn used_total(&self) -> u64 {
        MemoryKind::ALL.iter().map(|kind| self.used(*kind)).sum()
    }

    /// Reserves `bytes` for `kind`, all of them or none.
    ///
    /// # Errors
    ///
    /// If they do not fit.
    pub fn reserve(&self, kind: MemoryKind, bytes: u64) -> Result<Reservation, OverBudget> {
        self.commit(bytes)?;
        Ok(Reservation {
            budget: self.clone(),
            kind,
            reserved: bytes,
            filled: 0,
        })
    }

    /// Takes `bytes` that are in use for `kind` from now on, all of them or none.
    ///
    /// # Errors
    ///
    /// If they do not fit.
    pub fn charge(&self, kind: MemoryKind, bytes: u64) -> Result<Charge, OverBudget> {
        self.commit(bytes)?;
        self.add_used(kind, bytes);
        Ok(Charge {
            budget: self.clone(),
            kind,
            bytes,
        })
    }

    fn commit(&self, bytes: u64) -> Result<(), OverBudget> {
        let limit = self.shared.limit;
        let fits = |committed: u64| committed.checked_add(bytes).filter(|sum| *sum <= limit);
        match self.shared.committed.fetch_update(Relaxed, Relaxed, fits) {
            Ok(_) => Ok(()),
            Err(committed) => Err(OverBudget {
                missing: bytes - (limit - committed),
            }),
        }
    }

    fn give_back(&self, bytes: u64) {
        let before = self.shared.committed.fetch_sub(bytes, Relaxed);
        debug_assert!(before >= bytes, "gave back more than was committed");
    }

    fn add_used(&self, kind: MemoryKind, bytes: u64) {
        self.shared.used[kind as usize].fetch_add(bytes, Relaxed);
    }

    fn sub_used(&self, kind: MemoryKind, bytes: u64) {
        let before = self.shared.used[kind as usize].fetch_sub(bytes, Relaxed);
        debug_assert!(before >= bytes, "emptied more than was filled");
    }
}

/// Bytes taken from a [`Budget`]; dropping it gives all of them back.
///
/// It belongs next to the memory it pays for, and is dropped after it.
#[derive(Debug)]
#[must_use = "dropping a reservation gives it back"]
pub struct Reservation {
    budget: Budget,
    kind: MemoryKind,
    reserved: u64,
    /// At most `reserved`.
    filled: u64,
}

impl Reservation {
    /// Bytes reserved, filled or not.
    pub const fn reserved(&self) -> u64 {
        self.reserved
    }

    /// Bytes filled.
    pub const fn filled(&self) -> u64 {
        self.filled
    }

    /// Reserves `bytes` more, all of them or none.
    ///
    /// # Errors
    ///
    /// If they do not fit; the reservation is as before.
    pub fn grow(&mut self, bytes: u64) -> Result<(), OverBudget> {
        self.budget.commit(bytes)?;
        self.reserved += bytes;
        Ok(())
    }

    /// Counts `bytes` of the reservation as in use.
    ///
    /// # Panics
    ///
    /// If fewer are left unfilled: memory was used that nobody had reserved.
    pub fn fill(&mut self, bytes: u64) {
        assert!(
            bytes <= self.reserved - self.filled,
            "filled more than was reserved"
        );
        self.filled += bytes;
        self.budget.add_used(self.kind, bytes);
    }

    /// Gives back what has not been filled.
    pub fn release_unfilled(&mut self) {
        self.budget.give_back(self.reserved - self.filled);
        self.reserved = self.filled;
    }

    /// Counts the bytes as `kind` from now on.
    pub fn move_to(&mut self, kind: MemoryKind) {
        // In this order the total is briefly too high, never too low.
        self.budget.add_used(kind, self.filled);
        self.budget.sub_used(self.kind, self.filled);
        self.kind = kind;
    }
}

impl Reservation {
    /// Keeps what has been filled and gives back the rest. For memory that is held for long: a
    /// charge is smaller than a reservation.
    pub fn settle(mut self) -> Charge {
        self.release_unfilled();
        let bytes = std::mem::take(&mut self.filled);
        self.reserved = 0;
        Charge {
            budget: self.budget.clone(),
            kind: self.kind,
            bytes,
        }
    }
}

/// Bytes in use that were taken from a [`Budget`]; dropping it gives them back.
#[derive(Debug)]
#[must_use = "dropping a charge gives it back"]
pub struct Charge {
    budget: Budget,
    kind: MemoryKind,
    bytes: u64,
}

impl Charge {
    /// Bytes in use.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes or gives back what makes the charge one of `bytes`, all in use.
    ///
    /// # Errors
    ///
    /// If it grows and does not fit; the charge is as before.
    pub fn resize(&mut self, bytes: u64) -> Result<(), OverBudget> {
        if let Some(more) = bytes.checked_sub(self.bytes) {
            self.budget.commit(more)?;
            self.budget.add_used(self.kind, more);
        } else {
            let less = self.bytes - bytes;
            self.budget.sub_used(self.kind, less);
            self.budget.give_back(less);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Counts the bytes as `kind` from now on.
    pub fn move_to(&mut self, kind: MemoryKind) {
        // In this order the total is briefly too high, never too low.
        self.budget.add_used(kind, self.bytes);
        self.budget.sub_used(self.kind, self.bytes);
        self.kind = kind;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.sub_used(self.kind, self.bytes);
        self.budget.give_back(self.bytes);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.sub_used(self.kind, self.filled);
        self.budget.give_back(self.reserved);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn exactly_the_limit_fits_and_one_more_does_not() {
        let budget = Budget::new(100);
        let whole = budget.reserve(MemoryKind::Buffers, 100).unwrap();
        assert_eq!(budget.free(), 0);
        assert_eq!(
            budget.reserve(MemoryKind::Buffers, 1).unwrap_err().missing,
            1
        );
        drop(whole);
        assert_eq!(
            budget
                .reserve(MemoryKind::Buffers, 101)
                .unwrap_err()
                .missing,
            1
        );
        assert_eq!(budget.committed(), 0);
    }

    #[test]
    fn a_reservation_near_the_end_of_the_number_range_does_not_wrap() {
        let budget = Budget::new(100);
        let _held = budget.reserve(MemoryKind::Buffers, 60).unwrap();
        let missing = budget
            .reserve(MemoryKind::Buffers, u64::MAX)
            .unwrap_err()
            .missing;
        assert_eq!(missing, u64::MAX - 40);
    }

    #[test]
    fn filled_bytes_follow_their_kind() {
        let budget = Budget::new(100);
        let mut upload = budget.reserve(MemoryKind::Uploads, 50).unwrap();
        upload.fill(20);
        assert_eq!((budget.committed(), budget.used_total()), (50, 20));
        upload.release_unfilled();
        upload.move_to(MemoryKind::Objects);
        assert_eq!(budget.used(MemoryKind::Uploads), 0);
        assert_eq!(budget.used(MemoryKind::Objects), 20);
        assert_eq!(budget.committed(), 20);
        drop(upload);
        assert_eq!((budget.committed(), budget.used_total()), (0, 0));
    }

    #[test]
    fn a_settled_reservation_keeps_what_was_filled() {
        let budget = Budget::new(100);
        let mut upload = budget.reserve(MemoryKind::Uploads, 50).unwrap();
        upload.fill(20);
        let mut charge = upload.settle();
        assert_eq!(
            (budget.committed(), budget.used(MemoryKind::Uploads)),
            (20, 20)
        );
        assert_eq!(charge.resize(101).unwrap_err().missing, 1);
        charge.resize(100).unwrap();
        assert_eq!(
            (charge.bytes(), budget.committed(), budget.used_total()),
            (100, 100, 100)
        );
        drop(charge);
        assert_eq!((budget.committed(), budget.used_total()), (0, 0));
    }

    #[test]
    fn a_charge_is_in_use_at_once() {
        let budget = Budget::new(100);
        let charge = budget.charge(MemoryKind::Messages, 100).unwrap();
        assert_eq!(
            (budget.committed(), budget.used(MemoryKind::Messages)),
            (100, 100)
        );
        let over = budget.charge(MemoryKind::Messages, 1).unwrap_err();
        assert_eq!((over.missing, budget.used_total()), (1, 100));
        drop(charge);
        assert_eq!((budget.committed(), budget.used_total()), (0, 0));
    }

    #[test]
    #[should_panic(expected = "more than was reserved")]
    fn filling_unreserved_memory_is_a_bug() {
        Budget::new(100)
            .reserve(MemoryKind::Buffers, 10)
            .unwrap()
            .fill(11);
    }

    proptest! {
        #[test]
        fn counts_add_up(steps in prop::collection::vec((0..4_u8, 0..6_usize, 0..40_u64), 0..60)) {
            let budget = Budget::new(100);
            let mut held: Vec<Reservation> = Vec::new();
            for (step, which, bytes) in steps {
                let committed: u64 = held.iter().map(Reservation::reserved).sum();
                let which = which % held.len().max(1);
                match (step, held.get_mut(which)) {
                    (0, _) | (_, None) => match budget.reserve(MemoryKind::ALL[which % MemoryKind::ALL.len()], bytes) {
                        Ok(reservation) => held.push(reservation),
                        Err(over) => prop_assert_eq!(over.missing, committed + bytes - 100),
                    },
                    (1, Some(one)) => prop_assert_eq!(one.grow(bytes).is_ok(), committed + bytes <= 100),
                    (2, Some(one)) => one.fill(bytes.min(one.reserved() - one.filled())),
                    (_, Some(_)) => drop(held.swap_remove(which)),
                }
                prop_assert_eq!(budget.committed(), held.iter().map(Reservation::reserved).sum::<u64>());
                prop_assert_eq!(budget.used_total(), held.iter().map(Reservation::filled).sum::<u64>());
            }
        }
    }

    #[test]
    fn threads_never_exceed_the_limit() {
        let budget = Budget::new(1000);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..2000 {
                        if let Ok(mut held) = budget.reserve(MemoryKind::Buffers, 300 + round % 7) {
                            held.fill(300);
                            assert!(budget.committed() <= budget.limit());
                            assert!(budget.used_total() <= budget.limit());
                        }
                    }
                });
            }
        });
        assert_eq!((budget.committed(), budget.used_total()), (0, 0));
    }
}
