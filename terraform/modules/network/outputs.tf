# The subnets' ids wait for their rules, so that nothing is ever reachable without them.
output "network_id" {
  description = "The virtual network, for private DNS zones."
  value       = azurerm_virtual_network.this.id
}

output "apps_subnet_id" {
  description = "Subnet of the Container Apps environment."
  value       = azurerm_subnet.apps.id
  depends_on  = [azurerm_subnet_network_security_group_association.this]
}

output "endpoints_subnet_id" {
  description = "Subnet of private endpoints."
  value       = azurerm_subnet.endpoints.id
  depends_on  = [azurerm_subnet_network_security_group_association.this]
}
