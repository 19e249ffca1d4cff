//! The routes, and what surrounds each of them.

mod body;
mod events;
mod health;
mod index;
mod metrics;
mod middleware;
mod openai;
mod problem;
mod query;
mod ready;
mod reply;
mod request;
mod search;
mod serve;
mod streamed;
mod warmup;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{
        HeaderValue,
        header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS},
    },
    middleware::from_fn_with_state,
    routing::{get, post},
};
use tower_http::set_header::SetResponseHeaderLayer;

use crate::{
    config::{ServerConfig, ServiceInfo},
    rag::Rag,
    telemetry::Metrics,
};

pub use problem::{Code, Problem};
pub use reply::{QueryReply, SearchReply};
pub use serve::{Ended, serve, shutdown_signal};

/// What the handlers work with.
pub struct AppState {
    pub rag: Rag,
    pub metrics: Metrics,
    pub service: ServiceInfo,
    pub server: ServerConfig,
    /// As `GET /` names it.
    pub embedding_model: String,
}

/// The whole service as one value, ready for [`serve`].
pub fn router(state: AppState) -> Router {
    let gate = middleware::Gate::new(&state.server, state.metrics.clone());
    for (route, method) in
        [("/query", "POST"), ("/search", "POST"), ("/v1/chat/completions", "POST"), ("/health", "GET")]
    {
        state.metrics.expect_route(route, method);
    }
    let state = Arc::new(state);
    let (light_openai, heavy_openai) = openai::routes();
    let light = Router::new()
        .route("/", get(index::index))
        .route("/health", get(health::health))
        .route("/ready", get(ready::ready))
        .route("/health/ready", get(ready::ready))
        .route("/metrics", get(metrics::metrics))
        .merge(light_openai)
        .with_state(state.clone());
    let heavy = Router::new()
        .route("/query", post(query::query).get(query::listen))
        .route("/search", post(search::search))
        .route("/warmup", get(warmup::warmup))
        .merge(heavy_openai)
        .with_state(state);
    assemble(light, heavy, gate)
}

/// `heavy` routes read bodies and load the model; they alone are counted and shed, so that
/// liveness, readiness and metrics answer however busy the rest is.
fn assemble(light: Router, heavy: Router, gate: Arc<middleware::Gate>) -> Router {
    let heavy = heavy
        .route_layer(from_fn_with_state(gate.clone(), middleware::admit))
        // `admit` has a limit of its own, the configured one.
        .layer(DefaultBodyLimit::disable());
    light
        .merge(heavy)
        .fallback(|| async { Problem::not_found() })
        .layer(from_fn_with_state(gate, middleware::observe))
        // Outside of `observe`, so that problems and replies to timeouts carry them too.
        .layer(SetResponseHeaderLayer::overriding(
            X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
        .layer(SetResponseHeaderLayer::if_not_present(CACHE_CONTROL, HeaderValue::from_static("no-store")))
}
