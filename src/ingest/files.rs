//! Which files an ingestion reads, and what each is called in the index.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    str::FromStr,
};

use sha2::{Digest, Sha256};

use super::extract::Format;

/// A file and its name in the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    pub path: PathBuf,
    /// Relative to the folder it was found in, with `/`; a file given by itself has its file name.
    pub source: String,
}

/// Files in a stable order, and what is wrong with others.
#[derive(Debug, Default)]
pub struct Found {
    pub files: Vec<SourceFile>,
    /// Path and reason of what cannot be read at all.
    pub problems: Vec<(String, String)>,
}

/// One of several equal parts of a corpus, so that as many jobs can share the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    number: u32,
    of: u32,
}

impl Shard {
    /// Whether a source belongs here: by the hash of its name, so that every job sees it alike and no
    /// other file moves when one comes or goes.
    pub fn holds(self, source: &str) -> bool {
        let digest = Sha256::digest(source);
        let hash = digest.iter().take(8).fold(0, |number, &byte| number << 8 | u64::from(byte));
        hash % u64::from(self.of) == u64::from(self.number - 1)
    }
}

/// The whole corpus.
impl Default for Shard {
    fn default() -> Self {
        Self { number: 1, of: 1 }
    }
}

/// `I/N`, with I from 1 to N.
impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match numbers {
            Some((number, of)) if (1..=of).contains(&number) && of <= 10_000 => Ok(Self { number, of }),
            _ => Err("must be I/N with I from 1 to N, as in 2/4".to_owned()),
        }
    }
}

/// Finds readable files under `paths`. Hidden files and what a `.ragignore` excludes are left out of
/// folders; a file named by itself is always taken. Files of other types in a folder are passed over.
pub fn find(paths: &[PathBuf]) -> io::Result<Found> {
    let mut found = Found::default();
    let mut names: HashMap<String, PathBuf> = HashMap::new();
    for root in paths {
        let meta = std::fs::metadata(root)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", root.display())))?;
        if !meta.is_dir() {
            let name = root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            add(&mut found, &mut names, root.clone(), name);
            continue;
        }
        let walk = ignore::WalkBuilder::new(root)
            .standard_filters(false)
            .hidden(true)
            .add_custom_ignore_filename(".ragignore")
            .sort_by_file_path(Path::cmp)
            .build();
        for entry in walk {
            match entry {
                Ok(entry) if entry.file_type().is_some_and(|kind| !kind.is_dir()) => {
                    let path = entry.into_path();
                    if path.is_file() && Format::of(&path).is_some() {
                        let source = relative(root, &path);
                        add(&mut found, &mut names, path, source);
                    }
                }
                Ok(_) => {}
                Err(error) => found.problems.push((root.display().to_string(), error.to_string())),
            }
        }
    }
    Ok(found)
}

fn add(found: &mut Found, names: &mut HashMap<String, PathBuf>, path: PathBuf, source: String) {
    match names.get(&source) {
        None => {
            names.insert(source.clone(), path.clone());
            found.files.push(SourceFile { path, source });
        }
        // The same file given twice is read once.
        Some(first) if *first == path => {}
        Some(first) => found.problems.push((
            source,
            format!(
                "{} and {} have the same name in the index; ingest their common folder",
                first.display(),
                path.display()
            ),
        )),
    }
}

fn relative(root: &Path, path: &Path) -> String {
    let parts = path.strip_prefix(root).unwrap_or(path).components();
    parts.map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_part_a_corpus_without_overlap_or_gap() {
        let shards: Vec<Shard> = (1..=4).map(|i| format!("{i}/4").parse().unwrap()).collect();
        let mut sizes = [0; 4];
        for file in 0..400 {
            let source = format!("folder/{file}.md");
            let holders: Vec<usize> = (0..4).filter(|&i| shards[i].holds(&source)).collect();
            assert_eq!(holders.len(), 1, "{source}");
            sizes[holders[0]] += 1;
        }
        assert!(sizes.iter().all(|&size| size > 60), "{sizes:?}");
        assert!(Shard::default().holds("any"));
        for wrong in ["", "1", "0/2", "3/2", "1/0", "a/b", "-1/2", "1/2/3", "1/99999"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn folders_are_walked_in_order_and_names_are_relative() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["b.md", "a/c.txt", ".hidden.md", "skip/x.md", "image.png"] {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "text").unwrap();
        }
        std::fs::write(dir.path().join(".ragignore"), "skip/\n").unwrap();
        let found = find(&[dir.path().to_owned()]).unwrap();
        let names: Vec<_> = found.files.iter().map(|file| file.source.as_str()).collect();
        assert_eq!(names, ["a/c.txt", "b.md"]);
        let both = find(&[dir.path().join("a"), dir.path().join("a/c.txt")]).unwrap();
        assert_eq!((both.files.len(), both.problems.len()), (1, 0));
        std::fs::write(dir.path().join("c.txt"), "other").unwrap();
        let clash = find(&[dir.path().join("a"), dir.path().join("c.txt")]).unwrap();
        assert_eq!((clash.files.len(), clash.problems.len()), (1, 1));
        assert!(find(&[dir.path().join("absent")]).is_err());
    }
}
