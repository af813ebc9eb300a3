//! `grant.json`: a grant that others have made and signed.

use micronode_protocol::capability::base64url;
use micronode_protocol::capability::grant::{IssuerKey, SignedGrant, Statement};
use micronode_protocol::limits::GRANT_BYTES;
use serde::Deserialize;

use super::hex;

#[derive(Deserialize)]
struct Vector {
    ed25519: String,
    mldsa65: String,
    issuer: String,
    statement: Said,
    grant: String,
}

#[derive(Deserialize)]
struct Said {
    audience: String,
    subject: String,
    not_before: u64,
    not_after: u64,
    nonce: String,
    caveats: Vec<String>,
}

#[test]
fn a_grant_of_other_implementations_says_what_they_put_into_it_and_verifies() {
    let Vector {
        ed25519,
        mldsa65,
        issuer,
        statement: said,
        grant,
    } = serde_json::from_str(include_str!("../../vectors/grant.json")).unwrap();
    let key = IssuerKey::parse(&ed25519, &mldsa65).unwrap();
    assert_eq!(key.id()[..], hex(&issuer));
    assert_eq!(key.ed25519_text(), ed25519);
    assert_eq!(key.mldsa65_text(), mldsa65);

    let statement = Statement {
        audience: &said.audience,
        subject: &said.subject,
        not_before: said.not_before,
        not_after: said.not_after,
        nonce: hex(&said.nonce).try_into().unwrap(),
        caveats: said.caveats.iter().map(String::as_str).collect(),
    };
    let bytes = base64url::decode(grant.as_bytes(), GRANT_BYTES).unwrap();
    let read = SignedGrant::parse(&bytes).unwrap();
    assert_eq!(read.issuer(), key.id());
    assert!(*read.statement() == statement);
    assert_eq!(read.verify(&key), Ok(()));

    let signed = statement.to_sign(key.id()).unwrap().message().to_vec();
    let message = [b"micronode-grant-v1\0", &bytes[..bytes.len() - 64 - 3309]].concat();
    assert_eq!(signed, message);
}
