# The first /23 is for replicas, the /27 behind it for private endpoints; the rest stays free.
locals {
  prefix    = tonumber(split("/", var.address_space)[1])
  apps      = cidrsubnet(var.address_space, 23 - local.prefix, 0)
  endpoints = cidrsubnet(var.address_space, 27 - local.prefix, 16)
}

resource "azurerm_virtual_network" "this" {
  name                = "${var.name}-vnet"
  resource_group_name = var.resource_group_name
  location            = var.location
  address_space       = [var.address_space]
  tags                = var.tags
}

resource "azurerm_subnet" "apps" {
  name                            = "apps"
  resource_group_name             = var.resource_group_name
  virtual_network_name            = azurerm_virtual_network.this.name
  address_prefixes                = [local.apps]
  default_outbound_access_enabled = true # The language model and GitHub's registry are on the internet.

  # An environment with workload profiles wants the subnet for itself.
  delegation {
    name = "container-apps"
    service_delegation {
      name    = "Microsoft.App/environments"
      actions = ["Microsoft.Network/virtualNetworks/subnets/join/action"]
    }
  }

  # For the NFS share that holds the documents.
  service_endpoint {
    service = "Microsoft.Storage"
  }
}

resource "azurerm_subnet" "endpoints" {
  name                              = "endpoints"
  resource_group_name               = var.resource_group_name
  virtual_network_name              = azurerm_virtual_network.this.name
  address_prefixes                  = [local.endpoints]
  default_outbound_access_enabled   = false
  private_endpoint_network_policies = "Enabled" # Or the rules below would not apply to endpoints.
}

resource "azurerm_network_security_group" "this" {
  for_each = toset(["apps", "endpoints"])

  name                = "${var.name}-${each.key}"
  resource_group_name = var.resource_group_name
  location            = var.location
  tags                = var.tags
}

# Who may call is decided at the ingress, which answers the others with 403; here only the ports are, as the platform asks
# for them. What no rule allows, Azure's own last rule denies to the internet, and "nobody-else" to the network as well.
locals {
  rules = {
    https         = { group = "apps", priority = 100, access = "Allow", protocol = "Tcp", from = "Internet", to = local.apps, ports = ["443", "31443"] }
    load-balancer = { group = "apps", priority = 110, access = "Allow", protocol = "Tcp", from = "AzureLoadBalancer", to = local.apps, ports = ["30000-32767"] }
    from-replicas = { group = "endpoints", priority = 100, access = "Allow", protocol = "Tcp", from = local.apps, to = local.endpoints, ports = ["443"] }
    nobody-else   = { group = "endpoints", priority = 4096, access = "Deny", protocol = "*", from = "*", to = "*", ports = ["0-65535"] }
  }
}

resource "azurerm_network_security_rule" "this" {
  for_each = local.rules

  name                        = each.key
  resource_group_name         = var.resource_group_name
  network_security_group_name = azurerm_network_security_group.this[each.value.group].name
  priority                    = each.value.priority
  direction                   = "Inbound"
  access                      = each.value.access
  protocol                    = each.value.protocol
  source_address_prefix       = each.value.from
  source_port_range           = "*"
  destination_address_prefix  = each.value.to
  destination_port_ranges     = each.value.ports
}

resource "azurerm_subnet_network_security_group_association" "this" {
  for_each = { apps = azurerm_subnet.apps.id, endpoints = azurerm_subnet.endpoints.id }

  subnet_id                 = each.value
  network_security_group_id = azurerm_network_security_group.this[each.key].id

  # Rules first: a subnet is never without them.
  depends_on = [azurerm_network_security_rule.this]
}
