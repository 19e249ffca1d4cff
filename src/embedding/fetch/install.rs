//! Puts one file in place: hashed while it is written, named only when the hash is right.

use std::{
    fs,
    fs::File,
    io,
    io::{BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{FetchError, FetchEvent, Origin, PinnedFile, Progress, pypi};

/// A file that is not yet known to be right. Dropped before [`Part::finish`] it vanishes.
pub(super) struct Part<'a> {
    pinned: &'a PinnedFile,
    origin: Origin,
    path: PathBuf,
    file: BufWriter<File>,
    hasher: Sha256,
    done: u64,
    in_place: bool,
    progress: Progress<'a>,
}

impl<'a> Part<'a> {
    pub(super) fn create(
        dir: &Path,
        pinned: &'a PinnedFile,
        origin: Origin,
        progress: Progress<'a>,
    ) -> Result<Self, FetchError> {
        let path = part_path(dir, pinned);
        let file = File::create(&path).map_err(FetchError::io(&path))?;
        progress(FetchEvent::Bytes { file: pinned.name, done: 0, total: pinned.bytes });
        let file = BufWriter::with_capacity(1 << 18, file);
        Ok(Self { pinned, origin, path, file, hasher: Sha256::new(), done: 0, in_place: false, progress })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        self.done += bytes.len() as u64;
        // A source that never stops sending must not fill the disk.
        if self.done > self.pinned.bytes {
            return Err(self.refused(format!("none, as it is longer than {} bytes", self.pinned.bytes)));
        }
        self.hasher.update(bytes);
        self.file.write_all(bytes).map_err(FetchError::io(&self.path))?;
        if self.done < self.pinned.bytes {
            self.tell();
        }
        Ok(())
    }

    /// Gives the file its name if its bytes are the pinned ones.
    pub(super) fn finish(mut self) -> Result<(), FetchError> {
        let actual = hex(self.hasher.finalize_reset());
        if actual != self.pinned.sha256 {
            return Err(self.refused(actual));
        }
        let target = self.path.with_file_name(self.pinned.name);
        self.file.flush().map_err(FetchError::io(&self.path))?;
        self.file.get_ref().sync_all().map_err(FetchError::io(&self.path))?;
        fs::rename(&self.path, &target).map_err(FetchError::io(&target))?;
        self.in_place = true;
        // The name must survive a power cut too; where a folder cannot be synced the next start verifies.
        if let Some(dir) = target.parent() {
            let _ = File::open(dir).and_then(|dir| dir.sync_all());
        }
        self.tell();
        Ok(())
    }

    fn tell(&self) {
        let (file, done, total) = (self.pinned.name, self.done, self.pinned.bytes);
        (self.progress)(FetchEvent::Bytes { file, done, total });
    }

    fn refused(&self, actual: String) -> FetchError {
        let PinnedFile { name: file, sha256: expected, .. } = *self.pinned;
        FetchError::Refused { origin: self.origin, file, expected, actual }
    }
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        if !self.in_place {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes what a killed fetch left. Only for who holds the lock.
pub(super) fn sweep(dir: &Path, files: &[PinnedFile]) -> Result<(), FetchError> {
    for path in files.iter().map(|pinned| part_path(dir, pinned)) {
        gone(fs::remove_file(&path)).map_err(FetchError::io(path))?;
    }
    let wheels = dir.join(pypi::FOLDER);
    gone(fs::remove_dir_all(&wheels)).map_err(FetchError::io(wheels))
}

/// Lower-case hex of the SHA-256 of everything that is left to read.
pub(super) fn sha256_of(mut reader: impl Read) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(hex(hasher.finalize())),
            read => hasher.update(&buffer[..read]),
        }
    }
}

fn part_path(dir: &Path, pinned: &PinnedFile) -> PathBuf {
    dir.join(format!("{}.part", pinned.name))
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn hex(digest: impl AsRef<[u8]>) -> String {
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
