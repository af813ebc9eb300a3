//! The secret of an issuer, in memory and in a file.
//!
//! ```text
//! micronode-issuer-seed-1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8
//! ```

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use micronode_protocol::capability::base64url;
use zeroize::Zeroizing;

const SEED_BYTES: usize = 32;

/// What a seed file starts with, so that no other secret is taken for one.
const LABEL: &str = "micronode-issuer-seed-1 ";

/// The label, the seed and the end of the line.
const FILE_BYTES: usize = LABEL.len() + (SEED_BYTES * 8).div_ceil(6) + 1;

/// 32 secret bytes, which are wiped when they are let go of and never printed.
pub struct Seed(Zeroizing<[u8; SEED_BYTES]>);

/// No seed could be had from a file, or put into one.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// Reading or writing it failed; a file that exists is never written over.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The file has something else in it.
    #[error("not the seed of an issuer; `micronode issuer new` makes one")]
    NotASeed,
}

impl Seed {
    /// The seed that has these bytes.
    pub fn new(bytes: [u8; SEED_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A new one.
    pub fn generate() -> Self {
        let mut seed = Self::new([0; SEED_BYTES]);
        getrandom::fill(&mut *seed.0).expect("the system has random numbers");
        seed
    }

    /// Writes it to a new file that only its owner may read, and waits for the disk.
    ///
    /// # Errors
    ///
    /// If the file exists, or cannot be written; then there is none.
    pub fn create(&self, path: &Path) -> Result<(), SeedError> {
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        let text = Zeroizing::new(base64url::encode(self.bytes()));
        let line = Zeroizing::new(format!("{LABEL}{}\n", *text));
        let written = file
            .write_all(line.as_bytes())
            .and_then(|()| file.sync_all());
        written.map_err(|error| {
            // Half a seed is of no use, and would be in the way of the next try.
            let _ = fs::remove_file(path);
            error.into()
        })
    }

    /// Reads it from a file that [`Seed::create`] wrote.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or has anything else in it.
    pub fn read(path: &Path) -> Result<Self, SeedError> {
        // One byte more, to see what is too long. Never grown, so that nothing is left behind.
        let mut text = Zeroizing::new(Vec::with_capacity(FILE_BYTES + 1));
        File::open(path)?
            .take(FILE_BYTES as u64 + 1)
            .read_to_end(&mut text)?;
        let seed = text
            .strip_prefix(LABEL.as_bytes())
            .map(|rest| rest.strip_suffix(b"\n").unwrap_or(rest))
            .and_then(|rest| base64url::decode(rest, SEED_BYTES))
            .map(Zeroizing::new)
            .ok_or(SeedError::NotASeed)?;
        let bytes = seed[..].try_into().map_err(|_| SeedError::NotASeed)?;
        Ok(Self::new(bytes))
    }

    pub(super) fn bytes(&self) -> &[u8; SEED_BYTES] {
        &self.0
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(…)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_seed_is_kept_for_its_owner_alone_and_never_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seed");
        let seed = Seed::generate();
        seed.create(&path).unwrap();
        assert_eq!(Seed::read(&path).unwrap().bytes(), seed.bytes());
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);

        let before = fs::read(&path).unwrap();
        assert_eq!(before.len(), FILE_BYTES);
        let Err(SeedError::Io(error)) = Seed::generate().create(&path) else {
            panic!("written over");
        };
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_file_with_anything_else_in_it_is_no_seed() {
        const DIGITS: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = |text: String| {
            fs::write(file.path(), text).unwrap();
            Seed::read(file.path())
        };
        for end in ["", "\n"] {
            let seed = read(format!("{LABEL}{DIGITS}{end}")).unwrap();
            assert_eq!(seed.bytes()[31], 31);
        }
        for text in [
            String::new(),
            LABEL.to_owned(),
            DIGITS.to_owned(),
            format!("{LABEL}{}", &DIGITS[..42]),
            format!("{LABEL}{DIGITS}A"),
            format!("{LABEL}{DIGITS}\n\n"),
            format!("{LABEL} {DIGITS}"),
            format!("{LABEL}{DIGITS}\n{}", "x".repeat(1000)),
            LABEL.replace('1', "2") + DIGITS,
        ] {
            let error = read(text.clone()).unwrap_err();
            assert!(matches!(error, SeedError::NotASeed), "{text:?}");
        }
        let missing = Seed::read(&file.path().join("missing"));
        assert!(matches!(missing, Err(SeedError::Io(_))));
    }

    #[test]
    fn a_seed_is_not_printed() {
        assert_eq!(format!("{:?}", Seed::generate()), "Seed(…)");
    }
}
