#![allow(clippy::unwrap_used)]

use super::*;
use crate::ObjectHasher;
use crate::group::{GroupSlice, GroupSlices};
use crate::limits::GROUP_BYTES;
use proptest::prelude::*;

const GROUP: usize = GROUP_BYTES;

/// The input of BLAKE3's test vectors.
fn sample(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

fn hash_by_groups(object: &[u8]) -> VerifiedManifest {
    let mut hasher = ObjectHasher::new();
    if object.len() <= GROUP {
        hasher.push_only(object);
    } else {
        object.chunks(GROUP).for_each(|group| hasher.push(group));
    }
    assert_eq!(hasher.size(), object.len() as u64);
    hasher.finish()
}

/// Whether `object` passes as what the manifest describes.
fn verifies(manifest: &VerifiedManifest, object: &[u8]) -> bool {
    (0..group::group_count(manifest.size())).all(|index| {
        let group = object.chunks(GROUP).nth(index as usize).unwrap_or_default();
        manifest.verify_group(index, group).is_ok()
    })
}

#[test]
fn official_vectors() {
    #[derive(serde::Deserialize)]
    struct Vectors {
        cases: Vec<Case>,
    }
    #[derive(serde::Deserialize)]
    struct Case {
        input_len: usize,
        hash: String,
    }
    let vectors: Vectors = serde_json::from_str(include_str!("../vectors/blake3.json")).unwrap();
    assert_eq!(vectors.cases.len(), 22);
    for case in vectors.cases {
        let expected: Address = format!("b3:{}", case.hash).parse().unwrap();
        let object = sample(case.input_len);
        assert_eq!(Address::of(&object), expected, "whole, {}", case.input_len);
        assert_eq!(
            *hash_by_groups(&object).address(),
            expected,
            "by groups, {}",
            case.input_len
        );
    }
}

#[test]
fn merged_groups_give_the_plain_hash_around_every_tree_shape() {
    let object = sample(34 * GROUP + 1);
    for groups in 0..=34 {
        for len in [
            (groups * GROUP).saturating_sub(1),
            groups * GROUP,
            groups * GROUP + 1,
        ] {
            let manifest = hash_by_groups(&object[..len]);
            assert_eq!(*manifest.address(), Address::of(&object[..len]), "{len}");
            assert_eq!(manifest.size(), len as u64);
            let expected = if len <= GROUP { 0 } else { len.div_ceil(GROUP) };
            assert_eq!(manifest.manifest().chaining_values().len(), expected);
        }
    }
}

#[test]
fn wire_form_is_fixed() {
    let empty = hash_by_groups(b"").manifest().encode();
    assert_eq!(empty, b"B3M1\0\0\0\0\0\0\0\0");

    let object = sample(GROUP + 1);
    let manifest = hash_by_groups(&object);
    let wire = manifest.manifest().encode();
    assert_eq!(wire[..12], *b"B3M1\0\0\0\0\0\x01\0\x01");
    assert_eq!(wire[12..44], group::chaining_value(0, &object[..GROUP]));
    assert_eq!(wire[44..], group::chaining_value(1, &object[GROUP..]));
    assert_eq!(
        wire.len() as u64,
        Manifest::encoded_len(object.len() as u64)
    );
}

#[test]
fn decoding_is_strict() {
    let wire = hash_by_groups(&sample(2 * GROUP)).manifest().encode();
    for len in 0..wire.len() {
        let expected = if len < MANIFEST_HEAD_BYTES {
            DecodeManifestError::Truncated
        } else {
            DecodeManifestError::Count
        };
        assert_eq!(Manifest::decode(&wire[..len]), Err(expected), "{len}");
    }
    assert_eq!(
        Manifest::decode(&[&wire[..], &[0]].concat()),
        Err(DecodeManifestError::Count)
    );
    assert_eq!(
        Manifest::decode(&[&b"B3M2"[..], &wire[4..]].concat()),
        Err(DecodeManifestError::Magic)
    );
}

#[test]
fn a_declared_size_allocates_nothing_by_itself() {
    for size in [GROUP as u64 + 1, u64::MAX] {
        let wire = [&MAGIC[..], &size.to_be_bytes()].concat();
        assert_eq!(Manifest::decode(&wire), Err(DecodeManifestError::Count));
    }
}

/// A peer that claims an object is empty must not get away with it: no group would ever be checked.
#[test]
fn only_the_empty_object_is_empty() {
    let claim = Manifest::decode(b"B3M1\0\0\0\0\0\0\0\0").unwrap();
    assert_eq!(
        claim.clone().validate(Address::of(b"x")),
        Err(ManifestMismatch)
    );
    assert!(claim.validate(Address::of(b"")).is_ok());
}

#[test]
fn groups_outside_the_object_are_refused() {
    for len in [0, 1, GROUP, GROUP + 1] {
        let manifest = hash_by_groups(&sample(len));
        for index in [len.div_ceil(GROUP) as u64, 1 << 48, u64::MAX] {
            assert_eq!(
                manifest.verify_group(index, b""),
                Err(GroupMismatch { index })
            );
            assert_eq!(
                manifest.verify_group(index, b"x"),
                Err(GroupMismatch { index })
            );
        }
    }
}

#[test]
fn a_group_is_bound_to_its_place() {
    // Equal bytes everywhere: only the place tells the groups apart.
    let manifest = hash_by_groups(&vec![0x5a; 3 * GROUP]);
    let mut swapped = manifest.manifest().clone();
    swapped.values.swap(0, 1);
    assert_ne!(swapped, *manifest.manifest());
    assert_eq!(swapped.validate(*manifest.address()), Err(ManifestMismatch));
}

/// Lengths that cross group and chunk boundaries more often than chance would.
fn lengths() -> impl Strategy<Value = usize> {
    (
        0..5_usize,
        prop_oneof![0..3_usize, 1023..1026_usize, 0..GROUP, GROUP - 1..GROUP],
    )
        .prop_map(|(groups, rest)| groups * GROUP + rest)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_object_round_trips(len in lengths(), seed: u8) {
        let object: Vec<u8> = sample(len).iter().map(|byte| byte ^ seed).collect();
        let manifest = hash_by_groups(&object);
        prop_assert_eq!(*manifest.address(), Address::of(&object));
        let decoded = Manifest::decode(&manifest.manifest().encode()).unwrap();
        prop_assert_eq!(&decoded, manifest.manifest());
        let validated = decoded.validate(Address::of(&object)).unwrap();
        prop_assert!(verifies(&validated, &object));
    }

    #[test]
    fn any_range_is_verified_by_the_groups_it_touches(
        len in lengths(), a: prop::sample::Index, b: prop::sample::Index,
    ) {
        let object = sample(len);
        let manifest = hash_by_groups(&object);
        let (a, b) = (a.index(len + 1), b.index(len + 1));
        let range = a.min(b)..a.max(b);
        let mut read = Vec::new();
        for GroupSlice { index, within } in GroupSlices::new(range.start as u64..range.end as u64) {
            let group = object.chunks(GROUP).nth(index as usize).unwrap();
            prop_assert!(manifest.verify_group(index, group).is_ok());
            read.extend_from_slice(&group[within]);
        }
        prop_assert_eq!(read, &object[range]);
    }

    #[test]
    fn any_flipped_bit_of_data_is_caught(len in lengths(), at: prop::sample::Index, bit in 0..8_u32) {
        prop_assume!(len > 0);
        let mut object = sample(len);
        let manifest = hash_by_groups(&object);
        let at = at.index(len);
        object[at] ^= 1_u8 << bit;
        for (index, group) in object.chunks(GROUP).enumerate() {
            prop_assert_eq!(manifest.verify_group(index as u64, group).is_ok(), index != at / GROUP);
        }
    }

    #[test]
    fn any_flipped_bit_of_the_manifest_is_caught(
        len in lengths(), at: prop::sample::Index, bit in 0..8_u32,
    ) {
        let object = sample(len);
        let manifest = hash_by_groups(&object);
        let mut wire = manifest.manifest().encode();
        let at = at.index(wire.len());
        wire[at] ^= 1_u8 << bit;
        let caught = match Manifest::decode(&wire) {
            Err(_) => true,
            Ok(decoded) => match decoded.validate(*manifest.address()) {
                Err(ManifestMismatch) => true,
                Ok(forged) => !verifies(&forged, &object),
            },
        };
        prop_assert!(caught);
    }

    #[test]
    fn a_group_is_bound_to_its_length(len in lengths(), cut in 1..GROUP) {
        let object = sample(len);
        let manifest = hash_by_groups(&object);
        for (index, group) in object.chunks(GROUP).enumerate() {
            let short = &group[..group.len().saturating_sub(cut)];
            prop_assert!(manifest.verify_group(index as u64, short).is_err());
            prop_assert!(manifest.verify_group(index as u64, &[group, b"x"].concat()).is_err());
        }
    }
}
