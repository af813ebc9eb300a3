//! Session tickets: what lets a client that was here before leave out the signature.
//!
//! A ticket is the state of a session, sealed with a key that exists nowhere but in this process.
//! The key is replaced every `ttl` and opens tickets for as long again; then it is gone, and with
//! it whatever could be done with a ticket that somebody has recorded. Time is passed in, in
//! milliseconds of a clock that goes on while the machine sleeps.

use crate::locked::Locked;
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use parking_lot::RwLock;
use rustls::server::ProducesTickets;
use std::fmt;
use std::mem;
use std::time::Duration;
use zeroize::Zeroizing;

/// Seals and opens tickets.
pub(super) struct Ticketer {
    ttl: Duration,
    keys: RwLock<Keys>,
}

struct Keys {
    /// Seals since then, and opens.
    current: Key,
    since_ms: u64,
    /// Opens what it sealed before; with when it began.
    previous: Option<(Key, u64)>,
}

/// A key lies in memory of its own. The library's copy, which cannot be locked, is made for each
/// ticket anew and cleansed with it.
struct Key(Locked<Zeroizing<[u8; 32]>>);

impl Key {
    fn random() -> Self {
        let mut key = Locked::new(Zeroizing::new([0; 32]));
        getrandom::fill(&mut **key).expect("a system that has booted has random numbers");
        Self(key)
    }

    /// Nonces are random, and the mode of operation forgives a nonce that comes twice.
    fn cipher(&self) -> RandomizedNonceKey {
        let bytes: &[u8] = &**self.0;
        RandomizedNonceKey::new(&AES_256_GCM_SIV, bytes).expect("the key has the cipher's length")
    }
}

impl Ticketer {
    pub(super) fn new(ttl: Duration, now_ms: u64) -> Self {
        let keys = RwLock::new(Keys {
            current: Key::random(),
            since_ms: now_ms,
            previous: None,
        });
        Self { ttl, keys }
    }

    /// Replaces the key when its time is over, and forgets the one before it.
    pub(super) fn rotate(&self, now_ms: u64) {
        let age = Duration::from_millis(now_ms.saturating_sub(self.keys.read().since_ms));
        if age < self.ttl {
            return;
        }
        let new = Key::random();
        let mut keys = self.keys.write();
        let old = mem::replace(&mut keys.current, new);
        // A machine that slept may find that both have had their time.
        keys.previous = (age < self.ttl * 2).then_some((old, keys.since_ms));
        keys.since_ms = now_ms;
    }

    /// The age of the key, and of the one before it.
    pub(super) fn ages_ms(&self, now_ms: u64) -> (u64, Option<u64>) {
        let keys = self.keys.read();
        let age = |since_ms: u64| now_ms.saturating_sub(since_ms);
        let previous = keys.previous.as_ref().map(|(_, since_ms)| age(*since_ms));
        (age(keys.since_ms), previous)
    }
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    /// The least time in which a ticket made now will be taken.
    fn lifetime(&self) -> u32 {
        u32::try_from(self.ttl.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = plain.to_vec();
        let keys = self.keys.read();
        let nonce = keys
            .current
            .cipher()
            .seal_in_place_append_tag(Aad::empty(), &mut sealed)
            .ok()?;
        sealed.extend_from_slice(nonce.as_ref());
        Some(sealed)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (sealed, nonce) = ticket.split_last_chunk::<NONCE_LEN>()?;
        let keys = self.keys.read();
        let previous = keys.previous.as_ref().map(|(key, _)| key);
        [Some(&keys.current), previous]
            .into_iter()
            .flatten()
            .find_map(|key| {
                let mut opened = sealed.to_vec();
                let nonce = Nonce::assume_unique_for_key(*nonce);
                let plain = key
                    .cipher()
                    .open_in_place(nonce, Aad::empty(), &mut opened)
                    .ok()?;
                let length = plain.len();
                opened.truncate(length);
                Some(opened)
            })
    }
}

/// Says nothing of the keys.
impl fmt::Debug for Ticketer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticketer").field("ttl", &self.ttl).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const TTL: Duration = Duration::from_secs(60);
    const TTL_MS: u64 = 60_000;
    const START_MS: u64 = 1_000_000;

    fn ticketer() -> Ticketer {
        Ticketer::new(TTL, START_MS)
    }

    #[test]
    fn a_ticket_opens_to_what_was_sealed_and_no_two_are_alike() {
        let tickets = ticketer();
        let (one, two) = (tickets.encrypt(b"state"), tickets.encrypt(b"state"));
        assert_ne!(one, two);
        for ticket in [one, two] {
            assert_eq!(tickets.decrypt(&ticket.unwrap()).unwrap(), b"state");
        }
    }

    #[test]
    fn a_ticket_outlives_its_key_by_one_period_and_no_more() {
        let tickets = ticketer();
        let first = tickets.encrypt(b"first").unwrap();
        tickets.rotate(START_MS + TTL_MS - 1);
        let last = tickets.encrypt(b"last").unwrap();

        tickets.rotate(START_MS + TTL_MS);
        for ticket in [&first, &last] {
            assert!(tickets.decrypt(ticket).is_some(), "in its grace period");
        }
        let next = tickets.encrypt(b"next").unwrap();
        tickets.rotate(START_MS + TTL_MS * 2 - 1);
        assert!(tickets.decrypt(&last).is_some());

        tickets.rotate(START_MS + TTL_MS * 2);
        for ticket in [&first, &last] {
            assert!(tickets.decrypt(ticket).is_none(), "its key is gone");
        }
        assert!(tickets.decrypt(&next).is_some());
    }

    #[test]
    fn keys_are_as_old_as_their_periods() {
        let tickets = ticketer();
        assert_eq!(tickets.ages_ms(START_MS + 7), (7, None));
        tickets.rotate(START_MS + TTL_MS);
        let ages = tickets.ages_ms(START_MS + TTL_MS + 5);
        assert_eq!(ages, (5, Some(TTL_MS + 5)));
        tickets.rotate(START_MS + TTL_MS * 3);
        assert_eq!(tickets.ages_ms(START_MS + TTL_MS * 3), (0, None));
    }

    #[test]
    fn after_a_long_sleep_no_ticket_from_before_opens() {
        let tickets = ticketer();
        let ticket = tickets.encrypt(b"state").unwrap();
        tickets.rotate(START_MS + TTL_MS * 2);
        assert!(tickets.decrypt(&ticket).is_none());
    }

    #[test]
    fn nothing_else_opens() {
        let tickets = ticketer();
        let ticket = tickets.encrypt(b"state").unwrap();
        for bit in 0..ticket.len() * 8 {
            let mut other = ticket.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(tickets.decrypt(&other).is_none(), "bit {bit}");
        }
        for length in 0..ticket.len() {
            assert!(tickets.decrypt(&ticket[..length]).is_none(), "{length}");
        }
        let another_node = ticketer();
        assert!(another_node.decrypt(&ticket).is_none());
    }

    #[test]
    fn what_is_printed_of_it_holds_no_key() {
        let tickets = ticketer();
        assert_eq!(format!("{tickets:?}"), "Ticketer { ttl: 60s }");
    }
}
