//! The model's files: mapped into memory and checked against their pinned hashes.

use std::{
    fs::File,
    io,
    ops::Deref,
    path::{Path, PathBuf},
};

use memmap2::{Mmap, MmapMut};
use sha2::{Digest, Sha256};

use super::LoadError;

/// A file in memory, not yet known to be the right one.
pub(super) struct Mapped {
    path: PathBuf,
    file: File,
    map: Mmap,
}

/// Maps a file.
pub(super) fn map(path: PathBuf) -> Result<Mapped, LoadError> {
    let mapped = File::open(&path).and_then(|file| Ok((map_file(&file)?, file)));
    match mapped {
        Ok((map, file)) => Ok(Mapped { path, file, map }),
        Err(error) => Err(load_error(&path, &error)),
    }
}

impl Mapped {
    /// Checks the SHA-256 of exactly the bytes that are mapped.
    pub fn verify(&self, wanted: &'static str) -> Result<(), LoadError> {
        let found = format!("{:x}", Sha256::digest(&self.map));
        if found == wanted {
            return Ok(());
        }
        Err(LoadError::WrongHash { path: self.path.clone(), found, wanted })
    }

    /// Another mapping of the same file, also if another one has taken its name since.
    pub fn again(&self) -> Result<Mmap, LoadError> {
        map_file(&self.file).map_err(|error| load_error(&self.path, &error))
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

/// Gives the pages of a file back; what is read again comes from the page cache.
#[allow(unsafe_code, reason = "the one call that takes pages out of a map")]
pub(super) fn let_go(map: &Mmap) {
    // SAFETY: the map is of a file and never written to, so that the same bytes come back when a page is
    // touched again.
    #[cfg(unix)]
    let _ = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
    // Words lie far apart: what surrounds one is not worth reading.
    #[cfg(unix)]
    let _ = map.advise(memmap2::Advice::Random);
}

/// Zeroed memory aligned to pages, in huge pages where the system has them: a pass reads all of it.
pub(super) fn memory(bytes: usize) -> Result<MmapMut, LoadError> {
    let map = MmapMut::map_anon(bytes.max(1)).map_err(|error| LoadError::Model(error.to_string()))?;
    #[cfg(target_os = "linux")]
    let _ = map.advise(memmap2::Advice::HugePage);
    Ok(map)
}

#[allow(unsafe_code, reason = "a memory map is the only way to read 90 MB without a copy")]
fn map_file(file: &File) -> io::Result<Mmap> {
    // SAFETY: the map is read-only and private to this process. Its bytes would change under us only
    // if somebody wrote into the file in place; `model fetch` never does, it renames a finished file
    // over the old one, which leaves this mapping on the old inode.
    unsafe { Mmap::map(file) }
}

fn load_error(path: &Path, error: &io::Error) -> LoadError {
    match error.kind() {
        io::ErrorKind::NotFound => LoadError::Missing { path: path.to_owned() },
        _ => LoadError::Unreadable { path: path.to_owned(), reason: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    #[test]
    fn only_the_pinned_bytes_pass() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights");
        assert!(matches!(map(path.clone()), Err(LoadError::Missing { .. })));
        std::fs::write(&path, "hello").unwrap();
        let mapped = map(path.clone()).unwrap();
        assert!(mapped.verify(HELLO).is_ok());
        assert_eq!(&mapped[..], b"hello");
        std::fs::write(&path, "hellO").unwrap();
        assert!(matches!(map(path).unwrap().verify(HELLO), Err(LoadError::WrongHash { .. })));
    }

    #[test]
    fn a_file_renamed_over_a_mapped_one_does_not_change_the_map() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights");
        std::fs::write(&path, "hello").unwrap();
        let mapped = map(path.clone()).unwrap();
        std::fs::write(dir.path().join("new"), "other").unwrap();
        std::fs::rename(dir.path().join("new"), &path).unwrap();
        assert_eq!(&mapped[..], b"hello");
        assert_eq!(&mapped.again().unwrap()[..], b"hello");
    }

    #[test]
    fn pages_that_were_let_go_come_back() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![7u8; 20_000]).unwrap();
        let map = map(file.path().to_owned()).unwrap().again().unwrap();
        let_go(&map);
        assert!(map.iter().all(|&byte| byte == 7));
    }
}
