//! What several subjects need: the real model and the test material beside the project.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use rag_api::embedding::{Embedder, MiniLm};

/// Where `rag-api model fetch` put the weights; `scripts/test.sh` does that first.
pub fn model_dir() -> PathBuf {
    std::env::var_os("MODEL_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("model"), PathBuf::from)
}

/// The real model, loaded once a test process.
pub fn embedder() -> Embedder {
    static EMBEDDER: OnceLock<Embedder> = OnceLock::new();
    EMBEDDER
        .get_or_init(|| {
            let model = MiniLm::load(&model_dir()).expect("run `rag-api model fetch` first");
            Embedder::start(model, 64).expect("the worker starts")
        })
        .clone()
}

/// Test material that lives beside the project, not in it; `None` (said loudly) where it is absent.
pub fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("RAG_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let path = root.join(path);
    if !path.exists() {
        eprintln!("SKIPPED: {} is absent", path.display());
        return None;
    }
    Some(path)
}
