mock_provider "azurerm" {
  mock_resource "azurerm_cognitive_account" {
    defaults = { endpoint = "https://rag-test.openai.azure.com/" }
  }
}

variables {
  name                = "rag-test"
  resource_group_name = "rag-test-rg"
  location            = "japaneast"
  model               = { name = "gpt-4o-mini", version = "2024-07-18" }
  users               = { app = "app-principal" }
}

run "tokens_only" {
  command = apply

  assert {
    condition     = azurerm_cognitive_account.this.local_auth_enabled == false && azurerm_cognitive_account.this.custom_subdomain_name == "rag-test"
    error_message = "Entra tokens alone, which need an address of one's own"
  }
  assert {
    condition     = azurerm_cognitive_account.this.public_network_access_enabled == false && azurerm_cognitive_account.this.network_acls[0].default_action == "Deny"
    error_message = "closed by default"
  }
  assert {
    condition     = [for role in azurerm_role_assignment.user : "${role.principal_id} ${role.role_definition_name}"] == ["app-principal Cognitive Services OpenAI User"]
    error_message = "the server asks the model, no more"
  }
  assert {
    condition     = output.base_url == "https://rag-test.openai.azure.com/openai/v1" && output.model == "gpt-4o-mini"
    error_message = "what the service is told"
  }
  assert {
    condition     = azurerm_cognitive_deployment.chat.version_upgrade_option == "NoAutoUpgrade" && azurerm_cognitive_deployment.chat.model[0].version == "2024-07-18"
    error_message = "the model changes when we change it"
  }
}

run "wrong_models" {
  command = plan
  variables { model = { name = "gpt-4o-mini", version = "", sku = "Batch", capacity = 0 } }
  expect_failures = [var.model]
}

run "a_name_azure_refuses" {
  command = plan
  variables { name = "Rag_Test" }
  expect_failures = [var.name]
}
