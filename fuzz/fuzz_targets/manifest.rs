//! Addresses and manifests: whatever the bytes, one spelling each, and no manifest other than
//! the object's own ever vouches for the object.
//!
//! The input is used three times: as the text of an address, as the wire form of a manifest, and
//! as the recipe of an object whose own manifest is then tampered with.
#![no_main]

use libfuzzer_sys::fuzz_target;
use micronode_protocol::limits::GROUP_BYTES;
use micronode_protocol::{Address, Manifest, ObjectHasher, VerifiedManifest, group};

/// Largest object that is made from an input, in bytes: four groups and one byte of a fifth.
const OBJECT_BYTES: usize = 4 * GROUP_BYTES + 1;

fuzz_target!(|input: &[u8]| {
    parse_address(input);
    decode_manifest(input);
    verify_object(input);
});

fn parse_address(text: &[u8]) {
    if let Ok(address) = Address::parse(text) {
        assert_eq!(address.to_text(), text, "an address has one spelling");
        assert_eq!(address.to_string().parse(), Ok(address));
    }
    if let Ok(text) = std::str::from_utf8(text) {
        assert_eq!(text.parse(), Address::parse(text.as_bytes()));
    }
}

/// Bytes from anywhere as a manifest.
fn decode_manifest(wire: &[u8]) {
    let Ok(manifest) = Manifest::decode(wire) else {
        return;
    };
    assert_eq!(manifest.encode(), wire, "a manifest has one spelling");
    assert_eq!(Manifest::encoded_len(manifest.size()), wire.len() as u64);
    let groups = group::group_count(manifest.size());
    let address = match groups {
        0 => Address::of(b""),
        1 => Address::of(wire),
        _ => group::root(manifest.chaining_values()),
    };
    assert!(
        groups == 1 || manifest.clone().validate(Address::of(wire)).is_err(),
        "only the address of its own values belongs to it"
    );
    let verified = manifest.validate(address).expect("its own address");
    for index in [0, groups.saturating_sub(1), groups, u64::MAX] {
        // Made up values have no known preimage; a single group is checked against an address
        // that is known to be that of other bytes unless the lengths agree.
        let claims = verified.verify_group(index, wire);
        assert!(claims.is_err() || (groups == 1 && verified.size() == wire.len() as u64));
        assert!(
            verified.verify_group(index, b"").is_err(),
            "no group is empty"
        );
    }
}

/// An object of up to [`OBJECT_BYTES`]: its length from the first three bytes, its content all
/// of the input over and over.
fn verify_object(input: &[u8]) {
    let [l0, l1, l2, tamper @ ..] = input else {
        return;
    };
    let length = u32::from_le_bytes([*l0, *l1, *l2, 0]) as usize % (OBJECT_BYTES + 1);
    let object: Vec<u8> = input.iter().copied().cycle().take(length).collect();
    let own = hash(&object);
    assert_eq!(*own.address(), Address::of(&object));
    assert_eq!(own.manifest().size(), length as u64);
    assert!(verifies(&own, &object));

    let wire = own.manifest().encode();
    assert_eq!(Manifest::decode(&wire).as_ref(), Ok(own.manifest()));

    let mut tampered = wire.clone();
    for (byte, change) in tampered.iter_mut().zip(tamper) {
        *byte ^= change;
    }
    if tampered != wire
        && let Ok(manifest) = Manifest::decode(&tampered)
        && let Ok(other) = manifest.validate(*own.address())
    {
        assert!(!verifies(&other, &object), "a tampered manifest passes");
    }

    let mut damaged = object;
    if let Some(at) = tamper.len().checked_rem(length) {
        damaged[at] ^= 1;
        assert!(!verifies(&own, &damaged), "damage passes");
    }
}

fn hash(object: &[u8]) -> VerifiedManifest {
    let mut hasher = ObjectHasher::new();
    if object.len() <= GROUP_BYTES {
        hasher.push_only(object);
    } else {
        object
            .chunks(GROUP_BYTES)
            .for_each(|group| hasher.push(group));
    }
    assert_eq!(hasher.size(), object.len() as u64);
    hasher.finish()
}

/// Whether the manifest is for an object of this length and each of its groups matches.
fn verifies(manifest: &VerifiedManifest, object: &[u8]) -> bool {
    let mut groups = (0..).zip(object.chunks(GROUP_BYTES));
    group::group_count(manifest.size()) == object.len().div_ceil(GROUP_BYTES) as u64
        && groups.all(|(index, group)| manifest.verify_group(index, group).is_ok())
}
