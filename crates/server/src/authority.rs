//! What a request may do, by the capability that it brings.
//!
//! ```text
//! token ─► parse, key, signature ─► Holder ─► stands? ─► allows? ─► (the call is known) narrow
//!          401                                401, 403    403                            403
//! ```
//!
//! Nothing is allowed because of where a request comes from. The one exception is a node in
//! development mode, which serves loopback only: there, who brings no token may do everything, and
//! who brings one is held to it.
//!
//! Nothing is remembered of a token beyond the connection that brought it: verifying one again
//! costs a few microseconds, and an answer that is not kept cannot be given to another.

mod body;
mod exchange;
mod failure;
mod holder;
mod mint;
mod scope;
mod token_rates;

pub(crate) use body::Standing;
pub(crate) use failure::Failed;
pub(crate) use holder::Holder;
pub(crate) use mint::Mint;
pub(crate) use scope::Scope;

use crate::call::CallError;
use crate::clock;
use crate::config::{Auth, Config};
use crate::locked::Locked;
use crate::node::Node;
use arc_swap::ArcSwap;
use micronode_engine::Now;
use micronode_hardening::{RateLimiter, Refusal};
use micronode_protocol::ErrorCode;
use micronode_protocol::capability::{Access, Fresh, KeyRing, Lives, Macaroon, base64url, keyring};
use micronode_protocol::limits::{
    CAPABILITY_BYTES, GRANTS_PER_EXCHANGE, UNAUTHENTICATED_BURST, UNAUTHENTICATED_RATE_MIN,
    UNAUTHENTICATED_RATE_PERCENT,
};
use micronode_protocol::operation::TOKEN_TEXT_BYTES;
use parking_lot::Mutex;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use token_rates::TokenRates;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// What a request brought as its authority.
pub(crate) enum Presented<'a> {
    /// Nothing.
    Nothing,
    /// A token as text, in a header field.
    Text(&'a [u8]),
    /// A token as text, in a link.
    Link(&'a [u8]),
    /// A token.
    Bytes(&'a [u8]),
    /// Something that cannot be one, or more than one.
    Malformed,
}

/// The quotas whose exhaustion is counted.
#[derive(Clone, Copy)]
pub(crate) enum Quota {
    /// Requests without authority.
    Unauthenticated,
    /// A rate that a token carries.
    Token,
    /// Grants being exchanged.
    Exchange,
}

impl Quota {
    /// The values of the label `quota`.
    pub(crate) const ALL: [(Self, &'static str); 3] = [
        (Self::Unauthenticated, "unauthenticated_rate"),
        (Self::Token, "token_rate"),
        (Self::Exchange, "exchange_rate"),
    ];
}

/// Ages of keys in milliseconds.
pub(crate) struct KeyAges {
    /// As old as the node.
    pub(crate) operator: u64,
    pub(crate) current: u64,
    /// Until no token that was made with it can live.
    pub(crate) previous: Option<u64>,
}

/// See the [module](self).
pub(crate) struct Authority {
    dev: bool,
    began_ms: u64,
    /// Replaced as a whole when a key is: requests read it without a lock.
    keys: ArcSwap<Locked<KeyRing>>,
    /// Held while one is being replaced.
    rotating: Mutex<()>,
    rates: TokenRates,
    /// For requests that have no authority, so that they never take from those that have.
    unauthenticated: RateLimiter,
    /// Grants to be read, and those whose signatures are to be verified.
    grants: RateLimiter,
    exchanges: RateLimiter,
    failures: [AtomicU64; Failed::ALL.len()],
    exhausted: [AtomicU64; Quota::ALL.len()],
}

impl Authority {
    /// The authority of a node that starts now.
    pub(crate) fn new(config: &Config, now: Now, started: Instant) -> Self {
        let auth = &config.auth;
        let lives = Lives {
            key: auth.key_ttl,
            token: auth.token_ttl,
        };
        let keys = KeyRing::new(&auth.name, lives, now.mono_ms, &fresh(), &fresh());
        let rate = unauthenticated_rate(config.limits.rps);
        Self {
            dev: config.dev,
            began_ms: now.mono_ms,
            keys: ArcSwap::from_pointee(Locked::new(keys)),
            rotating: Mutex::default(),
            rates: TokenRates::default(),
            unauthenticated: RateLimiter::new(rate, UNAUTHENTICATED_BURST, started),
            grants: RateLimiter::new(grant_rate(auth), UNAUTHENTICATED_BURST, started),
            exchanges: RateLimiter::new(auth.exchange_rps, UNAUTHENTICATED_BURST, started),
            failures: [const { AtomicU64::new(0) }; Failed::ALL.len()],
            exhausted: [const { AtomicU64::new(0) }; Quota::ALL.len()],
        }
    }

    /// Takes over what a reload may change.
    pub(crate) fn apply(&self, config: &Config) {
        self.unauthenticated
            .set_rate(unauthenticated_rate(config.limits.rps));
        self.grants.set_rate(grant_rate(&config.auth));
        self.exchanges.set_rate(config.auth.exchange_rps);
    }

    /// The operator's token, as text.
    pub(crate) fn operator_token(&self) -> Zeroizing<String> {
        let bytes = Zeroizing::new(self.keys.load().operator_token(random()));
        Zeroizing::new(base64url::encode(&bytes))
    }

    /// How old the keys are.
    pub(crate) fn ages_ms(&self, now: Now) -> KeyAges {
        let (current, previous) = self.keys.load().ages_ms(now.mono_ms);
        KeyAges {
            operator: now.mono_ms.saturating_sub(self.began_ms),
            current,
            previous,
        }
    }

    /// Lets a new key take over when it is time.
    pub(crate) fn rotate(&self, now: Now) {
        if self.keys.load().next_rotation_ms() > now.mono_ms {
            return;
        }
        let _rotating = self.rotating.lock();
        let mut keys = KeyRing::clone(&***self.keys.load());
        keys.rotate(now.mono_ms, fresh);
        self.keys.store(Arc::new(Locked::new(keys)));
    }

    /// Who makes a request, if it may make it. `None` is whoever may do everything: nobody but in
    /// development mode.
    pub(crate) fn authenticate(
        &self,
        auth: &Auth,
        presented: &Presented<'_>,
        access: &Access<'_>,
        peer: IpAddr,
    ) -> Result<Option<Arc<Holder>>, Failed> {
        let token = match presented {
            Presented::Nothing if self.dev => return Ok(None),
            Presented::Nothing => return Err(Failed::Missing),
            Presented::Malformed => return Err(Failed::Malformed),
            Presented::Bytes(bytes) if bytes.len() > CAPABILITY_BYTES => {
                return Err(Failed::TooLong);
            }
            Presented::Bytes(bytes) => bytes.to_vec(),
            Presented::Text(text) | Presented::Link(text) if text.len() > TOKEN_TEXT_BYTES => {
                return Err(Failed::TooLong);
            }
            Presented::Text(text) | Presented::Link(text) => {
                base64url::decode(text, CAPABILITY_BYTES).ok_or(Failed::Malformed)?
            }
        };
        let holder = self.holder(Zeroizing::new(token), auth, peer)?;
        holder.allows(access)?;
        if matches!(presented, Presented::Link(_)) && !holder.fits_a_link(access) {
            return Err(Failed::NotALink);
        }
        Ok(Some(Arc::new(holder)))
    }

    /// Who holds a token of this node that stands.
    pub(crate) fn holder(
        &self,
        token: Zeroizing<Vec<u8>>,
        auth: &Auth,
        peer: IpAddr,
    ) -> Result<Holder, Failed> {
        let now = clock::now();
        let macaroon = Macaroon::parse(&token).map_err(keyring::Invalid::from)?;
        let verified = self.keys.load().verify(&macaroon, now.mono_ms)?;
        let holder = Holder::new(token, verified, peer);
        holder.stands(auth, now)?;
        Ok(holder)
    }

    /// Counts a failure, and turns it into an answer: its own, or, for strangers who fail too
    /// often, to come back later. Who holds a token is known, and is told what is the matter.
    pub(crate) fn refuse(&self, failed: Failed, now: Instant) -> CallError {
        if failed.code() == ErrorCode::Forbidden {
            return self.deny(failed);
        }
        self.count(failed);
        match self.unauthenticated.admit(now) {
            Ok(()) => failed.error(),
            Err(refusal) => self.exhausted(Quota::Unauthenticated, refusal),
        }
    }

    /// Counts a failure of somebody who has been let in, and turns it into its answer.
    pub(crate) fn deny(&self, failed: Failed) -> CallError {
        self.count(failed);
        failed.error()
    }

    /// Lets somebody try to exchange a grant.
    pub(crate) fn admit_grant(&self, now: Instant) -> Result<(), CallError> {
        let admitted = self.grants.admit(now);
        admitted.map_err(|refusal| self.exhausted(Quota::Exchange, refusal))
    }

    /// Counts a failure.
    pub(crate) fn count(&self, failed: Failed) {
        self.failures[failed as usize].fetch_add(1, Relaxed);
    }

    /// Counts a quota that is used up.
    pub(crate) fn exhausted(&self, quota: Quota, refusal: Refusal) -> CallError {
        self.exhausted[quota as usize].fetch_add(1, Relaxed);
        refusal.into()
    }

    /// Draws on the rates that the holder's token carries.
    pub(crate) fn spend(&self, holder: &Holder, now: Instant) -> Result<(), CallError> {
        // The narrowest first: what it refuses takes nothing from those that it was made of.
        holder.rates().iter().rev().try_for_each(|(id, rate)| {
            let spent = self.rates.admit(*id, *rate, now);
            spent.map_err(|refusal| self.exhausted(Quota::Token, refusal))
        })
    }

    /// Failures by reason.
    pub(crate) fn failures(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let count = |failed: &Failed| self.failures[*failed as usize].load(Relaxed);
        Failed::ALL
            .iter()
            .map(move |failed| (failed.as_str(), count(failed)))
    }

    /// Exhaustions by quota.
    pub(crate) fn exhaustions(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Quota::ALL
            .iter()
            .map(|(quota, name)| (*name, self.exhausted[*quota as usize].load(Relaxed)))
    }
}

impl Node {
    /// Whether a token that a request in progress came with still stands; counted when it has
    /// ended.
    pub(crate) fn stands(&self, holder: &Holder) -> bool {
        let stands = holder.stands(&self.config.load().auth, clock::now());
        if stands.is_err() {
            self.authority.count(Failed::Ended);
        }
        stands.is_ok()
    }
}

fn grant_rate(auth: &Auth) -> u64 {
    auth.exchange_rps * GRANTS_PER_EXCHANGE
}

fn unauthenticated_rate(rps: u64) -> u64 {
    match rps {
        0 => 0,
        rps => (rps * UNAUTHENTICATED_RATE_PERCENT / 100).max(UNAUTHENTICATED_RATE_MIN),
    }
}

/// A key from the system's randomness.
///
/// # Panics
///
/// If the system has none: without it there are no keys, and nothing would be safe.
fn fresh() -> Fresh {
    Fresh {
        id: random(),
        secret: random(),
    }
}

pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    bytes
}
