resource "azurerm_search_service" "this" {
  # checkov:skip=CKV_AZURE_208:The number of replicas is a variable; prod has three, which modules/stack and our policy demand.
  # checkov:skip=CKV_AZURE_209:As above; dev has one, as nobody is promised anything there.
  name                = var.name
  resource_group_name = var.resource_group_name
  location            = var.location
  sku                 = var.sku
  replica_count       = var.replicas
  partition_count     = var.partitions
  semantic_search_sku = var.semantic
  tags                = var.tags

  # Microsoft Entra alone. The service still has keys, and the provider reads them into the state, but they open nothing.
  local_authentication_enabled = false

  # Private unless addresses are named; then those alone.
  public_network_access_enabled = var.public || length(var.allowed_ips) > 0
  allowed_ips                   = var.allowed_ips
  network_rule_bypass_option    = "None"

  identity {
    type = "SystemAssigned"
  }
}

resource "azurerm_role_assignment" "reader" {
  for_each = var.readers

  scope                = azurerm_search_service.this.id
  role_definition_name = "Search Index Data Reader"
  principal_id         = each.value
  principal_type       = "ServicePrincipal"
}

# Documents are written with one role, indexes are made with another.
resource "azurerm_role_assignment" "writer" {
  for_each = {
    for pair in setproduct(keys(var.writers), ["Search Index Data Contributor", "Search Service Contributor"]) :
    "${pair[0]}: ${pair[1]}" => { principal = var.writers[pair[0]], role = pair[1] }
  }

  scope                = azurerm_search_service.this.id
  role_definition_name = each.value.role
  principal_id         = each.value.principal
  principal_type       = "ServicePrincipal"
}
