//! Indexes and aliases as a whole: make, look at, empty, remove, switch.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    call::Call,
    flush::Target,
    marker::{Marked, Marker, incompatible},
    schema::Definition,
    search,
    transport::{Access, Reply, Transport},
};
use crate::{
    config::AzureConfig,
    retrieval::{Fingerprint, RetrievalError},
    telemetry::Metrics,
};

/// What the service holds under the configured name.
#[derive(Debug, Clone, Default)]
pub struct IndexStatus {
    /// The name as configured.
    pub name: String,
    /// The index behind it, where the name is an alias.
    pub alias_of: Option<String>,
    pub exists: bool,
    /// All documents: chunks, the marker, sources without text. Counted by the service now and then.
    pub documents: u64,
    /// Chunks that can be found.
    pub chunks: u64,
    pub storage_bytes: u64,
    pub vector_bytes: u64,
    /// What its chunks were made with.
    pub fingerprint: Option<Fingerprint>,
    pub version: Option<u64>,
    /// Why it cannot be searched.
    pub problem: Option<RetrievalError>,
}

/// Needs the rights of an administrator.
#[derive(Clone)]
pub struct AzureAdmin {
    transport: Transport,
    config: AzureConfig,
    fingerprint: Fingerprint,
}

impl AzureAdmin {
    pub fn connect(
        config: &AzureConfig,
        fingerprint: Fingerprint,
        metrics: Metrics,
    ) -> Result<Self, RetrievalError> {
        let transport = Transport::new(config, Access::Write, metrics)?;
        Ok(Self { transport, config: config.clone(), fingerprint })
    }

    /// Makes the configured index; `false` when it was there. One that was there gets the fields it lacks.
    pub async fn create(&self) -> Result<bool, RetrievalError> {
        let index = self.resolve().await?;
        self.create_named(&index).await
    }

    /// Makes an index of this name, as [`Self::create`] does.
    pub async fn create_named(&self, index: &str) -> Result<bool, RetrievalError> {
        let Self { transport, config, fingerprint } = self;
        let call = Call::get_index(index).expecting(&[404]);
        match transport.send(call, transport.deadline(), value).await? {
            Reply::Status(_) => make(transport, index, config, fingerprint).await.map(|_| true),
            Reply::Done(existing) => {
                let etag = existing["@odata.etag"].as_str().map(str::to_owned);
                if let Some(completed) = Definition::new(index, config).completed(existing)? {
                    let body = serde_json::to_vec(&completed).unwrap_or_default();
                    let mut call = Call::put_index(index, body);
                    if let Some(etag) = etag {
                        call = call.header("if-match", etag);
                    }
                    transport.send(call, transport.deadline(), anything).await?;
                }
                match Marked::read(transport, index).await? {
                    Marked::Not => adopt(transport, index, fingerprint).await?,
                    marked => marked.fitting(fingerprint, index)?,
                };
                Ok(false)
            }
        }
    }

    /// What is there, also when it does not fit.
    pub async fn status(&self) -> Result<IndexStatus, RetrievalError> {
        let transport = &self.transport;
        let alias_of = self.alias(&self.config.index).await?;
        let index = alias_of.clone().unwrap_or_else(|| self.config.index.clone());
        let mut status = IndexStatus { name: self.config.index.clone(), alias_of, ..IndexStatus::default() };
        let call = Call::statistics(&index).expecting(&[404]);
        let Reply::Done(statistics) = transport.send(call, transport.deadline(), statistics).await? else {
            status.problem = Some(RetrievalError::Missing);
            return Ok(status);
        };
        status.exists = true;
        status.documents = statistics.document_count;
        status.storage_bytes = statistics.storage_size;
        status.vector_bytes = statistics.vector_index_size;
        let marked = Marked::read(transport, &index).await;
        if let Ok(Marked::By(marker)) = &marked {
            status.fingerprint = Some(marker.fingerprint.clone());
            status.version = Some(marker.version);
        }
        let chunks = search::count_chunks(transport, &index).await;
        status.chunks = *chunks.as_ref().unwrap_or(&0);
        let fits = marked.and_then(|marked| marked.fitting(&self.fingerprint, &index));
        status.problem = fits.err().or(chunks.err());
        Ok(status)
    }

    /// Takes every document out but the marker; the index stays.
    pub async fn clear(&self) -> Result<(), RetrievalError> {
        let Self { transport, config, fingerprint } = self;
        let index = &config.index;
        // Nothing is taken out of an index that is somebody else's.
        let marker = Marked::read(transport, index).await?.fitting(fingerprint, index)?;
        Target { transport, index, made_with: fingerprint }.clear().await?;
        marker.next().write(transport, index).await
    }

    /// Removes the index; where the name is an alias, first that and then its index. `false` when there
    /// was none.
    pub async fn delete(&self) -> Result<bool, RetrievalError> {
        let name = &self.config.index;
        match self.alias(name).await? {
            Some(index) => {
                self.send(Call::delete_alias(name)).await?;
                self.delete_named(&index).await
            }
            None => self.delete_named(name).await,
        }
    }

    /// `false` when there was none of this name.
    pub async fn delete_named(&self, index: &str) -> Result<bool, RetrievalError> {
        self.send(Call::delete_index(index)).await
    }

    /// The index an alias points to; `None` when there is no such alias.
    pub async fn alias(&self, name: &str) -> Result<Option<String>, RetrievalError> {
        let call = Call::get_alias(name).expecting(&[404]);
        let reply = self.transport.send(call, self.transport.deadline(), alias).await?;
        Ok(reply.done().flatten())
    }

    /// Points an alias to an index, and makes the alias where there is none. Searches go over at once.
    pub async fn switch_alias(&self, name: &str, index: &str) -> Result<(), RetrievalError> {
        let body = json!({"name": name, "indexes": [index]}).to_string().into_bytes();
        self.transport.send(Call::put_alias(name, body), self.transport.deadline(), anything).await?;
        Ok(())
    }

    async fn resolve(&self) -> Result<String, RetrievalError> {
        Ok(self.alias(&self.config.index).await?.unwrap_or_else(|| self.config.index.clone()))
    }

    async fn send(&self, call: Call) -> Result<bool, RetrievalError> {
        let reply = self.transport.send(call.expecting(&[404]), self.transport.deadline(), anything).await?;
        Ok(reply.done().is_some())
    }
}

/// Makes an index that is not there, with its marker.
pub(super) async fn make(
    transport: &Transport,
    index: &str,
    config: &AzureConfig,
    fingerprint: &Fingerprint,
) -> Result<Marker, RetrievalError> {
    let call = Call::put_index(index, Definition::new(index, config).json()?);
    transport.send(call, transport.deadline(), anything).await?;
    let marker = Marker::new(fingerprint);
    marker.write(transport, index).await?;
    Ok(marker)
}

/// Marks an index that somebody else defined, or whose making was cut short, as long as it is empty.
pub(super) async fn adopt(
    transport: &Transport,
    index: &str,
    fingerprint: &Fingerprint,
) -> Result<Marker, RetrievalError> {
    let count = transport.send(Call::count(index), transport.deadline(), number).await?.done();
    if count != Some(0) {
        return Err(incompatible(index, "has documents but no fingerprint"));
    }
    let marker = Marker::new(fingerprint);
    marker.write(transport, index).await?;
    Ok(marker)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statistics {
    #[serde(default)]
    document_count: u64,
    #[serde(default)]
    storage_size: u64,
    #[serde(default)]
    vector_index_size: u64,
}

fn statistics(body: &[u8]) -> Option<Statistics> {
    serde_json::from_slice(body).ok()
}

fn value(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(body).ok().filter(Value::is_object)
}

fn alias(body: &[u8]) -> Option<Option<String>> {
    let value = value(body)?;
    Some(value.get("indexes")?.get(0).and_then(Value::as_str).map(str::to_owned))
}

/// Digits, perhaps behind a byte order mark.
fn number(body: &[u8]) -> Option<u64> {
    std::str::from_utf8(body).ok()?.trim_start_matches('\u{feff}').trim().parse().ok()
}

fn anything(_: &[u8]) -> Option<()> {
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_read_with_and_without_a_byte_order_mark() {
        assert_eq!(
            (number(b"12"), number("\u{feff}12".as_bytes()), number(b"<html>")),
            (Some(12), Some(12), None)
        );
    }
}
