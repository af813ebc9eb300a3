//! Tokens: any bytes are one or a typed error, one has one spelling, only what was made under a
//! key of the node verifies, and whatever a holder adds changes nothing about that.
//!
//! The first byte of an input, modulo 3, says what the rest is: a token; edits of a token that a
//! node made (the operator's if the first byte is even), four bytes each, see [`edit`]; or caveats
//! for holders to add one after the other, each a length (two bytes, little endian) and so many
//! bytes.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use micronode_protocol::capability::identifier::Identifier;
use micronode_protocol::capability::keyring::{Invalid, Wanted};
use micronode_protocol::capability::macaroon::{Builder, MacaroonError, RootKey, SIGNATURE_BYTES};
use micronode_protocol::capability::{Fresh, KeyRing, Lives, Macaroon, Verified};
use micronode_protocol::limits::{
    CAPABILITY_BYTES, CAPABILITY_CAVEATS, CAPABILITY_IDENTIFIER_BYTES, CAPABILITY_LOCATION_BYTES,
};

/// More than a token can have.
const CAVEATS: usize = CAPABILITY_CAVEATS + 2;
const NODE: &str = "node";
const SECRET: [u8; 32] = [2; 32];

static RING: LazyLock<KeyRing> = LazyLock::new(|| {
    let fresh = |seed| Fresh {
        id: [seed; 8],
        secret: [seed; 32],
    };
    let lives = Lives {
        key: Duration::from_secs(1000),
        token: Duration::from_secs(100),
    };
    KeyRing::new(NODE, lives, 0, &fresh(1), &fresh(SECRET[0]))
});

static OPERATOR: LazyLock<Vec<u8>> = LazyLock::new(|| RING.operator_token([3; 16]));

static MINTED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let wanted = Wanted {
        nonce: [4; 16],
        grant: None,
        inherited: &[b"op = get,head,put"],
        caveats: &[
            b"op = get",
            b"rps = 5",
            &[b"name ^ ", &[b'x'; 150][..]].concat(),
        ],
        life: Duration::from_secs(60),
    };
    RING.mint(0, 1_800_000_000_000, &wanted).expect("it fits")
});

fuzz_target!(|input: &[u8]| {
    let Some((how, rest)) = input.split_first() else {
        return;
    };
    match how % 3 {
        0 => read(rest),
        1 if how % 2 == 0 => change(&OPERATOR, rest),
        1 => change(&MINTED, rest),
        _ => add(rest),
    }
});

fn verify(bytes: &[u8]) -> Result<Verified, Invalid> {
    RING.verify(&Macaroon::parse(bytes)?, 0)
}

fn read(bytes: &[u8]) {
    let Ok(token) = Macaroon::parse(bytes) else {
        return;
    };
    let signature = &bytes[bytes.len() - SIGNATURE_BYTES..];
    let (location, identifier, caveats) = (token.location(), token.identifier(), token.caveats());
    let again = written(location, identifier, caveats, signature);
    assert_eq!(again, bytes, "a token has one spelling");
    assert!(bytes.len() <= CAPABILITY_BYTES && caveats.len() <= CAPABILITY_CAVEATS);
    assert!((1..=CAPABILITY_LOCATION_BYTES).contains(&location.len()));
    assert!((1..=CAPABILITY_IDENTIFIER_BYTES).contains(&identifier.len()));
    add_one(bytes, b"op = get");
}

fn change(made: &[u8], edits: &[u8]) {
    let mut bytes = made.to_vec();
    for code in edits.as_chunks().0 {
        edit(&mut bytes, *code);
    }
    // Not even the location may differ, which the chain does not cover.
    assert_eq!(verify(&bytes).is_ok(), bytes == made);
    read(&bytes);
}

/// What is done (modulo 4), where (little endian), and with what byte: that is added to the one
/// there by exclusive or, or put before it; the one there goes; or as many from there on stand
/// there twice.
fn edit(bytes: &mut Vec<u8>, [what, low, high, with]: [u8; 4]) {
    if bytes.is_empty() || bytes.len() > 2 * CAPABILITY_BYTES {
        return;
    }
    let at = usize::from(u16::from_le_bytes([low, high])) % bytes.len();
    match what % 4 {
        0 => bytes[at] ^= with,
        1 => bytes.insert(at, with),
        2 => {
            bytes.remove(at);
        }
        _ => {
            let again = bytes[at..].iter().copied().take(usize::from(with));
            let again: Vec<u8> = again.collect();
            bytes.splice(at..at, again);
        }
    }
}

/// Holders narrow a token and the same one with a signature that is wrong, and the node makes it
/// at once.
fn add(mut rest: &[u8]) {
    let identifier = Identifier {
        key_id: [SECRET[0]; 8],
        nonce: [5; 16],
        grant: None,
    };
    let identifier = identifier.encode();
    let builder = || Builder::new(&RootKey::of(&SECRET), NODE.as_bytes(), &identifier);
    let (mut at_once, mut count) = (builder(), 0);
    let mut token = builder().finish().expect("it has no caveats");
    while let Some((length, behind)) = rest.split_first_chunk()
        && count < CAVEATS
    {
        let length = usize::from(u16::from_le_bytes(*length)).min(behind.len());
        let (caveat, behind) = behind.split_at(length);
        rest = behind;
        let Some(next) = add_one(&token, caveat) else {
            return;
        };
        token = next;
        count += 1;
        at_once.caveat(caveat).expect("it is in the token");
    }
    assert!(verify(&token).is_ok());
    let mut forged = token.clone();
    *forged.last_mut().expect("a signature") ^= 1;
    assert_eq!(verify(&forged).err(), Some(Invalid::Signature));
    add_one(&forged, b"op = get");
    assert_eq!(at_once.finish(), Ok(token));
}

/// The token with one more caveat, if there is room for it: as good as it was.
fn add_one(token: &[u8], caveat: &[u8]) -> Option<Vec<u8>> {
    let parsed = Macaroon::parse(token).expect("it was read before");
    // Its type, its length in one or two bytes, and its end.
    let more = caveat.len() + if caveat.len() < 0x80 { 3 } else { 4 };
    let added = parsed.attenuate(caveat);
    if token.len() + more > CAPABILITY_BYTES || parsed.caveats().len() == CAPABILITY_CAVEATS {
        assert!(matches!(
            added,
            Err(MacaroonError::TooLong | MacaroonError::TooManyCaveats)
        ));
        return None;
    }
    let added = added.expect("it fits");
    let (before, after) = (verify(token), verify(&added));
    assert_eq!(before.is_ok(), after.is_ok());
    if let (Ok(before), Ok(after)) = (before, after) {
        assert_eq!(before.identifier, after.identifier);
        assert!(after.rates.starts_with(&before.rates));
    }
    let parsed = Macaroon::parse(&added).expect("it was made");
    assert_eq!(parsed.caveats().last(), Some(&caveat));
    Some(added)
}

/// The format, written out from its documentation.
fn written(location: &[u8], identifier: &[u8], caveats: &[&[u8]], signature: &[u8]) -> Vec<u8> {
    let packet = |kind: u8, bytes: &[u8]| {
        let (low, high) = ((bytes.len() % 128) as u8, (bytes.len() / 128) as u8);
        let length = [low | 0x80, high];
        let length = if high == 0 { &[low][..] } else { &length };
        [&[kind], length, bytes].concat()
    };
    let caveats = caveats.iter().map(|it| [packet(2, it), vec![0]].concat());
    let caveats: Vec<u8> = caveats.flatten().collect();
    [
        vec![2],
        packet(1, location),
        packet(2, identifier),
        vec![0],
        caveats,
        vec![0],
        packet(6, signature),
    ]
    .concat()
}
