//! What `memory.budget = "auto"` stands for: half of what the machine or its control group has.
//!
//! Reads `/proc/meminfo` and the memory limits of control groups (v2, and v1 where it is still
//! mounted), at start and at reload only.

use std::fs;
use std::path::Path;

use micronode_protocol::limits::MEMORY_BUDGET_MIN;

/// Why `auto` has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// `/proc/meminfo` is missing or strange.
    #[error("\"auto\" needs /proc/meminfo, which cannot be read here: give a size")]
    Unknown,
    /// Half of what there is would be less than a node needs.
    #[error(
        "\"auto\" would be {half} bytes, below the least budget of {MEMORY_BUDGET_MIN}: give a size"
    )]
    TooLittle {
        /// Half of what there is, in bytes.
        half: u64,
    },
}

/// Half of the smallest of: the machine's memory, and the limit of every control group that this
/// process is in. In bytes. `root` is `/`, other than in tests.
pub(super) fn auto_budget(root: &Path) -> Result<u64, MemoryError> {
    let machine = machine_bytes(root).ok_or(MemoryError::Unknown)?;
    let half = control_group_bytes(root).map_or(machine, |group| group.min(machine)) / 2;
    if half < MEMORY_BUDGET_MIN {
        Err(MemoryError::TooLittle { half })
    } else {
        Ok(half)
    }
}

/// `MemTotal` of `/proc/meminfo`, a line such as `MemTotal:  16291156 kB` (units of 1024).
fn machine_bytes(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let rest = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    rest.trim()
        .strip_suffix(" kB")?
        .parse::<u64>()
        .ok()?
        .checked_mul(1024)
}

/// The smallest limit from this process's control group up to the root, of both versions.
///
/// `/proc/self/cgroup` has lines `hierarchy:controllers:path`; version 2 is `0::path`, version 1
/// names `memory` among its controllers. Inside a container the path may be one that only the
/// host can see: its ancestors, at least the mount's root, are still there and carry the limit.
fn control_group_bytes(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let limits = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (hierarchy, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let (mount, file) = if hierarchy == "0" && controllers.is_empty() {
            ("sys/fs/cgroup", "memory.max")
        } else if controllers.split(',').any(|name| name == "memory") {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
        } else {
            return None;
        };
        // Ancestors of a relative path end with the empty one: the mount itself.
        Path::new(path.trim_start_matches('/'))
            .ancestors()
            .filter_map(|group| fs::read_to_string(root.join(mount).join(group).join(file)).ok())
            // Version 2 writes `max` for no limit, version 1 a number beyond any machine.
            .filter_map(|limit| limit.trim().parse::<u64>().ok())
            .min()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const GIB: u64 = 1 << 30;

    /// A file tree with `files` and a machine of 8 GiB.
    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let meminfo = (
            "proc/meminfo",
            "MemTotal:        8388608 kB\nMemFree: 1 kB\n",
        );
        for (path, text) in files.iter().copied().chain([meminfo]) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn budget_of(files: &[(&str, &str)]) -> Result<u64, MemoryError> {
        auto_budget(machine(files).path())
    }

    #[test]
    fn half_of_the_machine_without_control_groups() {
        assert_eq!(budget_of(&[]), Ok(4 * GIB));
    }

    #[test]
    fn no_machine_is_an_error() {
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(auto_budget(empty.path()), Err(MemoryError::Unknown));
        assert_eq!(budget_of(&[]).map(|_| ()), Ok(()));
        let strange = machine(&[]);
        fs::write(strange.path().join("proc/meminfo"), "MemTotal: lots\n").unwrap();
        assert_eq!(auto_budget(strange.path()), Err(MemoryError::Unknown));
    }

    #[test]
    fn the_tightest_group_of_version_2_counts() {
        let group = ("proc/self/cgroup", "0::/system.slice/node.service\n");
        let unlimited = (
            "sys/fs/cgroup/system.slice/node.service/memory.max",
            "max\n",
        );
        let slice = ("sys/fs/cgroup/system.slice/memory.max", "2147483648\n");
        assert_eq!(budget_of(&[group, unlimited]), Ok(4 * GIB));
        assert_eq!(budget_of(&[group, unlimited, slice]), Ok(GIB));
        let service = (
            "sys/fs/cgroup/system.slice/node.service/memory.max",
            "1073741824\n",
        );
        assert_eq!(budget_of(&[group, service, slice]), Ok(GIB / 2));
    }

    #[test]
    fn a_group_path_of_the_host_falls_back_to_the_mount() {
        let group = ("proc/self/cgroup", "0::/../../docker/0123\n");
        let mount = ("sys/fs/cgroup/memory.max", "1073741824\n");
        assert_eq!(budget_of(&[group, mount]), Ok(GIB / 2));
    }

    #[test]
    fn version_1_is_read_and_a_limit_beyond_the_machine_ignored() {
        let groups = (
            "proc/self/cgroup",
            "5:cpu,cpuacct:/a\n4:hugetlb,memory:/a/b\n",
        );
        let none = (
            "sys/fs/cgroup/memory/memory.limit_in_bytes",
            "9223372036854771712\n",
        );
        let a = (
            "sys/fs/cgroup/memory/a/memory.limit_in_bytes",
            "536870912\n",
        );
        assert_eq!(budget_of(&[groups, none]), Ok(4 * GIB));
        assert_eq!(budget_of(&[groups, none, a]), Ok(GIB / 4));
    }

    #[test]
    fn too_little_is_an_error_and_just_enough_is_not() {
        let group = ("proc/self/cgroup", "0::/\n");
        let limit =
            |bytes: u64| budget_of(&[group, ("sys/fs/cgroup/memory.max", &format!("{bytes}\n"))]);
        assert_eq!(limit(2 * MEMORY_BUDGET_MIN), Ok(MEMORY_BUDGET_MIN));
        let half = MEMORY_BUDGET_MIN - 1;
        assert_eq!(limit(2 * half), Err(MemoryError::TooLittle { half }));
    }
}
