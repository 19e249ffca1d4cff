//! The Azure AI Search REST API on tables of the local index, for tests and work without an account.
//!
//! Microsoft's own client and ours work against it. Requests are checked and refused as strictly as the
//! service does, where its answers were recorded with the same words; ranks are joined by the service's
//! own arithmetic.
//!
//! What is **not** the service's:
//! - Values of text scores. The service adds up statistics of each shard and of each field in a way that
//!   is not published; here there is one shard, and searchable fields with one analyzer are scored as
//!   one text. Compare orders, not values.
//! - Vector search is exact, by cosine: no graph that misses neighbours, no loss by compression. The
//!   definitions of both are accepted and given back.
//! - Writes are visible at once, unless the fault `visibility-delay-ms` delays them, and statistics are
//!   exact at any time.
//!
//! Refused with the code `NotEmulated`: semantic ranking (its configuration is accepted and given back),
//! `queryType=full`, scoring profiles, suggesters, autocomplete, synonym maps, custom analyzers and
//! normalizers, vectorizers and vector queries by text or image, other metrics than cosine, other vector
//! types than `Collection(Edm.Single)`, complex and geographical fields, `search.ismatchscoring`, facets by
//! interval, encryption keys, indexers and what belongs to them, knowledge bases, preview parameters.
//! With keys set, bearer tokens are refused too.

mod api;
mod definition;
mod documents;
mod faults;
mod instant;
mod json;
mod members;
mod names;
mod odata;
mod query;
mod refusal;
mod simple_query;
mod store;

use axum::Router;

use crate::config::EmulatorConfig;

pub use faults::{Fault, FaultError};
pub use store::EmulatorError;

/// The emulated service over the indexes in its folder, which it locks. Blocking.
pub fn router(config: &EmulatorConfig, faults: Vec<Fault>) -> Result<Router, EmulatorError> {
    let delay = faults.iter().filter_map(Fault::visibility_delay).max().unwrap_or_default();
    let store = store::Store::open(&config.dir.join("emulator"), delay)?;
    if config.admin_key.is_none() {
        tracing::warn!("AZURE_SEARCH_API_KEY is not set: every request is let in, with any key");
    }
    Ok(api::Service::new(store, config, faults).router())
}
