//! The model's files: mapped into memory and checked against their pinned hashes.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use memmap2::Mmap;
use sha2::{Digest, Sha256};

use super::LoadError;

/// Maps a file and checks its SHA-256. Hashing the mapping also brings it into memory in one
/// sequential read, which the loader needs next anyway.
pub(super) fn map_verified(path: PathBuf, wanted: &'static str) -> Result<Mmap, LoadError> {
    let map = map(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => LoadError::Missing { path: path.clone() },
        _ => LoadError::Unreadable { path: path.clone(), reason: error.to_string() },
    })?;
    let found = format!("{:x}", Sha256::digest(&map));
    if found != wanted {
        return Err(LoadError::WrongHash { path, found, wanted });
    }
    Ok(map)
}

#[allow(unsafe_code, reason = "a memory map is the only way to read 90 MB without a copy")]
fn map(path: &Path) -> io::Result<Mmap> {
    let file = File::open(path)?;
    // SAFETY: the map is read-only and private to this process. Its bytes would change under us only
    // if somebody wrote into the file in place; `model fetch` never does, it renames a finished file
    // over the old one, which leaves this mapping on the old inode.
    unsafe { Mmap::map(&file) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    #[test]
    fn only_the_pinned_bytes_are_mapped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights");
        assert!(matches!(map_verified(path.clone(), HELLO), Err(LoadError::Missing { .. })));
        std::fs::write(&path, "hello").unwrap();
        assert_eq!(&map_verified(path.clone(), HELLO).unwrap()[..], b"hello");
        std::fs::write(&path, "hellO").unwrap();
        assert!(matches!(map_verified(path, HELLO), Err(LoadError::WrongHash { .. })));
    }

    #[test]
    fn a_file_renamed_over_a_mapped_one_does_not_change_the_map() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights");
        std::fs::write(&path, "hello").unwrap();
        let map = map_verified(path.clone(), HELLO).unwrap();
        std::fs::write(dir.path().join("new"), "other").unwrap();
        std::fs::rename(dir.path().join("new"), &path).unwrap();
        assert_eq!(&map[..], b"hello");
    }
}
