mock_provider "azurerm" {
  mock_data "azurerm_client_config" {
    defaults = { tenant_id = "00000000-0000-0000-0000-0000000000aa", subscription_id = "00000000-0000-0000-0000-0000000000bb" }
  }
  mock_resource "azurerm_search_service" {
    defaults = { endpoint = "https://rag-test.search.windows.net" }
  }
  mock_resource "azurerm_key_vault" {
    defaults = { vault_uri = "https://rag-test.vault.azure.net/" }
  }
  mock_resource "azurerm_cognitive_account" {
    defaults = { endpoint = "https://rag-test.openai.azure.com/" }
  }
}

variables {
  env          = "dev"
  suffix       = "a1b2"
  location     = "japaneast"
  image        = "ghcr.io/acme/rag-api@sha256:1111111111111111111111111111111111111111111111111111111111111111"
  callers      = { allow = ["203.0.113.0/24"] }
  github       = { repository = "acme/rag-api", environments = ["staging"] }
  alert_emails = ["operators@example.com"]
  budget       = { amount = 100, start = "2026-12-01T00:00:00Z" }
}

run "names_and_tags" {
  command = apply

  assert {
    condition     = azurerm_resource_group.this.name == "rag-dev-rg" && azurerm_key_vault.this.name == "rag-dev-a1b2" && output.app.name == "rag-dev-api" && output.app.jobs == ["rag-dev-ingest-1", "rag-dev-ingest-2"] && output.app.container == "rag-api"
    error_message = "names"
  }
  assert {
    condition     = azurerm_resource_group.this.tags == tomap({ env = "dev", managed-by = "terraform", service = "rag-api" })
    error_message = "tags"
  }
  assert {
    condition     = output.search_endpoint == "https://rag-test.search.windows.net" && output.openai_base_url == null && output.datadog_variables.env == "dev" && output.github_variables.CONTAINER_APP_NAME == "rag-dev-api" && output.github_variables.AZURE_RESOURCE_GROUP == "rag-dev-rg"
    error_message = "outputs"
  }
}

run "only_this_repositorys_environment_gets_a_token" {
  command = apply

  assert {
    condition     = [for credential in azurerm_federated_identity_credential.github : credential.subject] == ["repo:acme/rag-api:environment:staging"]
    error_message = "the subject names repository and environment"
  }
  assert {
    condition     = azurerm_federated_identity_credential.github["staging"].issuer == "https://token.actions.githubusercontent.com" && azurerm_federated_identity_credential.github["staging"].audience == tolist(["api://AzureADTokenExchange"])
    error_message = "issuer and audience"
  }
  assert {
    condition     = azurerm_federated_identity_credential.github["staging"].user_assigned_identity_id == azurerm_user_assigned_identity.this["deploy"].id
    error_message = "for the pipeline's identity alone"
  }
}

run "the_pipeline_deploys_and_no_more" {
  command = apply

  assert {
    condition     = { for key, role in azurerm_role_assignment.deploy : key => role.role_definition_name } == { app = "Container Apps Contributor", environment = "Container Apps Contributor", identity-app = "Managed Identity Operator", identity-job = "Managed Identity Operator", rag-dev-ingest-1 = "Container Apps Jobs Contributor", rag-dev-ingest-2 = "Container Apps Jobs Contributor" }
    error_message = "roles of the pipeline"
  }
  assert {
    condition     = alltrue([for role in azurerm_role_assignment.deploy : role.principal_id == azurerm_user_assigned_identity.this["deploy"].principal_id && role.scope != azurerm_resource_group.this.id])
    error_message = "for its identity, and never for the whole group"
  }
  assert {
    condition     = azurerm_role_assignment.deploy["identity-app"].scope == azurerm_user_assigned_identity.this["app"].id
    error_message = "it may attach the identities that app and jobs run as"
  }
}

run "the_vault_by_roles" {
  command = apply

  assert {
    condition     = azurerm_key_vault.this.rbac_authorization_enabled && azurerm_key_vault.this.purge_protection_enabled && azurerm_key_vault.this.soft_delete_retention_days == 7
    error_message = "roles instead of access policies, and nothing is purged"
  }
  assert {
    condition     = length(azurerm_role_assignment.vault_reader) == 0 && length(azurerm_role_assignment.vault_officer) == 0
    error_message = "nobody reads a vault without secrets"
  }
}

run "secrets_have_readers_and_writers" {
  command = apply
  variables {
    secrets         = { OPENAI_API_KEY = "openai-api-key" }
    secret_officers = ["00000000-0000-0000-0000-0000000000cc"]
  }
  assert {
    condition     = keys(azurerm_role_assignment.vault_reader) == ["app"] && azurerm_role_assignment.vault_reader["app"].role_definition_name == "Key Vault Secrets User" && azurerm_role_assignment.vault_reader["app"].principal_id == azurerm_user_assigned_identity.this["app"].principal_id
    error_message = "the server alone reads"
  }
  assert {
    condition     = azurerm_role_assignment.vault_officer["00000000-0000-0000-0000-0000000000cc"].role_definition_name == "Key Vault Secrets Officer"
    error_message = "people write"
  }
}

run "keys_open_nothing" {
  command = apply
  assert {
    condition     = azurerm_log_analytics_workspace.this.local_authentication_enabled == false && azurerm_container_app_environment.this.logs_destination == "azure-monitor" && azurerm_container_app_environment.this.log_analytics_workspace_id == null
    error_message = "logs travel without the workspace's shared key"
  }
}

run "without_a_network" {
  command = plan
  assert {
    condition     = length(module.network) == 0 && length(module.private_endpoint) == 0 && azurerm_container_app_environment.this.infrastructure_subnet_id == null && azurerm_container_app_environment.this.zone_redundancy_enabled == null
    error_message = "nothing of a network"
  }
  assert {
    condition     = azurerm_key_vault.this.network_acls[0].default_action == "Allow" && azurerm_key_vault.this.public_network_access_enabled
    error_message = "replicas come from addresses nobody knows"
  }
}

run "with_a_network" {
  command = apply
  variables {
    network     = { address_space = "10.20.0.0/20" }
    documents   = { server = "ragdocuments.file.core.windows.net", share = "/ragdocuments/handbook" }
    openai      = { model = { name = "gpt-4o-mini", version = "2024-07-18" } }
    allowed_ips = ["203.0.113.7"]
  }
  assert {
    condition     = azurerm_container_app_environment.this.zone_redundancy_enabled && azurerm_container_app_environment.this.infrastructure_subnet_id == module.network[0].apps_subnet_id && azurerm_container_app_environment.this.internal_load_balancer_enabled == false
    error_message = "spread over zones, in its subnet, reachable for callers"
  }
  assert {
    condition     = toset(keys(module.private_endpoint)) == toset(["openai", "search", "vault"])
    error_message = "each service has an endpoint"
  }
  assert {
    condition     = azurerm_key_vault.this.network_acls[0].default_action == "Deny" && azurerm_key_vault.this.network_acls[0].ip_rules == toset(["203.0.113.7"])
    error_message = "the vault is private but for named addresses"
  }
  assert {
    condition     = azurerm_container_app_environment_storage.documents[0].access_mode == "ReadOnly" && azurerm_container_app_environment_storage.documents[0].nfs_server_url == "ragdocuments.file.core.windows.net" && azurerm_container_app_environment_storage.documents[0].access_key == null
    error_message = "documents are read, without a key"
  }
  assert {
    condition     = output.openai_base_url == "https://rag-test.openai.azure.com/openai/v1"
    error_message = "Azure OpenAI's address"
  }
}

run "machines_of_ones_own" {
  command = plan
  variables {
    dedicated = { type = "D4", minimum = 1, maximum = 3 }
    app       = { cpu = 2, memory = 8 }
  }
  assert {
    condition     = toset([for profile in azurerm_container_app_environment.this.workload_profile : profile.workload_profile_type]) == toset(["Consumption", "D4"])
    error_message = "both profiles"
  }
}

run "an_azure_registry" {
  command = apply
  variables {
    registry = { server = "ghcr.io", acr_id = "/subscriptions/x/resourceGroups/y/providers/Microsoft.ContainerRegistry/registries/z" }
  }
  assert {
    condition     = keys(azurerm_role_assignment.registry_pull) == ["app", "job"] && azurerm_role_assignment.registry_pull["job"].role_definition_name == "AcrPull"
    error_message = "both pull"
  }
}

run "the_server_comes_after_the_index" {
  command = plan
  variables { app = { enabled = false } }
  assert {
    condition     = output.url == null && output.app.name == null && !contains(keys(azurerm_role_assignment.deploy), "app")
    error_message = "no server, nothing to deploy to"
  }
}
