//! A grant for a token: how a client that a node has forgotten comes back.
//!
//! Verifying signatures is the most that anybody can make the node compute, so what is no grant of
//! an issuer that counts is refused first, and what is left has a budget of its own.

use super::failure::Failed;
use super::{Authority, Quota};
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
            Zeroizing::new(decoded.ok_or_else(|| self.deny(Failed::Grant))?)
        };
        self.exchange_bytes(auth, &bytes, now)
    }

    fn exchange_bytes(&self, auth: &Auth, bytes: &[u8], now: Instant) -> Result<Token, CallError> {
        let grant = SignedGrant::parse(bytes).map_err(|_| self.deny(Failed::Grant))?;
        let (statement, present) = (grant.statement(), clock::now());
        let issuer = auth.issuer(grant.issuer());
        let issuer = issuer.ok_or_else(|| self.deny(Failed::GrantIssuer))?;
        let reference = GrantRef::new(statement.nonce, grant.issuer(), statement.subject);
        if auth.is_revoked(&reference) {
            return Err(self.deny(Failed::Revoked));
        }
        let budget = self.exchanges.admit(now);
        budget.map_err(|refusal| self.exhausted(Quota::Exchange, refusal))?;
        let genuine = grant.verify(&issuer.key);
        genuine
            .and_then(|()| statement.check_use(&auth.name, present.wall_ms / 1000))
            .map_err(|error| self.deny(error.into()))?;

        let left_ms = (statement.not_after.saturating_mul(1000)).saturating_sub(present.wall_ms);
        let caveats: Vec<&[u8]> = statement.caveats.iter().map(|it| it.as_bytes()).collect();
        let wanted = Wanted {
            // One chain for all tokens of a grant, as long as the key is the same: a rate in it
            // is one rate.
            nonce: statement.nonce,
            grant: Some(reference),
            // One that the node does not know leaves nothing; it is the issuer's to say.
            inherited: &caveats,
            caveats: &[],
            life: auth.token_ttl.min(Duration::from_millis(left_ms)),
        };
        self.token(present, &wanted)
    }
}
