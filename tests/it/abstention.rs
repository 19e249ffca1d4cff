//! When the service says that it does not know, and in which language.

use std::{collections::BTreeMap, fs, path::Path};

use rag_api::{
    app,
    config::{Config, EnvReader, RetrievalConfig},
    evaluation::{Dataset, Questions, Runner},
    generation::Language,
    ingest::{Ingestion, extract::WorkerCommand},
};
use serde_json::Value;

use crate::support::embedder;

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Questions as short as people type them; what cannot be told may be taken for English, and for nothing else.
#[test]
fn the_language_of_short_questions_is_told() {
    let (mut told, mut wrong) = (BTreeMap::<String, (u32, u32)>::new(), Vec::new());
    for line in file("abstention/languages.tsv").lines().skip(1) {
        let (language, question) = line.split_once('\t').expect("two columns");
        let found = format!("{:?}", Language::of(question));
        let (right, all) = told.entry(language.to_owned()).or_default();
        *all += 1;
        *right += u32::from(found == language);
        if found != language {
            eprintln!("{question}: {found}");
            if found != "English" {
                wrong.push(format!("{question}: {found}"));
            }
        }
    }
    println!("{told:#?}");
    assert_eq!(told.len(), 10);
    assert_eq!(wrong, Vec::<String>::new());
    for (language, (right, all)) in told {
        assert!(all >= 20 && f64::from(right) / f64::from(all) >= 0.95, "{language}: {right} of {all}");
    }
}

/// The curve in the repository is the one that the code gives. All kinds of questions of the golden
/// collection are asked anew; other processors round a little differently, so one question may move.
#[tokio::test(flavor = "multi_thread")]
async fn the_golden_curve_is_the_one_in_the_repository() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = tempfile::tempdir().unwrap();
    let config = Config::read(EnvReader::from_pairs([])).unwrap();
    let worker = WorkerCommand::new(env!("CARGO_BIN_EXE_rag-api"));
    let runner = Runner::prepare(
        Dataset::load(&root.join("tests/golden")).unwrap(),
        dir.path(),
        &Ingestion::new(embedder(), &config.ingest, worker),
        embedder(),
        app::fingerprint(),
        None,
        |_, _| {},
    )
    .await
    .unwrap();
    let foreign = [Questions::load(&root.join("tests/abstention")).unwrap()];
    let measured = runner.abstention(&foreign, true).await.unwrap();
    let recorded: Value = serde_json::from_str(&file("abstention/curve.json")).unwrap();
    let recorded = &recorded["answered"];
    let golden = &recorded["golden"];
    assert_eq!(recorded["thresholds"].as_array().unwrap().len(), measured.curve.len());
    for (at, point) in measured.curve.iter().enumerate() {
        let same = |kind: &str, share: Option<f64>| {
            let all = golden["questions"][kind].as_f64().expect(kind);
            let (recorded, share) = (golden[kind][at].as_f64().expect(kind), share.expect(kind));
            let moved = (recorded - share).abs() * all;
            assert!(moved < 1.1, "{kind} at {}: {share} measured, {recorded} recorded", point.threshold);
        };
        same("own", point.own);
        same("foreign abstention", point.foreign);
        same("held_out", point.held_out);
    }
    let point = measured.curve.iter().find(|point| point.threshold == RetrievalConfig::DEFAULT_MIN_COSINE);
    let point = point.expect("the default is on the curve");
    println!("{point:?}");
    assert!(point.own.unwrap() >= 0.94, "own questions are refused");
    assert!(point.foreign.unwrap() <= 0.05, "foreign questions are answered");
    assert!(point.held_out.unwrap() <= 0.4, "held-out questions are answered");
}
