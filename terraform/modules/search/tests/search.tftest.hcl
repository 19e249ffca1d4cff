mock_provider "azurerm" {}

variables {
  name                = "rag-test-search-a1b2"
  resource_group_name = "rag-test-rg"
  location            = "japaneast"
  sku                 = "standard"
  replicas            = 3
  partitions          = 12
  readers             = { app = "app-principal" }
  writers             = { job = "job-principal" }
}

run "closed_by_default" {
  command = apply

  assert {
    condition     = azurerm_search_service.this.local_authentication_enabled == false
    error_message = "keys must open nothing"
  }
  assert {
    condition     = azurerm_search_service.this.public_network_access_enabled == false
    error_message = "private, as nobody asked for another way in"
  }
  assert {
    condition     = azurerm_search_service.this.identity[0].type == "SystemAssigned"
    error_message = "an identity"
  }
  assert {
    condition     = azurerm_search_service.this.replica_count == 3 && azurerm_search_service.this.partition_count == 12 && azurerm_search_service.this.semantic_search_sku == null
    error_message = "size as asked"
  }
}

run "least_roles" {
  command = apply

  assert {
    condition     = [for role in azurerm_role_assignment.reader : "${role.principal_id} ${role.role_definition_name}"] == ["app-principal Search Index Data Reader"]
    error_message = "the server reads, no more"
  }
  assert {
    condition     = toset([for role in azurerm_role_assignment.writer : "${role.principal_id} ${role.role_definition_name}"]) == toset(["job-principal Search Index Data Contributor", "job-principal Search Service Contributor"])
    error_message = "ingestion makes the index and writes it"
  }
  assert {
    condition     = alltrue([for role in concat(values(azurerm_role_assignment.reader), values(azurerm_role_assignment.writer)) : role.scope == azurerm_search_service.this.id])
    error_message = "roles end at this service"
  }
}

run "named_addresses_open_the_door_for_themselves" {
  command = plan
  variables { allowed_ips = ["203.0.113.7", "198.51.100.0/24"] }
  assert {
    condition     = azurerm_search_service.this.public_network_access_enabled && azurerm_search_service.this.allowed_ips == toset(["203.0.113.7", "198.51.100.0/24"])
    error_message = "public for these addresses"
  }
}

run "wrong_sizes" {
  command = plan
  variables {
    replicas = 13
    semantic = "premium"
  }
  expect_failures = [var.replicas, var.semantic]
}

run "wrong_tier" {
  command = plan
  variables { sku = "free" }
  expect_failures = [var.sku]
}

run "five_partitions" {
  command = plan
  variables { partitions = 5 }
  expect_failures = [var.partitions]
}

run "basic_has_three_replicas_at_most" {
  command = plan
  variables {
    sku        = "basic"
    replicas   = 4
    partitions = 1
  }
  expect_failures = [var.replicas]
}

run "basic_has_three_partitions_at_most" {
  command = plan
  variables {
    sku        = "basic"
    partitions = 4
  }
  expect_failures = [var.partitions]
}

run "more_than_36_units" {
  command = plan
  variables {
    replicas   = 4
    partitions = 12
  }
  expect_failures = [var.partitions]
}

run "half_a_replica" {
  command = plan
  variables { replicas = 1.5 }
  expect_failures = [var.replicas]
}

run "the_whole_internet_is_no_address" {
  command = plan
  variables { allowed_ips = ["0.0.0.0/0"] }
  expect_failures = [var.allowed_ips]
}

run "a_name_azure_refuses" {
  command = plan
  variables { name = "rag--search" }
  expect_failures = [var.name]
}
