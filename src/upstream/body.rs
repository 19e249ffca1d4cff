//! Bodies of replies, of which a stranger's server decides the length.

use reqwest::Response;

/// The whole body, or `None` when it is longer than `limit` bytes.
pub async fn bounded(response: &mut Response, limit: usize) -> reqwest::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > limit {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}
