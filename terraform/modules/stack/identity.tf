# Three identities and no password: the server reads the index, ingestion writes it, the pipeline deploys.
resource "azurerm_user_assigned_identity" "this" {
  for_each = toset(["app", "job", "deploy"])

  name                = "${local.base}-${each.key}"
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  tags                = local.tags
}

# GitHub signs for runs of these environments alone, and an environment may demand an approval first. A branch or a pull
# request gets no token here.
resource "azurerm_federated_identity_credential" "github" {
  for_each = toset(var.github.environments)

  name                      = "github-${each.key}"
  user_assigned_identity_id = azurerm_user_assigned_identity.this["deploy"].id
  audience                  = ["api://AzureADTokenExchange"]
  issuer                    = "https://token.actions.githubusercontent.com"
  subject                   = "repo:${var.github.repository}:environment:${each.key}"
}

# What the pipeline may: change the app and the jobs, place revisions into the environment, attach the identities they run
# as. Neither data nor roles nor anything else of the group.
locals {
  deploy_roles = merge(
    var.app.enabled ? { app = { scope = module.workload.app.id, role = "Container Apps Contributor" } } : {},
    { for name, id in module.workload.jobs : name => { scope = id, role = "Container Apps Jobs Contributor" } },
    { environment = { scope = azurerm_container_app_environment.this.id, role = "Container Apps Contributor" } },
    { for key in ["app", "job"] : "identity-${key}" => { scope = azurerm_user_assigned_identity.this[key].id, role = "Managed Identity Operator" } },
  )
}

resource "azurerm_role_assignment" "deploy" {
  for_each = local.deploy_roles

  scope                = each.value.scope
  role_definition_name = each.value.role
  principal_id         = azurerm_user_assigned_identity.this["deploy"].principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_role_assignment" "registry_pull" {
  for_each = toset(try(var.registry.acr_id, null) == null ? [] : ["app", "job"])

  scope                = var.registry.acr_id
  role_definition_name = "AcrPull"
  principal_id         = azurerm_user_assigned_identity.this[each.key].principal_id
  principal_type       = "ServicePrincipal"
}
