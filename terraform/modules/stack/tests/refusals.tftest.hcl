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

run "names_places_and_addresses" {
  command = plan
  variables {
    name            = "Rag"
    suffix          = "A1"
    location        = "Japan East"
    secret_officers = ["somebody@example.com"]
  }
  expect_failures = [var.name, var.suffix, var.location, var.secret_officers]
}

run "an_unknown_environment" {
  command = plan
  variables { env = "production" }
  expect_failures = [var.env]
}

run "a_repository_without_owner" {
  command = plan
  variables { github = { repository = "rag-api", environments = ["staging"] } }
  expect_failures = [var.github]
}

run "every_environment_of_the_repository" {
  command = plan
  variables { github = { repository = "acme/rag-api", environments = ["*"] } }
  expect_failures = [var.github]
}

run "nobody_deploys" {
  command = plan
  variables { github = { repository = "acme/rag-api", environments = [] } }
  expect_failures = [var.github]
}

run "prod_never_sleeps" {
  command = plan
  variables {
    env    = "prod"
    app    = { min_replicas = 0 }
    search = { replicas = 2 }
  }
  expect_failures = [var.app]
}

run "prod_has_two_replicas_of_search" {
  command = plan
  variables {
    env    = "prod"
    search = { replicas = 1 }
  }
  expect_failures = [var.search]
}

run "an_index_azure_refuses" {
  command = plan
  variables { search = { index = "Rag Docs" } }
  expect_failures = [var.search]
}

run "a_share_without_a_network" {
  command = plan
  variables { documents = { server = "ragdocuments.file.core.windows.net", share = "/ragdocuments/handbook" } }
  expect_failures = [var.documents]
}

run "a_share_of_another_account" {
  command = plan
  variables {
    network   = { address_space = "10.20.0.0/20" }
    documents = { server = "ragdocuments.file.core.windows.net", share = "/other/handbook" }
  }
  expect_failures = [var.documents]
}

run "addresses_without_a_network" {
  command = plan
  variables { allowed_ips = ["203.0.113.7"] }
  expect_failures = [var.allowed_ips]
}

run "a_key_beside_the_identity" {
  command = plan
  variables {
    openai  = { model = { name = "gpt-4o-mini", version = "2024-07-18" } }
    secrets = { OPENAI_API_KEY = "openai-api-key" }
  }
  expect_failures = [var.openai]
}

run "a_registry_of_two_kinds" {
  command = plan
  variables { registry = { server = "ghcr.io", acr_id = "x", username = "puller", password_secret = "token" } }
  expect_failures = [var.registry]
}

run "machines_that_do_not_exist" {
  command = plan
  variables { dedicated = { type = "D5", minimum = 0, maximum = 1 } }
  expect_failures = [var.dedicated]
}

run "a_site_that_is_not_datadogs" {
  command = plan
  variables { datadog = { site = "datadog.example.com" } }
  expect_failures = [var.datadog]
}

run "logs_for_a_week" {
  command = plan
  variables { logs = { retention_days = 7 } }
  expect_failures = [var.logs]
}
