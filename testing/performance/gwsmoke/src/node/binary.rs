//! Where the node's binary is, when nobody says.

use std::path::PathBuf;

use crate::failure::{Failure, io};

/// The node's binary of the target directory that this program was built into: the release build if
/// there is one.
///
/// # Errors
///
/// If there is none; with how to build it.
pub fn find_binary() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().map_err(io("the path of this program"))?;
    // A test is one folder deeper.
    let folders = own.ancestors().skip(1).take(2);
    let places = folders.flat_map(|folder| {
        let release = folder
            .parent()
            .map(|target| target.join("release/micronode"));
        release.into_iter().chain([folder.join("micronode")])
    });
    let places: Vec<PathBuf> = places.collect();
    let found = places.iter().find(|place| place.is_file());
    found.cloned().ok_or_else(|| {
        let places: Vec<_> = places
            .iter()
            .map(|place| place.display().to_string())
            .collect();
        Failure::wrong(format!(
            "no node to measure at {}: build one with `cargo build --release -p micronode`, or name \
             one with --node or --url",
            places.join(", ")
        ))
    })
}
