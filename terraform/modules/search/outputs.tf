output "id" {
  description = "The service."
  value       = azurerm_search_service.this.id
}

output "endpoint" {
  description = "For AZURE_SEARCH_ENDPOINT."
  value       = azurerm_search_service.this.endpoint
}

output "name" {
  description = "Name of the service."
  value       = azurerm_search_service.this.name
}
