# The service and everything it stands on, for one environment. Read: here, identity.tf, vault.tf, then the modules.
data "azurerm_client_config" "current" {}

locals {
  base = "${var.name}-${var.env}"
  tags = merge({ service = "rag-api", env = var.env, managed-by = "terraform" }, var.tags)

  # With a network, services are private: reachable through endpoints inside it, and from allowed_ips.
  network = one(module.network[*])
  public  = local.network == null
}

resource "azurerm_resource_group" "this" {
  name     = "${local.base}-rg"
  location = var.location
  tags     = local.tags
}

resource "azurerm_log_analytics_workspace" "this" {
  name                         = "${local.base}-logs"
  resource_group_name          = azurerm_resource_group.this.name
  location                     = azurerm_resource_group.this.location
  sku                          = "PerGB2018"
  retention_in_days            = var.logs.retention_days
  daily_quota_gb               = var.logs.daily_quota_gb
  local_authentication_enabled = false # The shared key that the provider reads into the state opens nothing.
  tags                         = local.tags
}

module "network" {
  source = "../network"
  count  = var.network == null ? 0 : 1

  name                = local.base
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  address_space       = var.network.address_space
  tags                = local.tags
}

resource "azurerm_container_app_environment" "this" {
  name                           = "${local.base}-env"
  resource_group_name            = azurerm_resource_group.this.name
  location                       = azurerm_resource_group.this.location
  infrastructure_subnet_id       = one(module.network[*].apps_subnet_id)
  internal_load_balancer_enabled = var.network == null ? null : !var.callers.external
  zone_redundancy_enabled        = var.network == null ? null : var.network.zone_redundant
  tags                           = local.tags

  # By diagnostic settings, which need no shared key; the direct way would.
  logs_destination = "azure-monitor"

  # Always there: an environment made without profiles cannot get one later.
  workload_profile {
    name                  = "Consumption"
    workload_profile_type = "Consumption"
  }

  dynamic "workload_profile" {
    for_each = var.dedicated == null ? [] : [var.dedicated]
    content {
      name                  = "dedicated"
      workload_profile_type = workload_profile.value.type
      minimum_count         = workload_profile.value.minimum
      maximum_count         = workload_profile.value.maximum
    }
  }
}

# NFS knows no password, so the state holds none: who may mount the share is the network's question.
resource "azurerm_container_app_environment_storage" "documents" {
  count = var.documents == null ? 0 : 1

  name                         = "documents"
  container_app_environment_id = azurerm_container_app_environment.this.id
  nfs_server_url               = var.documents.server
  share_name                   = var.documents.share
  access_mode                  = "ReadOnly"
}

module "search" {
  source = "../search"

  name                = "${local.base}-search-${var.suffix}"
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  sku                 = var.search.sku
  replicas            = var.search.replicas
  partitions          = var.search.partitions
  semantic            = var.search.semantic
  public              = local.public
  allowed_ips         = var.allowed_ips
  readers             = { app = azurerm_user_assigned_identity.this["app"].principal_id }
  writers             = { job = azurerm_user_assigned_identity.this["job"].principal_id }
  tags                = local.tags
}

module "openai" {
  source = "../openai"
  count  = var.openai == null ? 0 : 1

  name                = "${local.base}-openai-${var.suffix}"
  resource_group_name = azurerm_resource_group.this.name
  location            = coalesce(var.openai.location, azurerm_resource_group.this.location)
  model               = var.openai.model
  public              = local.public
  allowed_ips         = var.allowed_ips
  users               = { app = azurerm_user_assigned_identity.this["app"].principal_id }
  tags                = local.tags
}

module "private_endpoint" {
  source   = "../private_endpoint"
  for_each = { for key, endpoint in local.endpoints : key => endpoint if var.network != null }

  name                = "${local.base}-${each.key}"
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  network_id          = local.network.network_id
  subnet_id           = local.network.endpoints_subnet_id
  target_id           = each.value.id
  subresource         = each.value.subresource
  zone                = each.value.zone
  tags                = local.tags
}

locals {
  endpoints = merge(
    {
      search = { id = module.search.id, subresource = "searchService", zone = "privatelink.search.windows.net" }
      vault  = { id = azurerm_key_vault.this.id, subresource = "vault", zone = "privatelink.vaultcore.azure.net" }
    },
    var.openai == null ? {} : { openai = { id = module.openai[0].id, subresource = "account", zone = "privatelink.openai.azure.com" } },
  )
}

module "workload" {
  source = "../workload"

  name                = local.base
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  environment_id      = azurerm_container_app_environment.this.id
  env_name            = var.env
  workload_profile    = var.dedicated == null ? "Consumption" : "dedicated"
  image               = var.image
  registry            = var.registry == null ? null : { server = var.registry.server, username = var.registry.username, password_secret = var.registry.password_secret }
  app_identity        = { id = azurerm_user_assigned_identity.this["app"].id, client_id = azurerm_user_assigned_identity.this["app"].client_id }
  job_identity        = { id = azurerm_user_assigned_identity.this["job"].id, client_id = azurerm_user_assigned_identity.this["job"].client_id }
  app                 = var.app
  callers             = var.callers
  ingest              = var.ingest
  documents_storage   = one(azurerm_container_app_environment_storage.documents[*].name)
  search              = { endpoint = module.search.endpoint, index = var.search.index, semantic = var.search.semantic != null }
  llm                 = var.openai == null ? null : { base_url = module.openai[0].base_url, model = module.openai[0].model }
  datadog             = var.datadog == null ? null : { site = var.datadog.site, subscription_id = data.azurerm_client_config.current.subscription_id }
  vault_uri           = azurerm_key_vault.this.vault_uri
  secrets             = merge(var.secrets, var.datadog == null ? {} : { DD_API_KEY = var.datadog.api_key_secret })
  settings            = var.settings
  tags                = local.tags

  # A replica that starts before its roles and its way to the services would fail.
  depends_on = [azurerm_role_assignment.vault_reader, azurerm_role_assignment.registry_pull, module.private_endpoint]
}

module "watch" {
  source = "../watch"

  name                = local.base
  resource_group_name = azurerm_resource_group.this.name
  resource_group_id   = azurerm_resource_group.this.id
  workspace_id        = azurerm_log_analytics_workspace.this.id
  search_id           = module.search.id
  app                 = var.app.enabled ? { id = module.workload.app.id, always_on = var.app.min_replicas > 0 } : null
  jobs                = module.workload.jobs
  emails              = var.alert_emails
  budget              = var.budget
  tags                = local.tags

  # Not the search service's OperationLogs: they hold the text of questions, which this service keeps out of its own logs.
  diagnostics = merge(
    {
      environment = { id = azurerm_container_app_environment.this.id, logs = ["ContainerAppConsoleLogs", "ContainerAppSystemLogs"] }
      vault       = { id = azurerm_key_vault.this.id, logs = ["AuditEvent"] }
      search      = { id = module.search.id, metrics = true }
    },
    var.openai == null ? {} : { openai = { id = module.openai[0].id, logs = ["Audit"], metrics = true } },
  )
}
