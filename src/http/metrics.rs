//! `GET /metrics`: the Prometheus text format.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderName, header},
};

use super::{AppState, problem::Problem};
use crate::telemetry::Metrics;

pub async fn metrics(
    State(state): State<Arc<AppState>>,
) -> Result<([(HeaderName, String); 1], String), Problem> {
    let (queue_depth, chunks) = state.rag.gauges();
    state.metrics.set_gauges(queue_depth, chunks);
    let text = state.metrics.render().map_err(|error| Problem::internal(Some(error.to_string())))?;
    Ok(([(header::CONTENT_TYPE, Metrics::content_type())], text))
}
