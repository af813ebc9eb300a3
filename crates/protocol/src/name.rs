//! How objects' names and queues are spelled. The one place that knows: requests are held to it,
//! and so are the caveats of tokens.
//!
//! A name is a path of segments, which are never empty, `.` or `..`, so that no two spellings ever
//! mean the same one, here or in a URL.

use crate::limits::{NAME_BYTES, QUEUE_NAME_BYTES};

/// Ends the name of the queue that holds another's dead letters.
const DEAD: &str = ".dlq";

/// Whether this is the name of an object.
pub fn is_name(text: &str) -> bool {
    text.len() <= NAME_BYTES && text.split('/').all(is_segment)
}

/// Whether some name begins so. Nothing is the beginning of every one.
pub fn is_name_prefix(text: &str) -> bool {
    let (before, last) = match text.rsplit_once('/') {
        Some((before, last)) => (Some(before), last),
        None => (None, text),
    };
    // The last segment may still become one: there has to be room for another letter then.
    let fits = text.len() < NAME_BYTES || text.len() == NAME_BYTES && is_segment(last);
    fits && last.bytes().all(is_letter)
        && before.is_none_or(|before| before.split('/').all(is_segment))
}

fn is_segment(text: &str) -> bool {
    !matches!(text, "" | "." | "..") && text.bytes().all(is_letter)
}

fn is_letter(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-')
}

/// What the name of a queue means: the queue, or its dead letters, `{queue}.dlq`, which are a
/// queue too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueRef<'a> {
    /// The queue that is sent to.
    pub queue: &'a str,
    /// Its dead letters are meant.
    pub is_dead: bool,
}

impl<'a> QueueRef<'a> {
    /// Bytes of the longest: the dead letters of the queue with the longest name.
    pub const BYTES_MAX: usize = QUEUE_NAME_BYTES + DEAD.len();

    /// What the text means; `None` if it is no queue's name. Dead letters have no dead letters.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (queue, is_dead) = match text.strip_suffix(DEAD) {
            Some(queue) => (queue, true),
            None => (text, false),
        };
        let fits = (1..=QUEUE_NAME_BYTES).contains(&queue.len());
        (fits && queue.bytes().all(is_letter) && !queue.ends_with(DEAD))
            .then_some(Self { queue, is_dead })
    }
}

impl std::fmt::Display for QueueRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.queue)?;
        f.write_str(if self.is_dead { DEAD } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_paths_of_segments() {
        for name in [
            "a",
            "0",
            "...",
            "..a",
            ".a",
            "a..",
            "a/b",
            "tiles/1/2.png",
            "_-/-_",
        ] {
            assert!(is_name(name), "{name}");
        }
        for other in [
            "", "/", "/a", "a/", "a//b", ".", "..", "a/.", "./a", "a/../b", "A", "a b", "a\0", "é",
            "a%2fb", "a\\b", "a:b",
        ] {
            assert!(!is_name(other), "{other:?}");
        }
        assert!(is_name(&"x".repeat(NAME_BYTES)));
        assert!(!is_name(&"x".repeat(NAME_BYTES + 1)));
    }

    #[test]
    fn a_prefix_is_a_name_cut_anywhere() {
        for prefix in ["", "a", "a/", "a/.", "a/..", ".", "..", "a/b/", "a/..b/"] {
            assert!(is_name_prefix(prefix), "{prefix}");
        }
        for other in [
            "/", "/a", "a//", "./", "../", "a/../", "a/./b", "A", "a b", "é",
        ] {
            assert!(!is_name_prefix(other), "{other:?}");
        }
        let full = "x".repeat(NAME_BYTES);
        assert!(is_name_prefix(&full));
        assert!(!is_name_prefix(&format!("{full}x")));
        // Nothing can follow that would make a segment of what it ends with.
        for end in ["/", "/.", "/.."] {
            let text = |length: usize| format!("{}{end}", "x".repeat(length - end.len()));
            assert!(is_name_prefix(&text(NAME_BYTES - 1)), "{end}");
            assert!(!is_name_prefix(&text(NAME_BYTES)), "{end}");
        }
    }

    #[test]
    fn queues_have_dead_letters_which_have_none() {
        let of = |queue, is_dead| Some(QueueRef { queue, is_dead });
        for (text, expected) in [
            ("jobs", of("jobs", false)),
            ("a.b_c-0", of("a.b_c-0", false)),
            (".", of(".", false)),
            ("dlq", of("dlq", false)),
            ("jobsdlq", of("jobsdlq", false)),
            ("jobs.dlq", of("jobs", true)),
            ("jobs.dlq.dlq", None),
            ("jobs.dlq.x", of("jobs.dlq.x", false)),
            (".dlq", None),
            (".dlq.dlq", None),
            ("..dlq", of(".", true)),
            ("", None),
            ("Jobs", None),
            ("a/b", None),
            ("a b", None),
            ("é", None),
        ] {
            assert_eq!(QueueRef::parse(text), expected, "{text:?}");
        }
        let longest = "x".repeat(QUEUE_NAME_BYTES);
        assert_eq!(QueueRef::parse(&longest), of(&longest, false));
        let dead = format!("{longest}.dlq");
        assert_eq!(dead.len(), QueueRef::BYTES_MAX);
        assert_eq!(QueueRef::parse(&dead), of(&longest, true));
        assert_eq!(QueueRef::parse(&format!("{longest}x")), None);
        assert_eq!(QueueRef::parse(&format!("{longest}x.dlq")), None);
    }

    proptest! {
        /// Few letters, so that what they make is often almost a name.
        #[test]
        fn whatever_begins_a_name_is_a_prefix_and_nothing_else(
            text in prop_oneof!["[a./]{0,8}", "[a./]{250,257}", "[ -~é]{0,4}"],
        ) {
            let begins_one = is_name(&text) || is_name(&format!("{text}x")) || text.is_empty();
            prop_assert_eq!(is_name_prefix(&text), begins_one);
            if is_name(&text) {
                for cut in 0..text.len() {
                    prop_assert!(is_name_prefix(&text[..cut]));
                }
            }
        }

        #[test]
        fn a_queue_is_written_as_it_was_read(text in "[ad.lq]{0,12}(\\.dlq){0,2}") {
            if let Some(queue) = QueueRef::parse(&text) {
                prop_assert_eq!(&queue.to_string(), &text);
                prop_assert_ne!(QueueRef::parse(queue.queue).map(|of| of.is_dead), Some(true));
            }
        }
    }
}
