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
    condition     = output.service.resource_group == "rag-dev-rg" && output.service.app.jobs == ["rag-dev-ingest-1"] && output.service.key_vault == "rag-dev-a1b2"
    error_message = "the environment dev"
  }
}

run "first_apply_without_the_server" {
  command = apply
  variables { app_enabled = false }
  assert {
    condition     = output.service.url == null && output.service.app.name == null && output.service.search_endpoint == "https://rag-test.search.windows.net"
    error_message = "search and jobs first"
  }
}

run "second_apply_with_it" {
  command = apply
  assert {
    condition     = startswith(output.service.url, "https://") && output.service.app.name == "rag-dev-api" && output.service.github_variables.AZURE_TENANT_ID == "00000000-0000-0000-0000-0000000000aa"
    error_message = "then the server"
  }
}
