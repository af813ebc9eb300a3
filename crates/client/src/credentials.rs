//! What a client presents: the token that it was set up with, or those that it exchanges its grant
//! for, one after another.
//!
//! Clones of a client share them. There is one exchange at a time: ahead of a token's end, whoever
//! comes first makes it, and the others go on with the token as long as it lives; without a token
//! that lives, the others wait, and share what came of it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use micronode_protocol::limits::TOKEN_TTL;
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard};
use tokio::time::{Instant, timeout};

use crate::{ClientOptions, Error, Grant, Minted, Token, TransportError, clock};

/// The shortest life of a token that a node can be set to.
const SHORTEST_LIFE: Duration = Duration::from_secs(1);

/// A token is renewed when less than a quarter of its life is left, or than this.
const AHEAD: Duration = Duration::from_secs(60);

/// A token that is younger, and that the node has never taken, is not refused for its age: another
/// would be refused as well. So a client that may not do what it asks for exchanges once in this
/// time at most.
const NEW: Duration = Duration::from_secs(10);

/// A token, and how long it is good for as far as this host can know.
pub(crate) struct Lease {
    token: Token,
    /// Counts the tokens of a client, from 1.
    generation: u64,
    asked_at: Instant,
    life: Duration,
    /// The node has done something for it.
    taken: AtomicBool,
}

impl Lease {
    pub(crate) fn token(&self) -> &Token {
        &self.token
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    fn lives(&self, now: Instant) -> bool {
        now - self.asked_at < self.life
    }
}

/// See the [module](self).
pub(crate) struct Credentials {
    grant: Option<Grant>,
    held: Mutex<Held>,
    /// Locked by whoever exchanges.
    turn: AsyncMutex<()>,
    /// How long one waits for that.
    patience: Duration,
}

#[derive(Default)]
struct Held {
    lease: Option<Arc<Lease>>,
    /// When `lease` is renewed ahead of its end.
    renew_at: Option<Instant>,
    /// Exchanges that failed, and how the last of them did.
    failures: u64,
    failure: Option<Arc<Error>>,
}

impl Held {
    fn generation(&self) -> u64 {
        self.lease.as_ref().map_or(0, |lease| lease.generation)
    }
}

impl Credentials {
    pub(crate) fn new(options: &ClientOptions) -> Self {
        let fixed = options.token.clone().map(|token| {
            Arc::new(Lease {
                token,
                generation: 1,
                asked_at: Instant::now(),
                life: Duration::MAX,
                taken: AtomicBool::new(false),
            })
        });
        Credentials {
            grant: options.grant.clone().filter(|_| fixed.is_none()),
            held: Mutex::new(Held {
                lease: fixed,
                ..Held::default()
            }),
            turn: AsyncMutex::default(),
            patience: options.timeouts.connect + options.timeouts.write,
        }
    }

    /// What a request presents that is sent now.
    pub(crate) fn current(&self) -> Option<Arc<Lease>> {
        self.held.lock().lease.clone()
    }

    /// What the next request presents: one that lives, if this host can know.
    pub(crate) async fn lease<F>(
        &self,
        exchange: impl FnOnce(Grant) -> F,
    ) -> Result<Option<Arc<Lease>>, Error>
    where
        F: Future<Output = Result<Minted, Error>>,
    {
        let Some(grant) = &self.grant else {
            return Ok(self.current());
        };
        let Some(lease) = self.living() else {
            let generation = self.held.lock().generation();
            return self.newer(generation, exchange).await.map(Some);
        };
        if self.is_due()
            && let Ok(turn) = self.turn.try_lock()
            // Somebody may just have been done with it.
            && self.is_due()
        {
            // A failure is no harm yet, and postpones the next attempt.
            let _ = self.exchange(turn, exchange(grant.clone())).await;
        }
        Ok(self.current().or(Some(lease)))
    }

    /// What came of a call under `lease`. If the node refused the token, and another may do, the
    /// client has that one when this returns, and the error is retryable.
    pub(crate) async fn judge<T, F>(
        &self,
        lease: Option<Arc<Lease>>,
        result: Result<T, Error>,
        exchange: impl FnOnce(Grant) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<Minted, Error>>,
    {
        let Some(lease) = lease.filter(|_| self.grant.is_some()) else {
            return result;
        };
        match result {
            Err(Error::Problem(mut problem)) if self.may_be_outlived(&lease, problem.status) => {
                self.newer(lease.generation, exchange).await?;
                problem.retryable = true;
                Err(Error::Problem(problem))
            }
            result => {
                // That there is no such object is told only to whom it may be told.
                let taken = result
                    .as_ref()
                    .map_or_else(|error| error.status() == Some(404), |_| true);
                if taken {
                    lease.taken.store(true, Ordering::Relaxed);
                }
                result
            }
        }
    }

    /// Whether a token may have been refused because it is no longer good. A node says 401 when it
    /// does not know its key, as after a restart, and 403 when its time is over, as after a sleep
    /// of this host that its clock has not counted.
    fn may_be_outlived(&self, lease: &Lease, status: u16) -> bool {
        let is_old = lease.asked_at.elapsed() >= NEW;
        match status {
            401 => {
                is_old
                    || lease.taken.load(Ordering::Relaxed)
                    || self.held.lock().generation() > lease.generation
            }
            403 => is_old,
            _ => false,
        }
    }

    fn living(&self) -> Option<Arc<Lease>> {
        let now = Instant::now();
        self.current().filter(|lease| lease.lives(now))
    }

    fn is_due(&self) -> bool {
        let renew_at = self.held.lock().renew_at;
        renew_at.is_some_and(|at| at <= Instant::now())
    }

    /// A token that is newer than that of `generation`: made now, or by somebody else meanwhile.
    async fn newer<F>(
        &self,
        generation: u64,
        exchange: impl FnOnce(Grant) -> F,
    ) -> Result<Arc<Lease>, Error>
    where
        F: Future<Output = Result<Minted, Error>>,
    {
        let grant = self.grant.clone().expect("asked for by who has one");
        let failures = self.held.lock().failures;
        let turn = timeout(self.patience, self.turn.lock()).await;
        let turn = turn.map_err(|_| TransportError::Stalled(self.patience))?;
        {
            let held = self.held.lock();
            if let Some(lease) = &held.lease
                && lease.generation > generation
            {
                return Ok(Arc::clone(lease));
            }
            if let Some(failure) = &held.failure
                && held.failures > failures
            {
                return Err(Error::Grant(Arc::clone(failure)));
            }
        }
        self.exchange(turn, exchange(grant)).await
    }

    /// Exchanges the grant; `_turn` is held meanwhile.
    async fn exchange(
        &self,
        _turn: MutexGuard<'_, ()>,
        exchange: impl Future<Output = Result<Minted, Error>>,
    ) -> Result<Arc<Lease>, Error> {
        let asked_at = Instant::now();
        let exchanged = exchange.await;
        let mut held = self.held.lock();
        match exchanged {
            Ok(minted) => {
                let life = life(clock::until(minted.expires_at));
                let lease = Arc::new(Lease {
                    token: minted.token,
                    generation: held.generation() + 1,
                    asked_at,
                    life,
                    taken: AtomicBool::new(false),
                });
                held.lease = Some(Arc::clone(&lease));
                held.renew_at = Some(asked_at + life - AHEAD.min(life / 4));
                Ok(lease)
            }
            Err(error) => {
                let error = Arc::new(error);
                held.failures += 1;
                held.failure = Some(Arc::clone(&error));
                // Again when half of what is left is over.
                let now = Instant::now();
                held.renew_at = held.lease.as_ref().map(|lease| {
                    let left = lease.life.saturating_sub(now - lease.asked_at);
                    now + left / 2
                });
                Err(Error::Grant(error))
            }
        }
    }
}

/// How long a new token is taken to live that ends `left` from now by the clock of this host.
///
/// Its end is a time of the node's clock, and the two may differ. Ahead of the node's, ours would
/// have a token ended that is new: it gets the usual life. Behind, it would let one live too long:
/// no longer than the usual life either. Whatever remains wrong, the node says: a token that it
/// refuses is exchanged anew.
fn life(left: Duration) -> Duration {
    if left.is_zero() {
        TOKEN_TTL
    } else {
        left.clamp(SHORTEST_LIFE, TOKEN_TTL)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
