//! What a node that runs still reads: the files that a reload reads again, and what the kernel
//! tells about this process and its machine.

use crate::config::Config;
use std::path::{Path, PathBuf};

/// Of `/proc`, and of control groups for a memory budget of `auto`: their names are the kernel's.
///
/// The machine's memory; descriptors, memory and time of this process; when the machine was booted.
const OF_THE_KERNEL: [&str; 4] = [
    "/proc/meminfo",
    "/proc/self",
    "/proc/stat",
    "/sys/fs/cgroup",
];

/// The directories of `file`, the configuration, and of the files that it names, and what is read
/// of the kernel. Directories and not files, as whoever renews a certificate puts another file in
/// its place.
pub(crate) fn readable(config: &Config, file: Option<&Path>) -> Vec<PathBuf> {
    let tls = &config.tls;
    let files = [
        file,
        tls.cert.as_deref(),
        tls.key.as_deref(),
        tls.client_ca.as_deref(),
    ];
    let mut paths: Vec<PathBuf> = files.into_iter().flatten().flat_map(directories).collect();
    paths.extend(OF_THE_KERNEL.iter().map(PathBuf::from));
    paths.sort_unstable();
    paths.dedup();
    paths
}

/// Where a file is looked for, and, where links lead elsewhere, where it is: the kernel goes by the
/// latter.
fn directories(file: &Path) -> impl Iterator<Item = PathBuf> {
    let named = directory(file);
    let real = file.canonicalize().ok().map(|file| directory(&file));
    [named.canonicalize().ok(), real].into_iter().flatten()
}

fn directory(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => file.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn both_ends_of_a_link_are_read() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        for directory in ["live", "archive", "etc"] {
            std::fs::create_dir(root.join(directory)).unwrap();
        }
        std::fs::write(root.join("archive/cert1.pem"), "").unwrap();
        std::os::unix::fs::symlink("../archive/cert1.pem", root.join("live/cert.pem")).unwrap();
        std::fs::write(root.join("etc/node.toml"), "").unwrap();
        let mut config = Config::default();
        config.tls.cert = Some(root.join("live/cert.pem"));
        let paths = readable(&config, Some(&root.join("etc/node.toml")));
        let ours: Vec<&Path> = paths
            .iter()
            .filter_map(|path| path.strip_prefix(&root).ok())
            .collect();
        assert_eq!(ours, ["archive", "etc", "live"].map(Path::new));
        assert_eq!(paths.len(), ours.len() + OF_THE_KERNEL.len());
    }

    #[test]
    fn a_file_named_without_a_directory_is_in_the_current_one() {
        assert_eq!(directory(Path::new("node.toml")), Path::new("."));
        assert_eq!(directory(Path::new("/node.toml")), Path::new("/"));
    }

    #[test]
    fn without_files_it_is_the_kernel_alone() {
        let paths = readable(&Config::default(), None);
        assert_eq!(paths, OF_THE_KERNEL.map(Path::new));
    }
}
