//! The two signature schemes, one function each. Test vectors run against these functions.

use aws_lc_rs::signature::{ED25519, ML_DSA_65, UnparsedPublicKey};

use super::{ED25519_KEY_BYTES, MLDSA65_KEY_BYTES};

/// Whether `signature` is an Ed25519 signature (RFC 8032) of `message` under `key`.
pub fn verify_ed25519(key: &[u8; ED25519_KEY_BYTES], message: &[u8], signature: &[u8]) -> bool {
    let key = UnparsedPublicKey::new(&ED25519, key);
    key.verify(message, signature).is_ok()
}

/// Whether `signature` is an ML-DSA-65 signature (FIPS 204, pure, empty context) of `message`
/// under `key`.
pub fn verify_mldsa65(key: &[u8; MLDSA65_KEY_BYTES], message: &[u8], signature: &[u8]) -> bool {
    let key = UnparsedPublicKey::new(&ML_DSA_65, key);
    key.verify(message, signature).is_ok()
}
