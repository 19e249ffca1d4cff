output "id" {
  description = "The account."
  value       = azurerm_cognitive_account.this.id
}

output "base_url" {
  description = "For OPENAI_BASE_URL: the address that speaks OpenAI's own dialect."
  value       = "${trimsuffix(azurerm_cognitive_account.this.endpoint, "/")}/openai/v1"
}

output "model" {
  description = "For OPENAI_MODEL: Azure takes the deployment's name there."
  value       = azurerm_cognitive_deployment.chat.name
}
