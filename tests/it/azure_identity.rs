//! Managed identity as Container Apps offers it: by an endpoint that the environment names.

use std::{process::Command, time::Duration};

use rag_api::{
    config::{AzureAuth, Config, EntraConfig, EnvReader, Identity},
    domain::{Filter, SearchMode},
    generation::{Form, OpenAi},
    retrieval::azure::AzureIndex,
};
use serde_json::json;
use time::OffsetDateTime;

use crate::{
    azure_server::{Azure, ask, config, fingerprint, metrics, source},
    openai_server::{Reply, Server, messages, soon, success},
};

/// Set for the child process alone: where the search service is.
const CHILD: &str = "RAG_TEST_ENTRA_CHILD";

/// The variables belong to the process, so a process of its own asks.
#[tokio::test]
async fn a_managed_identity_is_asked_once_and_its_token_goes_to_the_service() {
    let server = Azure::start().await;
    let mut writer = server.writer().await.unwrap();
    writer.replace(source("a.md", 1, "d")).await.unwrap();
    writer.finish().await.unwrap();
    server.forget();
    let ends = (OffsetDateTime::now_utc() + Duration::from_secs(3_600)).unix_timestamp().to_string();
    let token = json!({"access_token": "a-managed-token", "expires_on": ends, "token_type": "Bearer",
                       "resource": "https://search.azure.com"});
    let identity = Server::start([Reply::json(200, token)]).await;
    let (url, endpoint) = (server.url.clone(), format!("{}/token", identity.url));
    let child = move || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "azure_identity::the_child_that_asks", "--nocapture"])
            .env(CHILD, url)
            .env("IDENTITY_ENDPOINT", endpoint)
            .env("IDENTITY_HEADER", "a-header-secret")
            .output()
    };
    let output = tokio::task::spawn_blocking(child).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(server.count() >= 3, "the child did not search");
    for seen in &server.inside.lock().unwrap().seen {
        assert_eq!(seen.headers["authorization"], "Bearer a-managed-token");
        assert!(seen.headers.get("api-key").is_none());
    }
    let asked = identity.seen.lock().unwrap();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].headers["x-identity-header"], "a-header-secret");
    let query = asked[0].path.split_once('?').unwrap().1;
    for pair in ["resource=https%3A%2F%2Fsearch.azure.com", "client_id=an-identity", "api-version=2019-08-01"]
    {
        assert!(query.contains(pair), "{query}");
    }
}

/// Does nothing by itself.
#[tokio::test]
async fn the_child_that_asks() {
    let Ok(url) = std::env::var(CHILD) else { return };
    let mut config = config(&url);
    // What the configuration refuses over plain HTTP, and a test has no certificate for.
    config.auth = AzureAuth::Entra(EntraConfig {
        identity: Identity::Managed,
        client_id: Some("an-identity".into()),
        audience: "https://search.azure.com".into(),
    });
    let index = AzureIndex::connect(&config, fingerprint(), metrics()).unwrap();
    let filter = Filter::default();
    for _ in 0..3 {
        index.search(&ask("leave", None, SearchMode::Keyword, &filter)).await.unwrap();
    }
}

/// Set for the child process alone: where the LLM is.
const LLM_CHILD: &str = "RAG_TEST_ENTRA_LLM_CHILD";

#[tokio::test]
async fn without_a_key_azure_openai_gets_a_token_of_the_identity() {
    let ends = (OffsetDateTime::now_utc() + Duration::from_secs(3_600)).unix_timestamp().to_string();
    let token = json!({"access_token": "a-managed-token", "expires_on": ends, "token_type": "Bearer",
                       "resource": "https://cognitiveservices.azure.com"});
    let identity = Server::start([Reply::json(200, token)]).await;
    let llm = Server::start([success("Yes.")]).await;
    let (url, endpoint) = (llm.url.clone(), format!("{}/token", identity.url));
    let child = move || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "azure_identity::the_child_that_asks_the_llm", "--nocapture"])
            .env(LLM_CHILD, url)
            .env("IDENTITY_ENDPOINT", endpoint)
            .env("IDENTITY_HEADER", "a-header-secret")
            .output()
    };
    let output = tokio::task::spawn_blocking(child).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen = llm.seen.lock().unwrap();
    assert_eq!(seen.len(), 3, "the child did not ask");
    assert!(seen.iter().all(|seen| seen.headers["authorization"] == "Bearer a-managed-token"));
    let asked = identity.seen.lock().unwrap();
    assert_eq!(asked.len(), 1, "one token serves all requests");
    assert!(
        asked[0].path.contains("resource=https%3A%2F%2Fcognitiveservices.azure.com"),
        "{}",
        asked[0].path
    );
}

/// Does nothing by itself.
#[tokio::test]
async fn the_child_that_asks_the_llm() {
    let Ok(url) = std::env::var(LLM_CHILD) else { return };
    let env = EnvReader::from_pairs([
        ("OPENAI_BASE_URL", url.as_str()),
        ("OPENAI_MODEL", "a-deployment"),
        ("OPENAI_AUTH", "entra"),
        ("IDENTITY_ENDPOINT", "set"),
    ]);
    let config = Config::read(env).unwrap();
    let client = OpenAi::new(&config.llm.unwrap(), metrics()).unwrap();
    for _ in 0..3 {
        client.complete(&messages(), Form::Text, soon()).await.unwrap();
    }
}
