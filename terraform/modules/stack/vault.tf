# Holds what cannot be an identity: keys of servers that are not Azure's. Values are put in by people, never by Terraform.
resource "azurerm_key_vault" "this" {
  # checkov:skip=CKV_AZURE_189:Public only without a network, or for allowed_ips; prod is private, which our policy demands.
  # checkov:skip=CKV2_AZURE_32:The endpoint is made by module.private_endpoint in main.tf, which checkov does not follow.
  name                          = "${local.base}-${var.suffix}"
  resource_group_name           = azurerm_resource_group.this.name
  location                      = azurerm_resource_group.this.location
  tenant_id                     = data.azurerm_client_config.current.tenant_id
  sku_name                      = "standard"
  rbac_authorization_enabled    = true
  purge_protection_enabled      = true
  soft_delete_retention_days    = var.env == "prod" ? 90 : 7
  public_network_access_enabled = local.public || length(var.allowed_ips) > 0
  tags                          = local.tags

  # Whoever writes secrets comes from allowed_ips; without a network, replicas come from addresses nobody knows beforehand.
  # Every reader still needs a role; prod has a network, which our policy demands.
  # trivy:ignore:AZU-0013
  network_acls {
    bypass         = "AzureServices"
    default_action = local.public ? "Allow" : "Deny"
    ip_rules       = var.allowed_ips
  }
}

locals {
  # Nobody reads a vault that has nothing for him.
  vault_readers = toset(concat(
    length(var.secrets) > 0 || var.datadog != null || try(var.registry.password_secret, null) != null ? ["app"] : [],
    try(var.registry.password_secret, null) != null ? ["job"] : [],
  ))
}

resource "azurerm_role_assignment" "vault_reader" {
  for_each = local.vault_readers

  scope                = azurerm_key_vault.this.id
  role_definition_name = "Key Vault Secrets User"
  principal_id         = azurerm_user_assigned_identity.this[each.key].principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_role_assignment" "vault_officer" {
  for_each = toset(var.secret_officers)

  scope                = azurerm_key_vault.this.id
  role_definition_name = "Key Vault Secrets Officer"
  principal_id         = each.value
}
