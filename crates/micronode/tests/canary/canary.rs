//! The text, the node that is to forget it, and the scans.

use crate::support::{Node, Random, Scanner};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::thread::sleep;
use std::time::Duration;

/// What a node may take to forget, once it has been told to and its connections are gone.
const FORGETS_WITHIN: Duration = Duration::from_secs(1);

/// In every text so often, in bytes; a multiple of 3, so that base64 spells it alike every time.
const BLOCK: usize = 96;
/// What each begins with: 4 bytes of base64 for 3 of it.
const MARK: usize = 30;

/// A text that stands nowhere else: a mark, which differs in every test, and after it what differs
/// in every block. Wherever there are two blocks of it, there is a mark. It shrinks when it is
/// compressed, so that what is compressed is another text.
pub(crate) struct Canary {
    pub(crate) bytes: Vec<u8>,
    texts: Vec<Vec<u8>>,
}

impl Canary {
    pub(crate) fn new() -> Self {
        Self::of(4096)
    }

    /// One of `size` bytes, other ones in every run.
    pub(crate) fn of(size: usize) -> Self {
        let mut random = random();
        // 6 random bits in a byte.
        let mut text = |size: usize| -> Vec<u8> {
            let byte = |_| b' ' + random.below(64) as u8;
            (0..size).map(byte).collect()
        };
        let mark = text(MARK);
        let mut bytes = text(size);
        for block in bytes.chunks_mut(BLOCK).filter(|block| block.len() >= MARK) {
            block[..MARK].copy_from_slice(&mark);
        }
        let texts = vec![
            BASE64_STANDARD.encode(&mark).into_bytes(),
            BASE64_URL_SAFE_NO_PAD.encode(&mark).into_bytes(),
            mark,
        ];
        Self { bytes, texts }
    }

    /// Looks for this spelling as well.
    pub(crate) fn also(mut self, spelling: &[u8]) -> Self {
        self.texts.push(spelling.to_vec());
        self
    }

    /// A text for fields that are short and printable.
    pub(crate) fn word() -> Self {
        let mut random = random();
        let letter = |_| b'a' + random.below(26) as u8;
        let bytes: Vec<u8> = (0..60).map(letter).collect();
        let texts = vec![bytes.clone()];
        Self { bytes, texts }
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap()
    }

    /// Checks that it is there before `forget`, and not after; `forget` also ends the connections
    /// of the test. `None` if there is no way to look.
    #[track_caller]
    pub(crate) fn check(&self, what: &str, node: &Node, forget: impl FnOnce()) {
        let Some(scanner) = Scanner::of(node.child.id()) else {
            return;
        };
        let before = scanner.hits(&self.texts);
        assert!(!before.is_empty(), "{what}: the scan cannot find it");
        forget();
        self.assert_gone(what, node);
    }

    /// Checks that it is not there, or not for longer.
    #[track_caller]
    pub(crate) fn assert_gone(&self, what: &str, node: &Node) {
        let Some(scanner) = Scanner::of(node.child.id()) else {
            return;
        };
        sleep(FORGETS_WITHIN);
        let after = scanner.hits(&self.texts);
        let (count, some) = (after.len(), &after[..after.len().min(12)]);
        assert!(
            after.is_empty(),
            "{what}: {count} pieces are left: {some:#?}"
        );
    }
}

fn random() -> Random {
    Random::seeded(RandomState::new().hash_one("canary") >> 1)
}

/// A node whose memory may be looked at.
pub(crate) fn node(flags: &[&str]) -> Node {
    Node::start_with(flags)
}
