#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::capability::base64url;

/// From the tests of rescrv/libmacaroons: `root_v2_*` and `caveat_v2_*` of `test/unit`, where each
/// is authorised under "this is the key", and from pymacaroons 0.13 the last.
const VECTORS: [(&str, &str, &[&str], &str); 4] = [
    (
        "this is the key",
        "http://example.org/",
        &[],
        "AgETaHR0cDovL2V4YW1wbGUub3JnLwIFa2V5aWQAAAYgfN7nklEcW8b1KEhYBd_psk54XijiqZMB-dcRxgnjjvc",
    ),
    (
        "this is the key",
        "http://example.org/",
        &["account = 3735928559"],
        "AgETaHR0cDovL2V4YW1wbGUub3JnLwIFa2V5aWQAAhRhY2NvdW50ID0gMzczNTkyODU1OQAABiD1SAf23G7fiL8PcwazgiVio2JTPb9zObphdl2kvSWdhw",
    ),
    (
        "this is the key",
        "http://example.org/",
        &["account = 3735928559", "user = alice"],
        "AgETaHR0cDovL2V4YW1wbGUub3JnLwIFa2V5aWQAAhRhY2NvdW50ID0gMzczNTkyODU1OQACDHVzZXIgPSBhbGljZQAABiBL6WfNHqDGsmuvakqU7psFsViG2guoXoxCqTyNDhJe_A",
    ),
    (
        "this is our super secret key; only we should know it",
        "http://mybank/",
        &["test = caveat"],
        "AgEOaHR0cDovL215YmFuay8CFndlIHVzZWQgb3VyIHNlY3JldCBrZXkAAg10ZXN0ID0gY2F2ZWF0AAAGIBl7rHoESvMzMoZbkmbibUk73WaKZg5E2IzhqZjCPb1n",
    ),
];

fn bytes_of(text: &str) -> Vec<u8> {
    base64url::decode(text.as_bytes(), CAPABILITY_BYTES).unwrap()
}

fn verifies(bytes: &[u8], key: &RootKey) -> bool {
    Macaroon::parse(bytes).is_ok_and(|macaroon| macaroon.verify(key, |_, _| {}))
}

fn made(key: &RootKey, caveats: &[&[u8]]) -> Vec<u8> {
    let mut builder = Builder::new(key, b"node", b"identifier");
    for caveat in caveats {
        builder.caveat(caveat).unwrap();
    }
    builder.finish().unwrap()
}

#[test]
fn macaroons_that_others_made_are_read_verified_and_made_alike() {
    for (secret, location, caveats, text) in VECTORS {
        let (key, bytes) = (RootKey::of(secret.as_bytes()), bytes_of(text));
        let macaroon = Macaroon::parse(&bytes).unwrap();
        assert_eq!(macaroon.location(), location.as_bytes());
        let found: Vec<&[u8]> = caveats.iter().map(|caveat| caveat.as_bytes()).collect();
        assert_eq!(macaroon.caveats(), found);
        assert!(verifies(&bytes, &key), "{text}");
        assert!(!verifies(&bytes, &RootKey::of(b"this is not the key")));

        let mut builder = Builder::new(&key, macaroon.location(), macaroon.identifier());
        for caveat in &found {
            builder.caveat(caveat).unwrap();
        }
        assert_eq!(base64url::encode(&builder.finish().unwrap()), text);
    }
}

#[test]
fn a_holder_adds_a_caveat_as_the_maker_would_have() {
    let [_, (secret, _, _, one), (_, _, _, two), _] = VECTORS;
    let attenuated = bytes_of(one);
    let attenuated = Macaroon::parse(&attenuated)
        .unwrap()
        .attenuate(b"user = alice");
    assert_eq!(base64url::encode(&attenuated.unwrap()), two);
    let key = RootKey::of(secret.as_bytes());
    let mut seen = Vec::new();
    let bytes = bytes_of(two);
    assert!(
        Macaroon::parse(&bytes)
            .unwrap()
            .verify(&key, |index, signature| {
                seen.push((index, signature.clone()));
            })
    );
    assert_eq!(seen[0].0, 0);
    assert_eq!(seen[0].1[..], bytes_of(one)[bytes_of(one).len() - 32..]);
}

#[test]
fn a_caveat_cannot_be_taken_away_moved_or_changed() {
    let key = RootKey::of(b"key");
    let whole = made(&key, &[b"a = 1", b"b = 2", b"c = 3"]);
    assert!(verifies(&whole, &key));
    let signature = &whole[whole.len() - 32..];
    for others in [
        &[b"a = 1", b"b = 2"][..],
        &[b"b = 2", b"c = 3"],
        &[b"b = 2", b"a = 1", b"c = 3"],
        &[b"a = 1", b"b = 2", b"c = 4"],
        &[b"a = 1", b"b = 2", b"c = 3", b"c = 3"],
    ] {
        let caveats: Vec<&[u8]> = others.iter().map(|caveat| &caveat[..]).collect();
        let mut forged = made(&key, &caveats);
        let end = forged.len() - 32;
        forged[end..].copy_from_slice(signature);
        assert!(!verifies(&forged, &key), "{caveats:?}");
    }
}

#[test]
fn every_single_bit_counts() {
    let key = RootKey::of(b"key");
    let whole = made(&key, &[b"op = get", &[b'x'; 200]]);
    let location = 3..3 + b"node".len();
    for bit in 0..8 * whole.len() {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        // The chain does not reach the location, which the node compares with its name.
        let is_location = location.contains(&(bit / 8));
        assert_eq!(verifies(&flipped, &key), is_location, "bit {bit}");
    }
    for length in 0..whole.len() {
        assert!(Macaroon::parse(&whole[..length]).is_err(), "{length}");
    }
    let longer = [&whole[..], &[0]].concat();
    assert_eq!(
        Macaroon::parse(&longer).unwrap_err(),
        MacaroonError::Malformed
    );
}

#[test]
fn what_a_node_would_not_have_written_is_malformed() {
    let signature = [&[6, 32][..], &[0; 32]].concat();
    let of = |middle: &[u8]| {
        [
            &[2, 1, 1, b'n', 2, 1, b'i', 0][..],
            middle,
            &[0],
            &signature,
        ]
        .concat()
    };
    assert!(Macaroon::parse(&of(&[])).is_ok());
    assert!(Macaroon::parse(&of(&[2, 1, b'c', 0])).is_ok());
    for middle in [
        // A length with a digit too many.
        &[2, 0x81, 0x00, b'c', 0][..],
        // One with three.
        &[2, 0x81, 0x80, 0x01, b'c', 0],
        // A third-party caveat, and one with a location.
        &[2, 1, b'c', 4, 1, b'v', 0],
        &[1, 1, b'l', 2, 1, b'c', 0],
        // Another type, another order, no end, a length beyond the end.
        &[3, 1, b'c', 0],
        &[2, 1, b'c'],
        &[2, 127, b'c', 0],
    ] {
        let found = Macaroon::parse(&of(middle)).unwrap_err();
        assert_eq!(found, MacaroonError::Malformed, "{middle:?}");
    }
    for head in [
        &[2, 2, 1, b'i', 0][..],
        &[2, 1, 0, 2, 1, b'i', 0],
        &[2, 1, 1, b'n', 2, 0, 0],
        &[2, 2, 1, b'i', 1, 1, b'n', 0],
        &[1, 1, 1, b'n', 2, 1, b'i', 0],
    ] {
        let bytes = [head, &[0], &signature].concat();
        assert_eq!(
            Macaroon::parse(&bytes).unwrap_err(),
            MacaroonError::Malformed
        );
    }
}

#[test]
fn each_cap_holds_and_one_more_does_not() {
    let key = RootKey::of(b"key");
    let caveats = [&b"op = get"[..]; CAPABILITY_CAVEATS];
    let full = made(&key, &caveats);
    assert!(verifies(&full, &key));
    let more = Macaroon::parse(&full).unwrap().attenuate(b"op = get");
    assert_eq!(more, Err(MacaroonError::TooManyCaveats));
    // The 33rd, signed as it should be.
    let mut builder = Builder::new(&key, b"node", b"identifier");
    for _ in 0..=CAPABILITY_CAVEATS {
        builder.caveat(b"op = get").unwrap();
    }
    builder.count = 0;
    let found = Macaroon::parse(&builder.finish().unwrap()).unwrap_err();
    assert_eq!(found, MacaroonError::TooManyCaveats);

    let rest = CAPABILITY_BYTES - made(&key, &[&[b'x'; 200]]).len() + 200;
    assert_eq!(made(&key, &[&vec![b'x'; rest]]).len(), CAPABILITY_BYTES);
    let mut builder = Builder::new(&key, b"node", b"identifier");
    builder.caveat(&vec![b'x'; rest + 1]).unwrap();
    assert_eq!(builder.finish(), Err(MacaroonError::TooLong));
    let found = Macaroon::parse(&[2; CAPABILITY_BYTES + 1]).unwrap_err();
    assert_eq!(found, MacaroonError::TooLong);

    for (location, identifier, fits) in [
        (CAPABILITY_LOCATION_BYTES, CAPABILITY_IDENTIFIER_BYTES, true),
        (CAPABILITY_LOCATION_BYTES + 1, 1, false),
        (1, CAPABILITY_IDENTIFIER_BYTES + 1, false),
    ] {
        let mut bytes = vec![VERSION];
        put(&mut bytes, LOCATION, &vec![b'l'; location]);
        put(&mut bytes, IDENTIFIER, &vec![b'i'; identifier]);
        bytes.extend([END, END]);
        put(&mut bytes, SIGNATURE, &[0; SIGNATURE_BYTES]);
        assert_eq!(Macaroon::parse(&bytes).is_ok(), fits);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_and_what_is_read_has_one_spelling(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        is_close in any::<bool>(),
    ) {
        if is_close {
            let mut whole = made(&RootKey::of(b"key"), &[b"op = get", b"max-bytes = 5"]);
            let changed = bytes.len().min(2);
            for byte in &bytes[..changed] {
                let at = usize::from(*byte) % whole.len();
                whole[at] = whole[at].wrapping_add(byte % 5);
            }
            bytes = whole;
        }
        if let Ok(macaroon) = Macaroon::parse(&bytes) {
            let mut again = Builder {
                bytes: Vec::new(),
                signature: Zeroizing::new(*macaroon.signature),
                count: 0,
            };
            again.head(macaroon.location(), macaroon.identifier());
            macaroon.caveats().iter().for_each(|caveat| again.packet(caveat));
            prop_assert_eq!(again.finish().unwrap(), bytes);
        }
    }

    #[test]
    fn whatever_holders_add_verifies_and_whatever_is_flipped_does_not(
        caveats in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
        flip in any::<prop::sample::Index>(),
    ) {
        let key = RootKey::of(b"key");
        let plain = made(&key, &[]);
        let mut bytes = plain.clone();
        for caveat in &caveats {
            bytes = Macaroon::parse(&bytes).unwrap().attenuate(caveat).unwrap();
        }
        let at_once = caveats.iter().map(Vec::as_slice);
        let at_once = Macaroon::parse(&plain).unwrap().attenuate_all(at_once);
        prop_assert_eq!(at_once.as_ref(), Ok(&bytes));
        prop_assert!(verifies(&bytes, &key));
        let bit = flip.index(8 * bytes.len());
        bytes[bit / 8] ^= 1 << (bit % 8);
        let is_location = (3..7).contains(&(bit / 8));
        prop_assert_eq!(verifies(&bytes, &key), is_location);
    }
}
