resource "azurerm_cognitive_account" "this" {
  # checkov:skip=CKV_AZURE_247:Outbound access is restricted, and the list of exceptions that checkov wants is empty on purpose.
  # checkov:skip=CKV2_AZURE_22:Nothing is kept in the account (no files, no fine-tuning), so a key of one's own would guard nothing.
  name                  = var.name
  resource_group_name   = var.resource_group_name
  location              = var.location
  kind                  = "OpenAI"
  sku_name              = "S0"
  custom_subdomain_name = var.name # Entra tokens are taken at an address of one's own only.
  tags                  = var.tags

  # As with search: the keys that the provider reads into the state open nothing.
  local_auth_enabled            = false
  public_network_access_enabled = var.public || length(var.allowed_ips) > 0

  # The account answers and calls nobody: an image address in a prompt, for one, is not fetched.
  outbound_network_access_restricted = true

  identity {
    type = "SystemAssigned"
  }

  network_acls {
    default_action = var.public ? "Allow" : "Deny"
    ip_rules       = var.allowed_ips
  }
}

resource "azurerm_cognitive_deployment" "chat" {
  name                   = var.model.name
  cognitive_account_id   = azurerm_cognitive_account.this.id
  version_upgrade_option = "NoAutoUpgrade" # Another model is another product: answers are measured before it changes.

  model {
    format  = "OpenAI"
    name    = var.model.name
    version = var.model.version
  }

  sku {
    name     = var.model.sku
    capacity = var.model.capacity
  }
}

resource "azurerm_role_assignment" "user" {
  for_each = var.users

  scope                = azurerm_cognitive_account.this.id
  role_definition_name = "Cognitive Services OpenAI User"
  principal_id         = each.value
  principal_type       = "ServicePrincipal"
}
