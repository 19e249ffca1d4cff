//! A test collection on disk: documents, questions, judgments.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::metrics::Judgments;
use crate::ingest::Document;

/// A folder with `corpus.jsonl` or `corpus/`, `queries.jsonl` and `qrels.tsv`.
#[derive(Debug)]
pub struct Dataset {
    pub name: String,
    pub corpus: Corpus,
    pub queries: Vec<Query>,
    /// By query id.
    pub judgments: BTreeMap<String, Judgments>,
}

#[derive(Debug)]
pub enum Corpus {
    /// A file of `{_id, title, text}` lines, read as it is needed.
    Lines(PathBuf),
    /// A folder of files, ingested as users ingest theirs. A document's id is its relative path, with
    /// `#page=N` where `pages` is set.
    Folder { path: PathBuf, pages: bool },
}

#[derive(Debug, Clone, Deserialize)]
pub struct Query {
    #[serde(rename = "_id")]
    pub id: String,
    pub text: String,
}

/// The questions of a collection whose documents and judgments do not matter.
#[derive(Debug)]
pub struct Questions {
    pub name: String,
    pub queries: Vec<Query>,
}

/// What is wrong with a collection, with file and line.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: io::Error },
    #[error("{path}, line {line}: {reason}")]
    Line { path: PathBuf, line: usize, reason: String },
    #[error("{0} holds neither corpus.jsonl nor a folder corpus")]
    NoCorpus(PathBuf),
    #[error("{0} judges none of the queries")]
    NoJudgments(PathBuf),
}

impl Dataset {
    pub fn load(dir: &Path) -> Result<Self, DatasetError> {
        let Questions { name, queries } = Questions::load(dir)?;
        let qrels = dir.join("qrels.tsv");
        let mut judgments: BTreeMap<String, Judgments> = BTreeMap::new();
        let mut pages = false;
        lines(&qrels, |number, line| {
            let columns: Vec<&str> = line.split('\t').collect();
            let [query, document, score] = columns[..] else {
                return Err("wants three columns: query-id, corpus-id, score".to_owned());
            };
            match score.trim().parse::<u32>() {
                Ok(score) => {
                    pages |= document.contains("#page=");
                    judgments.entry(query.to_owned()).or_default().insert(document.to_owned(), score);
                    Ok(Some(()))
                }
                Err(_) if number == 1 => Ok(None),
                Err(_) => Err(format!("{score:?} is no score")),
            }
        })?;
        judgments.retain(|_, judged| judged.values().any(|&score| score > 0));
        if !queries.iter().any(|query| judgments.contains_key(&query.id)) {
            return Err(DatasetError::NoJudgments(qrels));
        }
        let (file, folder) = (dir.join("corpus.jsonl"), dir.join("corpus"));
        let corpus = if file.is_file() {
            Corpus::Lines(file)
        } else if folder.is_dir() {
            Corpus::Folder { path: folder, pages }
        } else {
            return Err(DatasetError::NoCorpus(dir.to_owned()));
        };
        Ok(Self { name, corpus, queries, judgments })
    }
}

impl Questions {
    /// A folder with `queries.jsonl`.
    pub fn load(dir: &Path) -> Result<Self, DatasetError> {
        let queries = lines(&dir.join("queries.jsonl"), |_, line| {
            serde_json::from_str::<Query>(line).map_err(|error| error.to_string()).map(Some)
        })?;
        let name = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
        let name = name.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self { name, queries })
    }
}

/// The documents of a `corpus.jsonl`.
pub fn documents(path: &Path) -> Result<Vec<Document>, DatasetError> {
    #[derive(Deserialize)]
    struct Line {
        #[serde(rename = "_id")]
        id: String,
        #[serde(default)]
        title: Option<String>,
        text: String,
    }
    lines(path, |_, line| {
        let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let title = line.title.filter(|title| !title.trim().is_empty());
        Ok(Some(Document { source: line.id, title, text: line.text }))
    })
}

fn lines<T>(
    path: &Path,
    mut parse: impl FnMut(usize, &str) -> Result<Option<T>, String>,
) -> Result<Vec<T>, DatasetError> {
    let io = |error| DatasetError::Io { path: path.to_owned(), error };
    let mut parsed = Vec::new();
    for (line, text) in (1..).zip(BufReader::new(File::open(path).map_err(io)?).lines()) {
        let text = text.map_err(io)?;
        if text.trim().is_empty() {
            continue;
        }
        match parse(line, text.trim_end_matches('\r')) {
            Ok(value) => parsed.extend(value),
            Err(reason) => return Err(DatasetError::Line { path: path.to_owned(), line, reason }),
        }
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset(qrels: &str) -> Result<Dataset, DatasetError> {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write(
            "queries.jsonl",
            "{\"_id\": \"1\", \"text\": \"why\"}\n\n{\"_id\": \"2\", \"text\": \"how\", \"extra\": 1}\n",
        );
        write("corpus.jsonl", "{\"_id\": \"a\", \"title\": \" \", \"text\": \"because\"}\n");
        write("qrels.tsv", qrels);
        let dataset = Dataset::load(dir.path())?;
        let Corpus::Lines(corpus) = &dataset.corpus else { panic!("a file") };
        assert_eq!(documents(corpus).unwrap()[0].title, None);
        Ok(dataset)
    }

    #[test]
    fn a_collection_is_read_with_and_without_a_header() {
        for qrels in ["query-id\tcorpus-id\tscore\n1\ta\t2\n", "1\ta\t2\n2\ta\t0\n"] {
            let dataset = dataset(qrels).unwrap();
            assert_eq!((dataset.queries.len(), dataset.judgments.len()), (2, 1));
        }
    }

    #[test]
    fn mistakes_name_file_and_line() {
        let error = dataset("1\ta\t2\n1\ta\n").unwrap_err().to_string();
        assert!(error.contains("qrels.tsv, line 2"), "{error}");
        assert!(matches!(dataset("9\ta\t1\n"), Err(DatasetError::NoJudgments(_))));
    }
}
