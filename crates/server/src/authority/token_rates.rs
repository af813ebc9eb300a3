//! The rates that tokens carry (`rps = …`): one bucket for each, shared by everything that was
//! made of the token from there on.
//!
//! A bucket that is full again is as good as none, so it can be forgotten at any time. That bounds
//! them: at the least rate a bucket is full a second after its last request. Should more be in use
//! than there is room for, a newcomer is refused: a rate that cannot be counted is not granted.

use micronode_hardening::{RateLimiter, Reason, Refusal};
use micronode_protocol::capability::keyring::BucketId;
use micronode_protocol::limits::{RATE_BURST, TOKEN_RATES};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;
use tokio::time::Instant;

/// Unrelated tokens rarely share a lock.
const SHARDS: usize = 16;
const BUCKETS_PER_SHARD: usize = TOKEN_RATES / SHARDS;

type Shard = HashMap<BucketId, RateLimiter>;

/// See the [module](self).
#[derive(Default)]
pub(super) struct TokenRates([Mutex<Shard>; SHARDS]);

impl TokenRates {
    /// Spends one request of a bucket, or says when the next one may come.
    pub(super) fn admit(
        &self,
        id: BucketId,
        rate: NonZeroU32,
        now: Instant,
    ) -> Result<(), Refusal> {
        // The id is a hash, so its lowest bits are as good as any.
        let mut shard = self.0[id as usize % SHARDS].lock();
        if !shard.contains_key(&id) && shard.len() >= BUCKETS_PER_SHARD {
            shard.retain(|_, bucket| bucket.reset_after(now) > Duration::ZERO);
            if shard.len() >= BUCKETS_PER_SHARD {
                let detail = "too many rates of capabilities are in use";
                return Err(Refusal::new(Reason::RateLimited, detail)
                    .with_retry_after(Duration::from_secs(1)));
            }
        }
        shard
            .entry(id)
            .or_insert_with(|| RateLimiter::new(rate.get().into(), RATE_BURST, now))
            .admit(now)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ONE: NonZeroU32 = NonZeroU32::MIN;

    #[test]
    fn each_bucket_has_its_own_rate() {
        let (rates, now) = (TokenRates::default(), crate::clock::instant());
        let fifty = NonZeroU32::new(50).unwrap();
        // A tenth of a second's worth at once, as for all rates.
        for _ in 0..5 {
            rates.admit(1, fifty, now).unwrap();
        }
        assert!(rates.admit(1, fifty, now).is_err());
        rates.admit(2, ONE, now).unwrap();
        assert!(rates.admit(2, ONE, now).is_err());
        let later = now + Duration::from_millis(20);
        rates.admit(1, fifty, later).unwrap();
        assert!(rates.admit(2, ONE, later).is_err());
    }

    #[test]
    fn at_the_cap_those_in_use_stay_and_those_that_rest_give_way() {
        let (rates, now) = (TokenRates::default(), crate::clock::instant());
        let ids = |count: usize| (0..count).map(|index| (index * SHARDS) as BucketId);
        for id in ids(BUCKETS_PER_SHARD) {
            rates.admit(id, ONE, now).unwrap();
        }
        let newcomer = (BUCKETS_PER_SHARD * SHARDS) as BucketId;
        assert!(rates.admit(newcomer, ONE, now).is_err(), "one more");
        assert!(
            rates.admit(newcomer + 1, ONE, now).is_ok(),
            "of another shard"
        );
        let rested = now + Duration::from_secs(1);
        rates.admit(newcomer, ONE, rested).unwrap();
        assert_eq!(rates.0[0].lock().len(), 1);
    }
}
