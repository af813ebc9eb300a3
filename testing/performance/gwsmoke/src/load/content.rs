//! The bytes that are sent and asked for.
//!
//! Every body is cut out of one template of random bytes, at a place of its own and behind a stamp
//! of its own: it costs nothing to make, is like no other, does not compress, and can be told from
//! its stamp.

use bytes::Bytes;
use micronode_protocol::Address;
use smallvec::SmallVec;

use super::random::{Random, Weighted};
use crate::failure::Failure;
use crate::spec::LoadSpec;

/// Bytes of a stamp.
pub(crate) const STAMP_BYTES: usize = 16;
/// Places in the template where bodies begin.
const PLACES: u64 = 4096;
/// Largest body.
const BODY_BYTES_MAX: u64 = 1 << 30;

/// A body: its size, and what makes it differ from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) size: usize,
    /// Of bodies of one origin.
    counter: u64,
    origin: u64,
}

impl Body {
    pub(crate) fn new(size: usize, counter: u64, origin: u64) -> Self {
        Self {
            size,
            counter,
            origin,
        }
    }

    /// Its number among the bodies of its origin.
    pub(crate) fn number(&self) -> u64 {
        self.counter
    }

    /// The body that begins with these bytes, if one of this size does.
    fn stamped(size: usize, stamp: [u8; STAMP_BYTES]) -> Self {
        let both = u128::from_le_bytes(stamp);
        Self::new(size, both as u64, (both >> 64) as u64)
    }

    fn stamp(&self) -> [u8; STAMP_BYTES] {
        (u128::from(self.counter) | u128::from(self.origin) << 64).to_le_bytes()
    }
}

/// An object that reads choose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Object {
    pub(crate) body: Body,
    pub(crate) address: Address,
    pub(crate) text: [u8; Address::TEXT_BYTES],
}

/// All of them, and what bodies are made of.
#[derive(Debug)]
pub(crate) struct Content {
    template: Bytes,
    sizes: Weighted,
    bytes: Vec<usize>,
    keys: Weighted,
    pub(crate) objects: Vec<Object>,
}

impl Content {
    /// What `spec` asks for; the same for the same seed.
    ///
    /// # Errors
    ///
    /// If it asks for what cannot be.
    pub(crate) fn new(spec: &LoadSpec) -> Result<Self, Failure> {
        let largest = spec.sizes.iter().map(|size| size.bytes).max().unwrap_or(0);
        if largest > BODY_BYTES_MAX {
            return Err(Failure::usage("sizes: a body has at most 1 GiB"));
        }
        let sizes = Weighted::new(spec.sizes.iter().map(|size| size.weight)).ok_or_else(|| {
            Failure::usage("sizes: weights are numbers of at least 0, and not all of them 0")
        })?;
        let keys = Weighted::zipf(spec.objects.max(1), spec.zipf)
            .ok_or_else(|| Failure::usage("zipf: a number of about 0 to 2 is meant"))?;
        let mut content = Self {
            template: Random::new(spec.seed, 0)
                .bytes((largest + PLACES) as usize)
                .into(),
            sizes,
            bytes: spec.sizes.iter().map(|size| size.bytes as usize).collect(),
            keys,
            objects: Vec::new(),
        };
        if spec.is_read() {
            let mut random = Random::new(spec.seed, 1);
            let objects = (0..u64::from(spec.objects)).map(|number| {
                let body = Body::new(content.size(&mut random), number, spec.seed);
                let address = content.address(&body);
                Object {
                    body,
                    address,
                    text: address.to_text(),
                }
            });
            content.objects = objects.collect();
        }
        Ok(content)
    }

    /// A size as often as its weight says.
    pub(crate) fn size(&self, random: &mut Random) -> usize {
        self.bytes[self.sizes.draw(random)]
    }

    /// An object as often as its rank says.
    pub(crate) fn key(&self, random: &mut Random) -> u32 {
        self.keys.draw(random) as u32
    }

    /// A body's stamp, or as much of it as it has bytes.
    pub(crate) fn stamp(&self, body: &Body) -> SmallVec<[u8; STAMP_BYTES]> {
        let stamp = body.stamp();
        SmallVec::from_slice(&stamp[..body.size.min(STAMP_BYTES)])
    }

    fn place(&self, body: &Body) -> std::ops::Range<usize> {
        // Neighbours in number begin far from each other.
        let mixed =
            (body.counter ^ body.origin.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let start = (mixed >> 32) % PLACES;
        start as usize..start as usize + body.size.saturating_sub(STAMP_BYTES)
    }

    /// What follows a body's stamp.
    pub(crate) fn rest(&self, body: &Body) -> &[u8] {
        &self.template[self.place(body)]
    }

    /// What follows a body's stamp, to be kept.
    pub(crate) fn shared_rest(&self, body: &Body) -> Bytes {
        self.template.slice(self.place(body))
    }

    /// A body as a whole.
    pub(crate) fn bytes_of(&self, body: &Body) -> Vec<u8> {
        [&self.stamp(body)[..], self.rest(body)].concat()
    }

    /// The address of a body.
    pub(crate) fn address(&self, body: &Body) -> Address {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.stamp(body)).update(self.rest(body));
        Address::from_bytes(*hasher.finalize().as_bytes())
    }

    /// Whether these are the bytes of `body`.
    pub(crate) fn is(&self, body: &Body, bytes: &[u8]) -> bool {
        let stamp = self.stamp(body);
        bytes.len() == body.size
            && bytes.starts_with(&stamp)
            && bytes[stamp.len()..] == *self.rest(body)
    }

    /// Whether these are the bytes of any body of this template, whoever made it.
    pub(crate) fn is_any(&self, bytes: &[u8]) -> bool {
        match bytes.first_chunk() {
            Some(stamp) if self.bytes.contains(&bytes.len()) => {
                self.is(&Body::stamped(bytes.len(), *stamp), bytes)
            }
            // Too short to be told from its stamp.
            _ => self.bytes.contains(&bytes.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::spec::Size;
    use std::collections::HashSet;

    fn spec(sizes: &[u64]) -> LoadSpec {
        LoadSpec {
            sizes: sizes
                .iter()
                .map(|bytes| Size {
                    bytes: *bytes,
                    weight: 1.0,
                })
                .collect(),
            objects: 100,
            ..LoadSpec::default()
        }
    }

    fn bytes(content: &Content, body: &Body) -> Vec<u8> {
        [&content.stamp(body)[..], content.rest(body)].concat()
    }

    #[test]
    fn bodies_have_their_size_differ_and_are_recognised() {
        let content = Content::new(&spec(&[8, 16, 20, 1000, 200_000])).unwrap();
        let mut seen = HashSet::new();
        for size in [8, 16, 20, 1000, 200_000] {
            for counter in 0..50 {
                let body = Body::new(size, counter, 9);
                let mut bytes = bytes(&content, &body);
                assert_eq!(bytes.len(), size);
                assert_eq!(content.address(&body), Address::of(&bytes));
                assert!(content.is(&body, &bytes) && content.is_any(&bytes));
                assert!(seen.insert(bytes.clone()));
                if size > STAMP_BYTES {
                    *bytes.last_mut().unwrap() ^= 1;
                    assert!(!content.is(&body, &bytes) && !content.is_any(&bytes));
                }
                assert!(!content.is_any(&bytes[1..]));
            }
        }
    }

    #[test]
    fn the_same_seed_is_the_same_objects_of_the_sizes_asked_for() {
        let [one, again] = [(); 2].map(|()| Content::new(&spec(&[10, 5000])).unwrap());
        let addresses = |content: &Content| {
            let addresses = content.objects.iter().map(|object| object.address);
            addresses.collect::<Vec<_>>()
        };
        assert_eq!(addresses(&one), addresses(&again));
        assert_eq!(one.objects.len(), 100);
        let large = one.objects.iter().filter(|object| object.body.size == 5000);
        assert!((25..75).contains(&large.count()));
        let other = Content::new(&LoadSpec {
            seed: 2,
            ..spec(&[10, 5000])
        });
        assert_ne!(addresses(&one), addresses(&other.unwrap()));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(Content::new(&spec(&[])).is_err());
        assert!(Content::new(&spec(&[BODY_BYTES_MAX + 1])).is_err());
        let zipf = LoadSpec {
            zipf: f64::NAN,
            ..LoadSpec::default()
        };
        assert!(Content::new(&zipf).is_err());
    }
}
