//! The kernels on the real weights: against the reference, against candle, and short formats against f32.

use std::sync::OnceLock;

use rag_api::{
    config::Precision,
    domain::Embedding,
    embedding::{LoadError, MiniLm, ModelOptions, PORTABLE, kernel_for, kernel_names},
};
use serde::Deserialize;

use crate::support::{model_dir, shared};

#[derive(Deserialize)]
struct Text {
    text: String,
    #[serde(default)]
    vector: Vec<f32>,
}

fn read(path: &str) -> Option<Vec<Text>> {
    let text = std::fs::read_to_string(shared(path)?).unwrap();
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn model(kernel: &str) -> MiniLm {
    let options = ModelOptions { kernel: Some(kernel.to_owned()), ..ModelOptions::default() };
    let model = MiniLm::load_with(&model_dir(), &options).expect("run `rag-api model fetch` first");
    assert_eq!(model.kernel_name(), kernel);
    model
}

fn portable() -> &'static MiniLm {
    static PORTABLE_MODEL: OnceLock<MiniLm> = OnceLock::new();
    PORTABLE_MODEL.get_or_init(|| model(PORTABLE))
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn smallest(a: &[Embedding], b: &[Embedding]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| cosine(a.as_slice(), b.as_slice())).fold(f64::INFINITY, f64::min)
}

/// What a kernel may lose.
fn bar(kernel: &str) -> f64 {
    if kernel.contains("bf16") { 0.9999 } else { 0.999_99 }
}

#[test]
fn every_kernel_gives_the_reference_vectors() {
    let Some(references) = read("eval/minilm-vectors/vectors.jsonl") else { return };
    let texts: Vec<String> = references.iter().map(|r| r.text.clone()).collect();
    for kernel in kernel_names() {
        let vectors = model(kernel).embed(&texts).unwrap();
        let cosines = vectors.iter().zip(&references).map(|(v, r)| cosine(v.as_slice(), &r.vector));
        let smallest = cosines.fold(f64::INFINITY, f64::min);
        println!("{kernel}: smallest cosine to the reference {smallest:.7} over {} vectors", texts.len());
        assert!(smallest >= bar(kernel), "{kernel}: smallest cosine {smallest}");
    }
}

#[test]
fn every_kernel_agrees_with_candle_at_the_edges_of_length() {
    // `[CLS]` and `[SEP]` alone, one word, odd and even lengths, and more than the model reads.
    let words = [0, 1, 2, 5, 6, 7, 13, 14, 15, 30, 61, 62, 63, 127, 200, 253, 254, 255, 400];
    let texts: Vec<String> =
        words.iter().map(|&n| ["one", "river", "seven"].repeat(n)[..n].join(" ")).collect();
    let wanted = portable().embed(&texts).unwrap();
    for kernel in kernel_names() {
        let smallest = smallest(&model(kernel).embed(&texts).unwrap(), &wanted);
        assert!(smallest >= bar(kernel), "{kernel}: smallest cosine {smallest}");
    }
}

#[test]
fn a_text_has_the_same_vector_alone_and_among_any_number_of_others() {
    let texts: Vec<String> = (0..64).map(|n| format!("text {n} ").repeat(1 + n * 7 % 40)).collect();
    for kernel in kernel_names().into_iter().filter(|&name| name != PORTABLE) {
        let model = model(kernel);
        let alone: Vec<_> = texts.iter().map(|text| model.embed_one(text).unwrap()).collect();
        for size in [1, 2, 3, 17, 64] {
            // Bit by bit: a vector may not depend on what else is computed.
            for (texts, alone) in texts.chunks(size).zip(alone.chunks(size)) {
                let together = model.embed(texts).unwrap();
                let same = together.iter().zip(alone).all(|(a, b)| a.as_slice() == b.as_slice());
                assert!(same, "{kernel}: batches of {size}");
            }
        }
    }
}

#[test]
fn short_formats_stay_close_to_f32_over_two_collections() {
    let (exact, short): (Vec<_>, Vec<_>) =
        kernel_names().into_iter().filter(|&name| name != PORTABLE).partition(|name| name.contains("f32"));
    let Some(exact) = exact.first() else {
        eprintln!("SKIPPED: this CPU has no kernel of its own");
        return;
    };
    let exact = model(exact);
    for collection in ["cranfield", "jsquad-ja"] {
        let Some(documents) = read(&format!("eval/{collection}/corpus.jsonl")) else { return };
        let texts: Vec<String> = documents.into_iter().take(300).map(|document| document.text).collect();
        let wanted = exact.embed(&texts).unwrap();
        for &kernel in &short {
            let smallest = smallest(&model(kernel).embed(&texts).unwrap(), &wanted);
            println!(
                "{collection}: smallest cosine of {kernel} to f32 {smallest:.7} over {} passages",
                texts.len()
            );
            assert!(smallest >= bar(kernel), "{collection}, {kernel}: smallest cosine {smallest}");
        }
    }
}

#[test]
fn precision_and_kernel_choose_what_runs() {
    let choose = |precision, kernel: Option<&str>| {
        kernel_for(&ModelOptions { precision, kernel: kernel.map(str::to_owned), threads: None })
    };
    let names = kernel_names();
    assert_eq!(choose(Precision::Auto, None).unwrap(), names[0]);
    let exact = choose(Precision::F32, None).unwrap();
    assert!(exact.contains("f32") || exact == PORTABLE);
    for (precision, format) in [(Precision::Bf16, "bf16"), (Precision::Int16, "int16")] {
        match choose(precision, None) {
            Ok(name) => assert!(name.contains(format)),
            Err(error) => {
                assert!(matches!(error, LoadError::NoPrecision { precision } if precision == format));
                assert!(names.iter().all(|name| !name.contains(format)));
            }
        }
    }
    for name in &names {
        assert_eq!(choose(Precision::Auto, Some(name)).unwrap(), *name);
    }
    let unknown = choose(Precision::Auto, Some("abacus")).unwrap_err().to_string();
    assert!(unknown.contains(PORTABLE), "it lists what there is: {unknown}");
}

#[test]
fn other_weights_are_refused_before_anything_is_computed() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(model_dir().join("tokenizer.json"), dir.path().join("tokenizer.json")).unwrap();
    let refused = || match MiniLm::load(dir.path()) {
        Err(error) => error,
        Ok(_) => panic!("other weights were loaded"),
    };
    assert!(matches!(refused(), LoadError::Missing { .. }));
    std::fs::write(dir.path().join("model.safetensors"), b"").unwrap();
    assert!(matches!(refused(), LoadError::WrongHash { .. } | LoadError::Unreadable { .. }));
    let mut bytes = std::fs::read(model_dir().join("model.safetensors")).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(dir.path().join("model.safetensors"), &bytes).unwrap();
    assert!(matches!(refused(), LoadError::WrongHash { .. }));
    std::fs::write(dir.path().join("model.safetensors"), &bytes[..1000]).unwrap();
    assert!(matches!(refused(), LoadError::WrongHash { .. }));
}
