//! Making tokens of tokens.

use super::holder::Holder;
use super::{Authority, random};
use crate::call::{CallError, Token};
use crate::clock;
use micronode_engine::Now;
use micronode_protocol::ErrorCode;
use micronode_protocol::capability::keyring::{self, MintError, Wanted};
use micronode_protocol::capability::{KeyRing, Macaroon, base64url};
use micronode_protocol::limits::TOKEN_TTL_MAX;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// What a token is asked to be.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Document {
    caveats: Vec<String>,
    ttl: Option<String>,
}

/// A token to be made, and whose token it is made of.
pub(crate) struct Mint {
    pub(crate) caveats: Vec<String>,
    /// How long it may live; the usual time if it is not said.
    pub(crate) life: Option<Duration>,
    /// Nobody, in development mode: then it is made of nothing.
    pub(crate) holder: Option<Arc<Holder>>,
}

impl Mint {
    /// Reads the document of a request: `{"caveats": […], "ttl": "15m"}`, both of which may be
    /// left out.
    pub(crate) fn parse(document: &[u8], holder: Option<Arc<Holder>>) -> Result<Self, CallError> {
        let bad = |detail| CallError::new(ErrorCode::BadRequest, detail);
        // The parser would also take an array of the members' values.
        let is_object = document.trim_ascii_start().starts_with(b"{");
        let parsed = is_object.then(|| serde_json::from_slice(document).ok());
        let Document { caveats, ttl } = parsed.flatten().ok_or_else(|| {
            bad("the body must be {\"caveats\": [\"op = get\", …], \"ttl\": \"15m\"}")
        })?;
        let life = ttl.map(|ttl| {
            crate::config::duration::parse(&ttl)
                .ok()
                .filter(|life| !life.is_zero() && *life <= TOKEN_TTL_MAX)
                .ok_or_else(|| bad("ttl is a duration of at most 24h, such as 90s, 15m or 1h"))
        });
        Ok(Self {
            caveats,
            life: life.transpose()?,
            holder,
        })
    }
}

impl Authority {
    /// Makes a token: the holder's caveats, and those that are asked for.
    ///
    /// It is a token of its own, on the key of now. One whose holder has a rate is the holder's
    /// own with more caveats: the rate is for all that is made of it, and a chain of its own would
    /// have a bucket of its own.
    pub(crate) fn mint(&self, default: Duration, mint: &Mint) -> Result<Token, CallError> {
        let now = clock::now();
        self.rotate(now);
        let holder = mint.holder.as_deref();
        let own = holder.map(Holder::token);
        let asked: Vec<&[u8]> = mint.caveats.iter().map(|text| text.as_bytes()).collect();
        let life = mint.life.unwrap_or(default);
        let keys = self.keys.load();
        let made = match (holder, &own) {
            (Some(holder), Some(own)) if !holder.rates().is_empty() => {
                let life = u64::try_from(life.as_millis()).unwrap_or(u64::MAX);
                let end = keyring::before(now.wall_ms.saturating_add(life));
                let caveats = asked.iter().copied().chain([end.as_bytes()]);
                keyring::check(&asked).and_then(|()| Ok(own.attenuate_all(caveats)?))
            }
            _ => {
                let inherited = own.as_ref().map_or(&[][..], Macaroon::caveats);
                let wanted = Wanted {
                    nonce: random(),
                    grant: holder.and_then(|holder| holder.verified().identifier.grant),
                    inherited,
                    caveats: &asked,
                    life,
                };
                keys.mint(now.mono_ms, now.wall_ms, &wanted)
            }
        };
        self.told(&keys, now, &Zeroizing::new(made.map_err(refused)?))
    }

    /// Makes a token of nothing but what is wanted of it.
    pub(super) fn token(&self, now: Now, wanted: &Wanted<'_>) -> Result<Token, CallError> {
        self.rotate(now);
        let keys = self.keys.load();
        let made = keys.mint(now.mono_ms, now.wall_ms, wanted);
        self.told(&keys, now, &Zeroizing::new(made.map_err(refused)?))
    }

    /// A token that was just made, and when it ends: whoever's caveat that is, or with its key,
    /// which may have died meanwhile.
    fn told(&self, keys: &KeyRing, now: Now, bytes: &[u8]) -> Result<Token, CallError> {
        let made = Macaroon::parse(bytes).map_err(keyring::Invalid::from);
        let made = made.and_then(|made| keys.verify(&made, now.mono_ms));
        let made = made.map_err(|invalid| self.deny(invalid.into()))?;
        let ends = made.rights.before();
        let ends = ends.map_or(u64::MAX, |end| end.as_millis() as u64);
        let key_ends = made.key_dies_ms.map_or(u64::MAX, |dies_ms| {
            now.wall_ms
                .saturating_add(dies_ms.saturating_sub(now.mono_ms))
        });
        Ok(Token {
            text: Zeroizing::new(base64url::encode(bytes)),
            expires_ms: ends.min(key_ends),
        })
    }
}

fn refused(error: MintError) -> CallError {
    CallError::new(ErrorCode::BadRequest, error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_document_is_read_strictly() {
        let parse =
            |text: &str| Mint::parse(text.as_bytes(), None).map(|mint| (mint.caveats, mint.life));
        assert_eq!(parse("{}").unwrap(), (vec![], None));
        let whole = parse(r#"{"caveats":["op = get"],"ttl":"90s"}"#).unwrap();
        assert_eq!(
            whole,
            (vec!["op = get".to_owned()], Some(Duration::from_secs(90)))
        );
        assert!(parse(r#"{"ttl":"24h"}"#).is_ok());
        for bad in [
            "",
            "[]",
            "null",
            r#"{"caveat":[]}"#,
            r#"{"caveats":"op = get"}"#,
            r#"{"ttl":90}"#,
            r#"{"ttl":"90"}"#,
            r#"{"ttl":"0s"}"#,
            r#"{"ttl":"24h1ms"}"#,
            r#"{"ttl":"25h"}"#,
        ] {
            let code = parse(bad).map_err(|error| error.code);
            assert_eq!(code, Err(ErrorCode::BadRequest), "{bad}");
        }
    }
}
