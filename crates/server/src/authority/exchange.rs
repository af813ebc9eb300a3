//! A grant for a token: how a client that a node has forgotten comes back.
//!
//! Verifying signatures is the most that anybody can make the node compute, so all that can be
//! refused without it is refused first, and what is left has a budget of its own.

use super::failure::Failed;
use super::{Authority, Quota, random};
use crate::call::{CallError, Token};
use crate::clock;
use crate::config::Auth;
use micronode_protocol::capability::grant::SignedGrant;
use micronode_protocol::capability::keyring::Wanted;
use micronode_protocol::capability::{GrantRef, base64url};
use micronode_protocol::limits::GRANT_BYTES;
use std::time::Duration;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// What a grant starts with; its text starts otherwise.
const MAGIC: &[u8] = b"MNG1";

impl Authority {
    /// Makes the token that a grant is good for: with its caveats, and no longer than it lasts.
    /// `grant` is its bytes, or their text.
    pub(crate) fn exchange(
        &self,
        auth: &Auth,
        grant: &[u8],
        now: Instant,
    ) -> Result<Token, CallError> {
        let bytes = if grant.starts_with(MAGIC) {
            Zeroizing::new(grant.to_vec())
        } else {
            let decoded = base64url::decode(grant.trim_ascii(), GRANT_BYTES);
            Zeroizing::new(decoded.ok_or_else(|| self.refuse(Failed::Grant, now))?)
        };
        self.exchange_bytes(auth, &bytes, now)
    }

    fn exchange_bytes(&self, auth: &Auth, bytes: &[u8], now: Instant) -> Result<Token, CallError> {
        let refuse = |failed| self.refuse(failed, now);
        let grant = SignedGrant::parse(bytes).map_err(|_| refuse(Failed::Grant))?;
        let (statement, present) = (grant.statement(), clock::now());
        let issuer = auth.issuer(grant.issuer());
        let issuer = issuer.ok_or_else(|| refuse(Failed::GrantIssuer))?;
        let reference = GrantRef::new(statement.nonce, grant.issuer(), statement.subject);
        if auth.is_revoked(&reference) {
            return Err(refuse(Failed::Revoked));
        }
        let seconds = present.wall_ms / 1000;
        let usable = statement.check_use(&auth.name, seconds);
        usable.map_err(|error| refuse(error.into()))?;
        let budget = self.exchanges.admit(now);
        budget.map_err(|refusal| self.exhausted(Quota::Exchange, refusal))?;
        let genuine = grant.verify(&issuer.key);
        genuine.map_err(|error| refuse(error.into()))?;

        let left_ms = (statement.not_after.saturating_mul(1000)).saturating_sub(present.wall_ms);
        let caveats: Vec<&[u8]> = statement.caveats.iter().map(|it| it.as_bytes()).collect();
        self.token(&Wanted {
            nonce: random(),
            grant: Some(reference),
            // One that the node does not know leaves nothing; it is the issuer's to say.
            inherited: &caveats,
            caveats: &[],
            life: auth.token_ttl.min(Duration::from_millis(left_ms)),
        })
    }
}
