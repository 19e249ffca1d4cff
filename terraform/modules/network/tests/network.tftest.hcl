mock_provider "azurerm" {}

variables {
  name                = "rag-test"
  resource_group_name = "rag-test-rg"
  location            = "japaneast"
  address_space       = "10.20.0.0/20"
}

run "subnets_lie_apart" {
  command = apply

  assert {
    condition     = azurerm_subnet.apps.address_prefixes == tolist(["10.20.0.0/23"]) && azurerm_subnet.endpoints.address_prefixes == tolist(["10.20.2.0/27"])
    error_message = "replicas have the first /23, endpoints the /27 behind it"
  }
  assert {
    condition     = azurerm_subnet.apps.delegation[0].service_delegation[0].name == "Microsoft.App/environments"
    error_message = "an environment with workload profiles needs the delegation"
  }
  assert {
    condition     = azurerm_subnet.endpoints.private_endpoint_network_policies == "Enabled"
    error_message = "without network policies the rules do not apply to endpoints"
  }
}

run "only_replicas_reach_endpoints" {
  command = apply

  assert {
    condition     = { for name, rule in azurerm_network_security_rule.this : name => rule.source_address_prefix if rule.access == "Allow" } == { https = "Internet", load-balancer = "AzureLoadBalancer", from-replicas = "10.20.0.0/23" }
    error_message = "who is let in"
  }
  assert {
    condition     = toset(azurerm_network_security_rule.this["https"].destination_port_ranges) == toset(["443", "31443"])
    error_message = "from the internet only HTTPS comes in"
  }
  assert {
    condition     = azurerm_network_security_rule.this["nobody-else"].access == "Deny" && azurerm_network_security_rule.this["nobody-else"].priority == 4096 && azurerm_network_security_rule.this["nobody-else"].protocol == "*"
    error_message = "the last rule denies the rest"
  }
  assert {
    condition     = alltrue([for key, association in azurerm_subnet_network_security_group_association.this : association.network_security_group_id == azurerm_network_security_group.this[key].id])
    error_message = "each subnet has its own group"
  }
}

run "smallest_space" {
  command = plan
  variables { address_space = "192.168.4.0/22" }
  assert {
    condition     = azurerm_subnet.endpoints.address_prefixes == tolist(["192.168.6.0/27"])
    error_message = "a /22 holds both"
  }
}

run "too_small_a_space" {
  command = plan
  variables { address_space = "10.0.0.0/24" }
  expect_failures = [var.address_space]
}

run "no_space_at_all" {
  command = plan
  variables { address_space = "10.0.0.0" }
  expect_failures = [var.address_space]
}
