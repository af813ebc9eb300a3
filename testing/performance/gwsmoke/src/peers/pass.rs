//! One BLAKE3 pass over the bytes that are read: what a node does to each answer that nginx does not.

use std::time::Duration;

use crate::load::content::{Body, Content};
use crate::load::random::Random;
use crate::sample::own_thread_cpu;

/// Shortest time that is measured, of the processor.
const TIME: Duration = Duration::from_millis(300);

/// Bodies that are put.
const BODIES: u64 = 32;

/// The same objects as are asked for, so that they are as far away in the caches.
pub(super) struct Pass {
    objects: Vec<Vec<u8>>,
}

impl Pass {
    pub(super) fn new(content: &Content) -> Self {
        let objects = content.objects.iter();
        Self {
            objects: objects
                .map(|object| content.bytes_of(&object.body))
                .collect(),
        }
    }

    /// Bodies as they are put: as many as the connections have on their way, one after the other.
    pub(super) fn of_bodies(content: &Content) -> Self {
        let mut random = Random::new(1, 0);
        let bodies = (0..BODIES).map(|number| {
            let body = Body::new(content.size(&mut random), number, 1);
            content.bytes_of(&body)
        });
        Self {
            objects: bodies.collect(),
        }
    }

    /// Microseconds of one thread for an object.
    pub(super) fn measure(&self) -> f64 {
        let mut passes = 0_u32;
        let before = own_thread_cpu();
        loop {
            for object in &self.objects {
                std::hint::black_box(blake3::hash(std::hint::black_box(object)));
                passes += 1;
            }
            let taken = own_thread_cpu() - before;
            if taken >= TIME || passes == 0 {
                return taken.as_secs_f64() * 1e6 / f64::from(passes.max(1));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::spec::{LoadSpec, Size};

    #[test]
    fn more_bytes_take_longer() {
        let pass = |bytes| {
            let spec = LoadSpec {
                sizes: vec![Size { bytes, weight: 1.0 }],
                objects: 4,
                ..LoadSpec::default()
            };
            Pass::new(&Content::new(&spec).unwrap()).measure()
        };
        // Three orders of magnitude in bytes are at least one in time, whatever else goes on.
        let (little, much) = (pass(1024), pass(1 << 20));
        assert!(
            little > 0.0 && much > 10.0 * little,
            "{little} and {much} µs"
        );
    }
}
