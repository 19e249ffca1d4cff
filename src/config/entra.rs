//! Which identity asks Microsoft Entra for tokens, and for whom.

use super::EnvReader;

/// The choice is made here, once, so that a failure names one way that did not work and not six that
/// were tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// A Kubernetes service account: the platform has set `AZURE_FEDERATED_TOKEN_FILE`.
    Workload,
    /// Container Apps, App Service, virtual machines: `IDENTITY_ENDPOINT` or `AZURE_CLIENT_ID` is set.
    Managed,
    /// Whoever is signed in to `az` or `azd` on this machine.
    DeveloperTools,
}

#[derive(Debug, Clone)]
pub struct EntraConfig {
    pub identity: Identity,
    /// Of a user-assigned identity; `None`: the one the system assigned.
    pub client_id: Option<String>,
    /// Without a trailing slash; `/.default` makes it the scope of the tokens.
    pub audience: String,
}

impl EntraConfig {
    /// The process has one identity; the audience is the service the tokens are for.
    pub(super) fn read(env: &mut EnvReader, audience: &str) -> Self {
        let federated = env.text("AZURE_FEDERATED_TOKEN_FILE").is_some();
        let endpoint = env.text("IDENTITY_ENDPOINT").is_some();
        let client_id = env.text("AZURE_CLIENT_ID");
        let identity = match (federated, endpoint || client_id.is_some()) {
            (true, _) => Identity::Workload,
            (false, true) => Identity::Managed,
            (false, false) => Identity::DeveloperTools,
        };
        Self { identity, client_id, audience: audience.trim_end_matches('/').to_owned() }
    }
}
