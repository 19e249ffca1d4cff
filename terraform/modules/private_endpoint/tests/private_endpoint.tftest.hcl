mock_provider "azurerm" {}

variables {
  name                = "rag-test-search"
  resource_group_name = "rag-test-rg"
  location            = "japaneast"
  network_id          = "network"
  subnet_id           = "subnet"
  target_id           = "target"
  subresource         = "searchService"
  zone                = "privatelink.search.windows.net"
}

run "name_and_endpoint_belong_together" {
  command = apply

  assert {
    condition     = azurerm_private_endpoint.this.private_dns_zone_group[0].private_dns_zone_ids == tolist([azurerm_private_dns_zone.this.id])
    error_message = "the endpoint writes its address into another zone"
  }
  assert {
    condition     = azurerm_private_dns_zone_virtual_network_link.this.virtual_network_id == "network" && !azurerm_private_dns_zone_virtual_network_link.this.registration_enabled
    error_message = "the network must ask this zone, and register nothing in it"
  }
  assert {
    condition     = azurerm_private_endpoint.this.private_service_connection[0].private_connection_resource_id == "target" && azurerm_private_endpoint.this.private_service_connection[0].subresource_names == tolist(["searchService"]) && !azurerm_private_endpoint.this.private_service_connection[0].is_manual_connection
    error_message = "the connection's target"
  }
}

run "unknown_part_and_public_zone" {
  command = plan
  variables {
    subresource = "search"
    zone        = "search.windows.net"
  }
  expect_failures = [var.subresource, var.zone]
}
