//! Tokens of Microsoft Entra: one identity, asked early and by one caller at a time.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use azure_core::credentials::{AccessToken, TokenCredential};
use azure_identity::{
    DeveloperToolsCredential, ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
    WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;

use crate::config::{EntraConfig, Identity};

/// A token is renewed this long before it ends, or at its half-life where that is later.
const RENEW_BEFORE: Duration = Duration::from_secs(300);
/// A token this close to its end may be refused by the time it arrives.
const SPARE: time::Duration = time::Duration::seconds(15);
const FETCH_TIMEOUT: Duration = Duration::from_secs(20);
/// Callers that waited for a fetch that failed do not each try again.
const FAILURE_PAUSE: Duration = Duration::from_secs(2);

/// Why there is no token. The texts of the identity services are not in it: they name tenants and hosts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no Microsoft Entra token: {advice} ({reason})")]
pub struct EntraError {
    advice: &'static str,
    reason: String,
}

/// The tokens of one identity for one audience. Shared by all requests to a service.
pub struct Tokens {
    credential: Arc<dyn TokenCredential>,
    scope: String,
    advice: &'static str,
    current: RwLock<Option<Token>>,
    /// Held by the one who fetches; the last failure and when it was.
    fetching: tokio::sync::Mutex<Option<(Instant, EntraError)>>,
}

#[derive(Clone)]
struct Token {
    secret: SecretString,
    renew_at: OffsetDateTime,
    ends_at: OffsetDateTime,
}

impl Tokens {
    pub fn new(config: &EntraConfig) -> Result<Self, EntraError> {
        let advice = match config.identity {
            Identity::Workload => "check the pod's workload identity, AZURE_CLIENT_ID and AZURE_TENANT_ID",
            Identity::Managed => "check the managed identity and AZURE_CLIENT_ID",
            Identity::DeveloperTools => "sign in with `az login` or `azd auth login`, or set a key",
        };
        let credential = credential(config).map_err(|error| EntraError { advice, reason: reason(&error) })?;
        Ok(Self::of(credential, format!("{}/.default", config.audience), advice))
    }

    fn of(credential: Arc<dyn TokenCredential>, scope: String, advice: &'static str) -> Self {
        Self {
            credential,
            scope,
            advice,
            current: RwLock::default(),
            fetching: tokio::sync::Mutex::default(),
        }
    }

    /// A token that is valid now. While one is being renewed, others go on with the old one; when that
    /// fails, everybody does until it ends.
    pub async fn get(&self) -> Result<SecretString, EntraError> {
        let now = OffsetDateTime::now_utc();
        let usable = self.current().filter(|token| now + SPARE < token.ends_at);
        let Some(token) = usable else { return self.wait_for_one().await };
        if now < token.renew_at {
            return Ok(token.secret);
        }
        let Ok(mut failure) = self.fetching.try_lock() else { return Ok(token.secret) };
        if recent(&failure).is_some() {
            return Ok(token.secret);
        }
        match self.fetch().await {
            Ok(secret) => Ok(secret),
            Err(error) => {
                tracing::warn!(error = %error, "a token could not be renewed; the old one is used until it ends");
                *failure = Some((Instant::now(), error));
                Ok(token.secret)
            }
        }
    }

    async fn wait_for_one(&self) -> Result<SecretString, EntraError> {
        let mut failure = self.fetching.lock().await;
        // Whoever held the lock may have brought one.
        let now = OffsetDateTime::now_utc();
        if let Some(token) = self.current().filter(|token| now + SPARE < token.ends_at) {
            return Ok(token.secret);
        }
        if let Some(error) = recent(&failure) {
            return Err(error);
        }
        let fetched = self.fetch().await;
        *failure = fetched.as_ref().err().map(|error| (Instant::now(), error.clone()));
        fetched
    }

    async fn fetch(&self) -> Result<SecretString, EntraError> {
        let scopes = [self.scope.as_str()];
        let fetched = tokio::time::timeout(FETCH_TIMEOUT, self.credential.get_token(&scopes, None)).await;
        let failed = |reason| EntraError { advice: self.advice, reason };
        let AccessToken { token, expires_on } = fetched
            .map_err(|_| failed("no answer in time".into()))?
            .map_err(|error| failed(reason(&error)))?;
        let now = OffsetDateTime::now_utc();
        let life = Duration::try_from(expires_on - now).unwrap_or_default();
        let secret = SecretString::from(token.secret().to_owned());
        if secret.expose_secret().is_empty() || life.is_zero() {
            return Err(failed("what came back is empty or has ended".into()));
        }
        let renew_at = expires_on - RENEW_BEFORE.min(life / 2);
        let token = Token { secret: secret.clone(), renew_at, ends_at: expires_on };
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(token);
        Ok(secret)
    }

    fn current(&self) -> Option<Token> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn recent(failure: &Option<(Instant, EntraError)>) -> Option<EntraError> {
    failure.as_ref().filter(|(at, _)| at.elapsed() < FAILURE_PAUSE).map(|(_, error)| error.clone())
}

fn credential(config: &EntraConfig) -> azure_core::Result<Arc<dyn TokenCredential>> {
    let client_id = config.client_id.clone();
    Ok(match config.identity {
        Identity::Workload => WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
            client_id,
            ..WorkloadIdentityCredentialOptions::default()
        }))?,
        Identity::Managed => ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
            user_assigned_id: client_id.map(UserAssignedId::ClientId),
            ..ManagedIdentityCredentialOptions::default()
        }))?,
        Identity::DeveloperTools => DeveloperToolsCredential::new(None)?,
    })
}

fn reason(error: &azure_core::Error) -> String {
    match error.http_status() {
        Some(status) => format!("status {}", u16::from(status)),
        None => "the identity is not available".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    };

    use azure_core::{credentials::TokenRequestOptions, error::ErrorKind};

    use super::*;

    /// Gives one outcome after another: seconds of life, or a failure whose text holds a secret.
    #[derive(Debug)]
    struct Scripted {
        outcomes: Mutex<Vec<Option<i64>>>,
        calls: AtomicUsize,
        delay: Duration,
    }

    #[async_trait::async_trait]
    impl TokenCredential for Scripted {
        async fn get_token(
            &self,
            scopes: &[&str],
            _: Option<TokenRequestOptions<'_>>,
        ) -> azure_core::Result<AccessToken> {
            assert_eq!(scopes, ["https://search.azure.com/.default"]);
            let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
            tokio::time::sleep(self.delay).await;
            match self.outcomes.lock().unwrap().remove(0) {
                Some(life) => {
                    let ends = OffsetDateTime::now_utc() + Duration::from_secs(life.unsigned_abs());
                    Ok(AccessToken::new(format!("token-{call}"), ends))
                }
                None => {
                    Err(azure_core::Error::with_message(ErrorKind::Credential, "body with SECRET".to_owned()))
                }
            }
        }
    }

    fn tokens(outcomes: &[Option<i64>], delay_ms: u64) -> (Arc<Tokens>, Arc<Scripted>) {
        let scripted = Arc::new(Scripted {
            outcomes: Mutex::new(outcomes.to_vec()),
            calls: AtomicUsize::new(0),
            delay: Duration::from_millis(delay_ms),
        });
        let scope = "https://search.azure.com/.default".to_owned();
        (Arc::new(Tokens::of(scripted.clone(), scope, "advice")), scripted)
    }

    async fn text(tokens: &Tokens) -> String {
        tokens.get().await.unwrap().expose_secret().to_owned()
    }

    #[tokio::test]
    async fn a_token_is_fetched_once_for_all_who_wait() {
        let (tokens, scripted) = tokens(&[Some(3_600)], 50);
        let waiting: Vec<_> = (0..20)
            .map(|_| {
                let tokens = tokens.clone();
                tokio::spawn(async move { text(&tokens).await })
            })
            .collect();
        for task in waiting {
            assert_eq!(task.await.unwrap(), "token-1");
        }
        assert_eq!(scripted.calls.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_token_near_its_end_is_renewed_and_a_failure_keeps_the_old_one() {
        let (tokens, scripted) = tokens(&[Some(3_600), None, Some(3_600)], 0);
        assert_eq!(text(&tokens).await, "token-1");
        let due = OffsetDateTime::now_utc() - Duration::from_secs(1);
        tokens.current.write().unwrap().as_mut().unwrap().renew_at = due;
        assert_eq!(text(&tokens).await, "token-1", "the failing renewal");
        assert_eq!(text(&tokens).await, "token-1", "no hammering after it");
        assert_eq!(scripted.calls.load(Ordering::SeqCst), 2);
        *tokens.fetching.lock().await = None;
        assert_eq!(text(&tokens).await, "token-3");
    }

    #[tokio::test]
    async fn an_hour_is_renewed_five_minutes_early_and_a_minute_at_its_half() {
        for (life, early) in [(3_600, 300), (60, 30)] {
            let (tokens, _) = tokens(&[Some(life)], 0);
            text(&tokens).await;
            let token = tokens.current().unwrap();
            assert!(((token.ends_at - token.renew_at).whole_seconds() - early).abs() <= 1, "{life}");
        }
    }

    #[tokio::test]
    async fn a_failure_is_told_without_its_text_and_to_all_who_waited() {
        let (tokens, scripted) = tokens(&[None], 20);
        let (one, other) = tokio::join!(tokens.get(), tokens.get());
        let error = one.unwrap_err();
        assert_eq!(error, other.unwrap_err());
        assert!(!error.to_string().contains("SECRET"), "{error}");
        assert_eq!(scripted.calls.load(Ordering::SeqCst), 1);
    }
}
