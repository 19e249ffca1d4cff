//! Vector files: rows of numbers with their row ids, mapped into memory and scanned with SIMD.
//!
//! Layout, little-endian: 64 bytes of header (magic, dimensions, count), `count` rows of `dimensions` f32,
//! `count` row ids (u64, ascending). `dimensions` is even, so that the row ids are aligned. A file is written once, renamed into place before the commit that names
//! it, and never changed.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use memmap2::Mmap;
use pulp::{Arch, Simd, WithSimd};

const MAGIC: &[u8; 8] = b"RAGVEC01";
const HEADER: usize = 64;

/// A finished, mapped file.
pub(super) struct VectorFile {
    map: Mmap,
    row_bytes: usize,
    count: usize,
}

impl VectorFile {
    pub(super) fn open(path: &Path, dimensions: usize) -> io::Result<Self> {
        let row_bytes = dimensions * 4;
        let map = map(path)?;
        let broken =
            |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()));
        if map.len() < HEADER || &map[..8] != MAGIC {
            return Err(broken("not a vector file"));
        }
        let number = |at: usize| -> u64 { bytemuck::pod_read_unaligned(&map[at..at + 8]) };
        if number(8) != dimensions as u64 {
            return Err(broken("vectors of another length"));
        }
        let count = usize::try_from(number(16)).map_err(|_| broken("impossible count"))?;
        if count.checked_mul(row_bytes + 8).and_then(|bytes| bytes.checked_add(HEADER)) != Some(map.len()) {
            return Err(broken("cut off or overlong"));
        }
        Ok(Self { map, row_bytes, count })
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Row ids, ascending.
    pub(super) fn ids(&self) -> &[u64] {
        bytemuck::cast_slice(&self.map[HEADER + self.count * self.row_bytes..])
    }

    /// The vector at a position in this file.
    pub(super) fn row(&self, position: usize) -> &[f32] {
        let start = HEADER + position * self.row_bytes;
        bytemuck::cast_slice(&self.map[start..start + self.row_bytes])
    }
}

#[allow(unsafe_code, reason = "vectors are searched where the page cache holds them, without a copy")]
fn map(path: &Path) -> io::Result<Mmap> {
    let file = File::open(path)?;
    // SAFETY: the map is read-only. Vector files are created under another name and renamed when they
    // are complete; nothing writes into a finished file, and removing it leaves the mapped inode alone.
    unsafe { Mmap::map(&file) }
}

/// Collects rows under a temporary name until [`VectorWriter::finish`].
pub(super) struct VectorWriter {
    path: PathBuf,
    dimensions: usize,
    rows: BufWriter<File>,
    ids: Vec<u64>,
}

impl VectorWriter {
    /// `path` must end in `.part`; nothing reads such files, and the next writer removes them.
    pub(super) fn create(path: PathBuf, dimensions: usize) -> io::Result<Self> {
        let mut rows = BufWriter::with_capacity(1 << 20, File::create(&path)?);
        rows.write_all(&[0; HEADER])?;
        Ok(Self { rows, path, dimensions, ids: Vec::new() })
    }

    /// Rows must come with ascending ids.
    pub(super) fn push(&mut self, id: u64, row: &[f32]) -> io::Result<()> {
        self.ids.push(id);
        self.rows.write_all(bytemuck::cast_slice(row))
    }

    /// Renames the finished file to `path`, durably.
    pub(super) fn finish(mut self, path: &Path) -> io::Result<()> {
        self.rows.write_all(bytemuck::cast_slice(&self.ids))?;
        let mut file = self.rows.into_inner().map_err(io::IntoInnerError::into_error)?;
        let mut header = [0u8; HEADER];
        header[..8].copy_from_slice(MAGIC);
        header[8..16].copy_from_slice(&(self.dimensions as u64).to_le_bytes());
        header[16..24].copy_from_slice(&(self.ids.len() as u64).to_le_bytes());
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&header)?;
        file.sync_all()?;
        fs::rename(&self.path, path)?;
        if let Some(folder) = path.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }
}

/// Calls `visit(index, dot product)` for each row, dispatched once for the CPU at hand.
pub(super) fn for_each_dot<'a>(
    query: &[f32],
    rows: impl Iterator<Item = &'a [f32]>,
    visit: impl FnMut(usize, f32),
) {
    struct Scan<'q, R, V> {
        query: &'q [f32],
        rows: R,
        visit: V,
    }
    impl<'a, R: Iterator<Item = &'a [f32]>, V: FnMut(usize, f32)> WithSimd for Scan<'_, R, V> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(mut self, simd: S) {
            let (query, query_tail) = S::as_simd_f32s(self.query);
            for (index, row) in self.rows.enumerate() {
                let (row, row_tail) = S::as_simd_f32s(row);
                // Four sums hide the latency of the fused multiply-add.
                let mut sums = [simd.splat_f32s(0.0); 4];
                for (q, r) in query.chunks(4).zip(row.chunks(4)) {
                    for ((sum, q), r) in sums.iter_mut().zip(q).zip(r) {
                        *sum = simd.mul_add_e_f32s(*q, *r, *sum);
                    }
                }
                let sum = simd.add_f32s(simd.add_f32s(sums[0], sums[1]), simd.add_f32s(sums[2], sums[3]));
                let tail: f32 = query_tail.iter().zip(row_tail).map(|(q, r)| q * r).sum();
                (self.visit)(index, simd.reduce_sum_f32s(sum) + tail);
            }
        }
    }
    Arch::new().dispatch(Scan { query, rows, visit });
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIMENSIONS: usize = 384;

    fn row(seed: usize) -> Vec<f32> {
        (0..DIMENSIONS).map(|i| ((i * 31 + seed * 17) % 97) as f32 / 97.0 - 0.5).collect()
    }

    fn written(dir: &Path, count: usize) -> PathBuf {
        let path = dir.join("0.vec");
        let mut writer = VectorWriter::create(dir.join("0.part"), DIMENSIONS).unwrap();
        (0..count).for_each(|i| writer.push(i as u64 * 3, &row(i)).unwrap());
        writer.finish(&path).unwrap();
        path
    }

    #[test]
    fn what_is_written_is_mapped_and_no_part_is_left() {
        for count in [0, 1, 7, 8, 9, 100] {
            let dir = tempfile::tempdir().unwrap();
            let file = VectorFile::open(&written(dir.path(), count), DIMENSIONS).unwrap();
            assert_eq!(file.len(), count);
            for i in 0..count {
                assert_eq!((file.ids()[i], file.row(i)), (i as u64 * 3, row(i).as_slice()));
            }
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path(), 5);
        let bytes = fs::read(&path).unwrap();
        for length in [0, 10, 64, bytes.len() - 1] {
            fs::write(&path, &bytes[..length]).unwrap();
            assert!(VectorFile::open(&path, DIMENSIONS).is_err(), "{length} bytes");
        }
        let mut wild = bytes.clone();
        wild[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
        fs::write(&path, &wild).unwrap();
        assert!(VectorFile::open(&path, DIMENSIONS).is_err());
    }

    #[test]
    fn a_removed_file_stays_readable_while_mapped() {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path(), 2);
        let file = VectorFile::open(&path, DIMENSIONS).unwrap();
        fs::remove_file(path).unwrap();
        assert_eq!(file.row(1), row(1).as_slice());
    }

    #[test]
    fn dot_products_equal_the_plain_sum() {
        let query = row(42);
        let rows: Vec<Vec<f32>> = (0..20).map(row).collect();
        let mut seen = 0;
        for_each_dot(&query, rows.iter().map(Vec::as_slice), |index, dot| {
            let plain: f64 = query.iter().zip(&rows[index]).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            assert!((f64::from(dot) - plain).abs() < 1e-4);
            seen += 1;
        });
        assert_eq!(seen, 20);
    }
}
