//! Landlock: what this thread, and every thread that it starts, may do with files and the network
//! from now on. There is no way back.
//!
//! Descriptors that are open keep what they can do, so the listeners serve on, and standard error
//! takes the log. Rules are for what is opened later.

use super::Shortcoming;
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus,
    PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    Scope, make_bitflags,
};
use rustix::fs::{FileType, fstat};
use std::path::{Path, PathBuf};

/// The newest set of rights that this was tried with. Newer kernels have it too.
const NEWEST: ABI = ABI::V7;

/// What is held to its rules, and by how much.
#[derive(Debug)]
pub(crate) struct Sandbox {
    abi: Option<u8>,
    readable: Vec<PathBuf>,
    writable: Option<PathBuf>,
    shortcomings: Vec<Shortcoming>,
    /// A rule goes by the inode, and `/proc` makes another one for a name that was out of use for
    /// a while. With these open, it is not.
    _held: Vec<PathFd>,
}

impl Default for Sandbox {
    /// No rules at all.
    fn default() -> Self {
        Self::without(Shortcoming::NoSandbox, None)
    }
}

impl Sandbox {
    fn without(why: Shortcoming, writable: Option<PathBuf>) -> Self {
        Self {
            abi: None,
            readable: Vec::new(),
            writable,
            shortcomings: vec![why],
            _held: Vec::new(),
        }
    }

    /// From now on this process reads what is beneath the paths in `readable`, writes what is
    /// beneath `writable` and nothing else, and reaches nobody. Called by the only thread there
    /// is, with all descriptors open that need any of it.
    pub(crate) fn enter(readable: Vec<PathBuf>, writable: Option<PathBuf>) -> Self {
        let alone = threads() == Some(1);
        let mut held = Vec::new();
        let entered = restrict(&readable, writable.as_deref(), &mut held);
        let abi = match entered.map(|status| status.landlock) {
            Ok(LandlockStatus::Available { effective_abi, .. }) => effective_abi.min(NEWEST),
            Ok(LandlockStatus::NotEnabled) => {
                return Self::without(Shortcoming::LandlockOff, writable);
            }
            Ok(LandlockStatus::NotImplemented) => {
                return Self::without(Shortcoming::NoLandlock, writable);
            }
            Err(_) => return Self::without(Shortcoming::LandlockRefused, writable),
        };
        let mut shortcomings = missing(abi);
        if !alone {
            shortcomings.push(Shortcoming::Threads);
        }
        Self {
            abi: u8::try_from(abi as i32).ok(),
            readable,
            writable,
            shortcomings,
            _held: held,
        }
    }

    /// The ABI in force, which is not newer than the one this was tried with.
    pub(crate) fn abi(&self) -> Option<u8> {
        self.abi
    }

    /// Where files may be read.
    pub(crate) fn readable(&self) -> &[PathBuf] {
        &self.readable
    }

    /// Where files may be written.
    pub(crate) fn writable(&self) -> Option<&Path> {
        self.writable.as_deref()
    }

    pub(crate) fn shortcomings(&self) -> &[Shortcoming] {
        &self.shortcomings
    }

    /// What is denied, by the kernel's words for it.
    pub(crate) fn denied(&self) -> Vec<&'static str> {
        let Some(abi) = self.abi else {
            return Vec::new();
        };
        let since = [
            (1, "execute"),
            (1, "write_file"),
            (1, "read_file"),
            (1, "read_dir"),
            (1, "remove_dir"),
            (1, "remove_file"),
            (1, "make_char"),
            (1, "make_dir"),
            (1, "make_reg"),
            (1, "make_sock"),
            (1, "make_fifo"),
            (1, "make_block"),
            (1, "make_sym"),
            (1, "refer"),
            (3, "truncate"),
            (4, "bind_tcp"),
            (4, "connect_tcp"),
            (5, "ioctl_dev"),
            (6, "scope_signal"),
            (6, "scope_abstract_unix_socket"),
        ];
        since
            .into_iter()
            .filter(|(least, _)| abi >= *least)
            .map(|(_, word)| word)
            .collect()
    }
}

fn restrict(
    readable: &[PathBuf],
    writable: Option<&Path>,
    held: &mut Vec<PathFd>,
) -> Result<RestrictionStatus, RulesetError> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    let read = make_bitflags!(AccessFs::{ReadFile | ReadDir});
    let write = make_bitflags!(AccessFs::{
        WriteFile | Truncate | RemoveDir | RemoveFile | MakeDir | MakeReg | Refer
    });
    let readable = readable.iter().map(|path| (path.as_path(), read));
    let writable = writable.map(|path| (path, read | write));
    for (path, rights) in readable.chain(writable) {
        // What is not there cannot be read, by a rule or without.
        let Ok(file) = PathFd::new(path) else {
            continue;
        };
        ruleset = ruleset.add_rule(PathBeneath::new(&file, fitting(&file, rights)))?;
        held.push(file);
    }
    ruleset.restrict_self()
}

/// The kernel takes no rights of directories for a file.
fn fitting(file: &PathFd, rights: BitFlags<AccessFs>) -> BitFlags<AccessFs> {
    let kind = fstat(file).map(|stat| FileType::from_raw_mode(stat.st_mode));
    if kind == Ok(FileType::Directory) {
        rights
    } else {
        rights & AccessFs::from_file(NEWEST)
    }
}

/// What an ABI lacks.
fn missing(abi: ABI) -> Vec<Shortcoming> {
    let since = [
        (ABI::V3, Shortcoming::Truncate),
        (ABI::V4, Shortcoming::Tcp),
        (ABI::V5, Shortcoming::Devices),
        (ABI::V6, Shortcoming::Scopes),
    ];
    since
        .into_iter()
        .filter(|(least, _)| abi < *least)
        .map(|(_, missing)| missing)
        .collect()
}

/// `None` where `/proc` is not to be read. The first look of its library, which also wants to know
/// the kernel's release: that file is out of reach later.
fn threads() -> Option<u64> {
    let process = procfs::process::Process::myself().ok()?;
    Some(process.status().ok()?.threads)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use std::io::{self, Write};
    use std::{fs, thread};

    #[test]
    fn what_older_kernels_lack_is_said() {
        assert_eq!(missing(ABI::V7), []);
        assert_eq!(missing(ABI::V6), []);
        assert_eq!(missing(ABI::V5), [Shortcoming::Scopes]);
        assert_eq!(missing(ABI::V3).len(), 3);
        assert_eq!(missing(ABI::V1).len(), 4);
        assert!(missing(ABI::V2).contains(&Shortcoming::Truncate));
    }

    #[test]
    fn what_is_denied_grows_with_the_kernel() {
        let of = |abi| Sandbox {
            abi,
            ..Sandbox::default()
        };
        assert_eq!(of(None).denied(), [""; 0]);
        assert_eq!(of(Some(2)).denied().len(), 14);
        assert!(!of(Some(3)).denied().contains(&"connect_tcp"));
        assert_eq!(of(Some(7)).denied().len(), 20);
    }

    /// A restriction is its thread's, so a test can try one.
    #[test]
    fn what_is_kept_is_kept_beneath_one_directory() {
        let root = tempfile::tempdir().unwrap();
        let (kept, other) = (root.path().join("kept"), root.path().join("other"));
        fs::create_dir(&kept).unwrap();
        fs::create_dir(&other).unwrap();
        fs::write(other.join("read"), "it").unwrap();
        let (kept, other) = (&kept, &other);
        let sandbox = thread::scope(|scope| {
            let restricted = scope.spawn(move || {
                let readable = vec![other.clone(), root.path().join("absent")];
                let sandbox = Sandbox::enter(readable, Some(kept.clone()));
                if sandbox.abi().is_none() {
                    return sandbox;
                }
                fs::create_dir(kept.join("d")).unwrap();
                fs::write(kept.join("d/new"), "kept").unwrap();
                fs::rename(kept.join("d/new"), kept.join("file")).unwrap();
                fs::write(kept.join("file"), "again").unwrap();
                assert_eq!(fs::read(kept.join("file")).unwrap(), b"again");
                fs::File::open(kept).unwrap().sync_all().unwrap();
                fs::remove_file(kept.join("file")).unwrap();
                fs::remove_dir(kept.join("d")).unwrap();

                assert_eq!(fs::read(other.join("read")).unwrap(), b"it");
                let denied = |result: io::Result<()>| {
                    assert_eq!(result.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
                };
                denied(fs::write(other.join("new"), ""));
                denied(fs::write(other.join("read"), ""));
                denied(fs::remove_file(other.join("read")));
                // As if it were another file system.
                fs::rename(other.join("read"), kept.join("read")).unwrap_err();
                fs::hard_link(other.join("read"), kept.join("read")).unwrap_err();
                denied(fs::read_dir(root.path()).map(drop));
                denied(std::os::unix::net::UnixListener::bind(kept.join("socket")).map(drop));
                sandbox
            });
            restricted.join().unwrap()
        });
        if sandbox.abi().is_none() {
            let skipped = b"NOT TESTED: this kernel has no Landlock\n";
            return io::stderr().write_all(skipped).unwrap();
        }
        assert_eq!(sandbox.writable(), Some(kept.as_path()));
        // The harness has threads of its own, and they are free.
        assert!(sandbox.shortcomings().contains(&Shortcoming::Threads));
        fs::write(other.join("new"), "").unwrap();
    }
}
