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
  suffix            = "a1b2"
  location          = "japaneast"
  image             = "ghcr.io/acme/rag-api@sha256:1111111111111111111111111111111111111111111111111111111111111111"
  callers           = ["203.0.113.0/24"]
  github_repository = "acme/rag-api"
  alert_emails      = ["operators@example.com"]
  budget            = { amount = 100, start = "2026-12-01T00:00:00Z" }
}

run "plan" {
  command = plan
  assert {
    condition     = output.service.resource_group == "rag-prod-rg" && length(output.service.app.jobs) == 4
    error_message = "the environment prod"
  }
}

run "apply_with_everything" {
  command = apply
  variables {
    openai      = { model = { name = "gpt-4o-mini", version = "2024-07-18" } }
    datadog     = { site = "datadoghq.eu" }
    documents   = { server = "ragdocuments.file.core.windows.net", share = "/ragdocuments/handbook" }
    allowed_ips = ["203.0.113.7"]
    shards      = 8
  }
  assert {
    condition     = length(output.service.app.jobs) == 8 && output.service.openai_base_url == "https://rag-test.openai.azure.com/openai/v1" && output.service.datadog_variables.env == "prod"
    error_message = "options of prod"
  }
}
