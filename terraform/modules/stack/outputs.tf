output "resource_group" {
  description = "Everything is in it."
  value       = azurerm_resource_group.this.name
}

output "url" {
  description = "Address of the service; null until app.enabled."
  value       = try(module.workload.app.url, null)
}

output "app" {
  description = "What deployments name: the app (null until app.enabled), its container, the jobs that take the same image."
  value = {
    name      = try(module.workload.app.name, null)
    container = module.workload.container
    jobs      = keys(module.workload.jobs)
  }
}

output "search_endpoint" {
  description = "AZURE_SEARCH_ENDPOINT."
  value       = module.search.endpoint
}

output "key_vault" {
  description = "Where secrets are written: az keyvault secret set --vault-name …"
  value       = azurerm_key_vault.this.name
}

output "openai_base_url" {
  description = "OPENAI_BASE_URL; null without Azure OpenAI."
  value       = one(module.openai[*].base_url)
}

output "github_variables" {
  description = "Variables of the GitHub environment, which scripts/deploy_canary.sh asks for too; none is secret."
  value = {
    AZURE_CLIENT_ID       = azurerm_user_assigned_identity.this["deploy"].client_id
    AZURE_TENANT_ID       = data.azurerm_client_config.current.tenant_id
    AZURE_SUBSCRIPTION_ID = data.azurerm_client_config.current.subscription_id
    AZURE_RESOURCE_GROUP  = azurerm_resource_group.this.name
    CONTAINER_APP_NAME    = try(module.workload.app.name, null)
  }
}

output "datadog_variables" {
  description = "For terraform/datadog."
  value       = { service = "rag-api", env = var.env }
}
