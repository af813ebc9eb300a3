#![allow(clippy::unwrap_used)]

use super::*;
use crate::capability::macaroon::Builder;

const LIVES: Lives = Lives {
    key: Duration::from_secs(1000),
    token: Duration::from_secs(100),
};
const WALL_MS: u64 = 1_800_000_000_000;

fn fresh(seed: u8) -> Fresh {
    Fresh {
        id: [seed; 8],
        secret: [seed; 32],
    }
}

fn ring() -> KeyRing {
    KeyRing::new("node", LIVES, 0, &fresh(1), &fresh(2))
}

fn wanted<'a>(caveats: &'a [&'a [u8]], seconds: u64) -> Wanted<'a> {
    Wanted {
        nonce: [7; 16],
        grant: None,
        inherited: &[],
        caveats,
        life: Duration::from_secs(seconds),
    }
}

fn verify(ring: &KeyRing, bytes: &[u8], mono_ms: u64) -> Result<Verified, Invalid> {
    ring.verify(&Macaroon::parse(bytes)?, mono_ms)
}

#[test]
fn a_token_carries_its_caveats_and_its_end() {
    let ring = ring();
    let grant = GrantRef::new([3; 16], &[4; 32], "ci");
    let wanted = Wanted {
        grant: Some(grant),
        ..wanted(&[b"op = get", b"rps = 5"], 60)
    };
    let minted = ring.mint(0, WALL_MS, &wanted).unwrap();
    let verified = verify(&ring, &minted, 0).unwrap();
    assert_eq!(verified.identifier.grant, Some(grant));
    assert_eq!(
        verified.rights.before(),
        Some(Duration::from_millis(WALL_MS + 60_000))
    );
    assert_eq!(verified.rates.len(), 1);
    assert_eq!(verified.rates[0].1.get(), 5);
    assert_eq!(verified.key_dies_ms, Some(1_100_000));
}

#[test]
fn the_operators_token_outlives_every_epoch() {
    let mut ring = ring();
    let token = ring.operator_token([9; 16]);
    for seconds in [0, 1000, 2000, 100_000] {
        ring.rotate(seconds * 1000, || fresh(seconds as u8 | 1));
        let verified = verify(&ring, &token, seconds * 1000).unwrap();
        assert_eq!(
            (verified.key_dies_ms, verified.rights),
            (None, Rights::default())
        );
    }
}

#[test]
fn a_key_is_followed_by_another_and_dies_one_life_of_a_token_later() {
    let mut ring = ring();
    let late = ring.mint(999_000, WALL_MS, &wanted(&[], 100)).unwrap();
    assert_eq!(ring.next_rotation_ms(), 1_000_000);
    ring.rotate(999_999, || panic!("it is not time"));
    ring.rotate(1_000_000, || fresh(3));
    let next = ring.mint(1_000_000, WALL_MS, &wanted(&[], 100)).unwrap();
    assert!(verify(&ring, &next, 1_000_000).is_ok());
    assert!(verify(&ring, &late, 1_099_999).is_ok());
    assert_eq!(verify(&ring, &late, 1_100_000).unwrap_err(), Invalid::Key);
    assert_eq!(ring.next_rotation_ms(), 1_100_000);
    ring.rotate(1_100_000, || panic!("it is not time"));
    assert!(ring.previous.is_none(), "the dead key is gone");
}

/// The machine was asleep, or the task that rotates hung: a key dies on time all the same.
#[test]
fn nothing_outlives_its_time_when_nobody_rotates() {
    let mut ring = ring();
    let token = ring.mint(0, WALL_MS, &wanted(&[], 100)).unwrap();
    assert!(verify(&ring, &token, 1_099_999).is_ok());
    assert_eq!(verify(&ring, &token, 1_100_000).unwrap_err(), Invalid::Key);
    ring.rotate(9_000_000, || fresh(3));
    assert!(ring.previous.is_none());
}

#[test]
fn a_token_ends_with_its_key_and_says_so() {
    let ring = ring();
    let minted = ring.mint(900_000, WALL_MS, &wanted(&[], 5000)).unwrap();
    let end = verify(&ring, &minted, 900_000).unwrap().rights.before();
    assert_eq!(end, Some(Duration::from_millis(WALL_MS + 200_000)));
}

#[test]
fn the_tokens_of_others_are_told_apart() {
    let ring = ring();
    let token = ring.operator_token([9; 16]);
    let other_name = KeyRing::new("other", LIVES, 0, &fresh(1), &fresh(2));
    assert_eq!(
        verify(&other_name, &token, 0).unwrap_err(),
        Invalid::Location
    );
    let other_keys = KeyRing::new("node", LIVES, 0, &fresh(5), &fresh(6));
    assert_eq!(verify(&other_keys, &token, 0).unwrap_err(), Invalid::Key);
    let same_id = Fresh {
        id: [1; 8],
        secret: [5; 32],
    };
    let other_secret = KeyRing::new("node", LIVES, 0, &same_id, &fresh(6));
    assert_eq!(
        verify(&other_secret, &token, 0).unwrap_err(),
        Invalid::Signature
    );
    let foreign = Builder::new(&RootKey::of(b"x"), b"node", b"who")
        .finish()
        .unwrap();
    assert_eq!(verify(&ring, &foreign, 0).unwrap_err(), Invalid::Key);
    assert_eq!(verify(&ring, b"", 0).unwrap_err(), Invalid::Malformed);
    assert_eq!(verify(&ring, &[0; 8193], 0).unwrap_err(), Invalid::TooLong);
}

#[test]
fn a_rate_has_one_bucket_for_all_that_is_made_of_it() {
    let ring = ring();
    let token = ring.mint(0, WALL_MS, &wanted(&[b"rps = 5"], 60)).unwrap();
    let of = |bytes: &[u8]| verify(&ring, bytes, 0).unwrap().rates;
    let narrower =
        |bytes: &[u8], caveat: &[u8]| Macaroon::parse(bytes).unwrap().attenuate(caveat).unwrap();
    let (read, write) = (narrower(&token, b"op = get"), narrower(&token, b"op = put"));
    assert_eq!(of(&read), of(&token));
    assert_eq!(of(&read), of(&write));
    let (twice, other) = (narrower(&read, b"rps = 2"), narrower(&write, b"rps = 2"));
    assert_eq!(of(&twice)[0], of(&other)[0]);
    assert_ne!(of(&twice)[1], of(&other)[1]);
}

#[test]
fn no_token_is_made_that_would_not_verify() {
    let ring = ring();
    let mint = |caveats: &[&[u8]]| ring.mint(0, WALL_MS, &wanted(caveats, 60));
    assert_eq!(mint(&[b"op = get", b"op = fly"]), Err(MintError::Caveat(1)));
    // Far too many are not even looked at.
    assert_eq!(
        mint(&vec![&b"nonsense"[..]; 100_000]),
        Err(MintError::TooLong)
    );
    assert_eq!(
        mint(&[&b"op = get"[..]; 32]),
        Err(MintError::TooLong),
        "its end is the 33rd"
    );
    assert!(verify(&ring, &mint(&[&b"op = get"[..]; 31]).unwrap(), 0).is_ok());
}

#[test]
fn nothing_of_a_key_is_printed() {
    let printed = format!("{:?}", ring());
    assert_eq!(printed.matches("root: RootKey(…)").count(), 2, "{printed}");
}

#[test]
fn a_key_is_as_old_as_its_epoch_while_it_counts() {
    let mut ring = ring();
    assert_eq!(ring.ages_ms(5_000), (5_000, None));
    ring.rotate(1_000_000, || fresh(3));
    assert_eq!(ring.ages_ms(1_000_001), (1, Some(1_000_001)));
    ring.rotate(1_100_000, || panic!("it is not time"));
    assert_eq!(ring.ages_ms(1_100_000), (100_000, None));
}
