"""Mistakes that people make in terraform/: what it is, file, what stands there, what stands there instead.

What is replaced must occur exactly once in its file. Each is seeded alone, and some check must refuse it.
"""

APP, JOB, SETTINGS = "modules/workload/app.tf", "modules/workload/ingest.tf", "modules/workload/settings.tf"
STACK, IDENTITY, VAULT = "modules/stack/main.tf", "modules/stack/identity.tf", "modules/stack/vault.tf"
SEARCH, OPENAI, WATCH, NETWORK = "modules/search/main.tf", "modules/openai/main.tf", "modules/watch/main.tf", "modules/network/main.tf"
INPUTS, PROD, DEV = "modules/workload/variables.tf", "environments/prod/main.tf", "environments/dev/main.tf"

MUTANTS = [
    # What the provider's schema knows.
    ("an argument that does not exist", SEARCH, "replica_count       =", "replicas_count      ="),
    ("an argument of the provider's last major version", IDENTITY, "  user_assigned_identity_id = azurerm", "  parent_id                 = azurerm"),
    ("a wrong type", SEARCH, "replica_count       = var.replicas", 'replica_count       = "three"'),
    ("a block by a wrong name", NETWORK, "    service_delegation {", "    service_delegations {"),
    ("a resource that does not exist", JOB, 'resource "azurerm_container_app_job" "ingest"', 'resource "azurerm_container_apps_job" "ingest"'),
    ("an attribute that is not exported", "modules/search/outputs.tf", "azurerm_search_service.this.endpoint", "azurerm_search_service.this.url"),
    ("a required argument left out", VAULT, "  rbac_authorization_enabled    = true\n", ""),
    ("an output that a module does not have", STACK, "module.search.endpoint", "module.search.address"),
    ("a backend argument that does not exist", "environments/dev/versions.tf", "use_azuread_auth = true", "use_azuread = true"),
    ("a backend that goes by access key", "environments/prod/versions.tf", "    use_azuread_auth = true\n", ""),
    # Canary and ownership.
    ("one revision only", APP, '"Multiple" #', '"Single" #'),
    ("Terraform takes the image back", APP, "      template[0].container[0].image,\n", ""),
    ("Terraform takes the jobs' image back", JOB, "  lifecycle {\n    ignore_changes = [template[0].container[0].image]\n  }\n", ""),
    ("Terraform takes traffic back", APP, "      ingress[0].traffic_weight,\n", ""),
    ("Terraform takes a rollout's lock away", APP, '      tags["rollout-lock"],\n', ""),
    ("Terraform takes the version back", APP, "      template[0].container[0].env[0].value,\n", ""),
    ("Terraform gives up CPU", APP, "      ingress[0].traffic_weight,\n", "      ingress[0].traffic_weight,\n      template[0].container[0].cpu,\n"),
    ("Terraform gives up the variables", APP, "      ingress[0].traffic_weight,\n", "      ingress[0].traffic_weight,\n      template[0].container[0].env,\n"),
    ("the pipeline's variables in another order", SETTINGS, '["APP_VERSION", "BUILD_SHA", "IMAGE_TAG"]', '["SERVICE_NAME", "APP_VERSION", "BUILD_SHA", "IMAGE_TAG"]'),
    # What the service expects.
    ("the readiness probe asks /health", APP, 'path                    = "/ready"', 'path                    = "/health"'),
    ("a probe's path with a mistake", APP, 'path                    = "/ready"', 'path                    = "/readyz"'),
    ("ports differ", APP, "    target_port                = local.port", "    target_port                = 8080"),
    ("a port that is not the service's", SETTINGS, "= 8000", "= 8080"),
    ("no time to drain", APP, "= local.shutdown_seconds + 10", "= local.shutdown_seconds - 5"),
    ("no scale rule", APP, '    http_scale_rule {\n      name                = "http"\n      concurrent_requests = tostring(var.app.concurrent_requests)\n    }\n', ""),
    ("a variable the service does not read", SETTINGS, "AZURE_SEARCH_INDEX_NAME =", "AZURE_SEARCH_INDEX      ="),
    ("the server has ingestion's identity", STACK, 'client_id = azurerm_user_assigned_identity.this["app"].client_id', 'client_id = azurerm_user_assigned_identity.this["job"].client_id'),
    ("prod sleeps at night", PROD, "min_replicas = 2", "min_replicas = 0"),
    ("scale above the limit of requests", PROD, "concurrent_requests = 20", "concurrent_requests = 200"),
    # Ingestion.
    ("shards from zero", JOB, "range(1, var.ingest.shards + 1)", "range(0, var.ingest.shards)"),
    ("the last shard missing", JOB, "range(1, var.ingest.shards + 1)", "range(1, var.ingest.shards)"),
    ("shards of another total", JOB, '"${number}/${var.ingest.shards}"', '"${number}/4"'),
    ("every shard twice", JOB, "    for_each = var.ingest.schedule == null ? [] : [var.ingest.schedule]\n    content {\n      cron_expression          = schedule_trigger_config.value\n      parallelism              = 1", "    for_each = var.ingest.schedule == null ? [] : [var.ingest.schedule]\n    content {\n      cron_expression          = schedule_trigger_config.value\n      parallelism              = 2"),
    ("documents mounted where nobody looks", JOB, "          path = var.ingest.path", '          path = "/data"'),
    ("documents by a share that needs a key", JOB, '"NfsAzureFile"', '"AzureFile"'),
    # Secrets, roles, doors.
    ("a secret as a value", APP, "      key_vault_secret_id = secret.value\n      identity            = var.app_identity.id", "      value = secret.value"),
    ("a key among the variables", SETTINGS, '      LOG_FORMAT              = "json"', '      LOG_FORMAT              = "json"\n      AZURE_SEARCH_API_KEY    = "0123456789abcdef"'),
    ("a literal that is a key", SETTINGS, '      LOG_FORMAT              = "json"', '      LOG_FORMAT              = "json"\n      OPENAI_MODEL            = "sk-abcdefgh12345678"'),
    ("secrets for ingestion", SETTINGS, "job_secrets = local.registry_secrets", "job_secrets = local.app_secrets"),
    ("search takes keys", SEARCH, "local_authentication_enabled = false", "local_authentication_enabled = true"),
    ("the workspace takes keys", STACK, "local_authentication_enabled = false", "local_authentication_enabled = true"),
    ("Azure OpenAI takes keys", OPENAI, "local_auth_enabled            = false", "local_auth_enabled            = true"),
    ("search open to the internet", SEARCH, "= var.public || length(var.allowed_ips) > 0", "= var.public || length(var.allowed_ips) >= 0"),
    ("the vault open to the internet", VAULT, 'local.public ? "Allow" : "Deny"', '"Allow"'),
    ("the vault may be purged", VAULT, "purge_protection_enabled      = true", "purge_protection_enabled      = false"),
    ("SSH from the internet", NETWORK, 'ports = ["443", "31443"]', 'ports = ["443", "22"]'),
    ("endpoints without rules", NETWORK, "{ apps = azurerm_subnet.apps.id, endpoints = azurerm_subnet.endpoints.id }", "{ apps = azurerm_subnet.apps.id }"),
    ("no private endpoint for the vault", STACK, '      vault  = { id = azurerm_key_vault.this.id, subresource = "vault", zone = "privatelink.vaultcore.azure.net" }\n', ""),
    ("open to the world", PROD, "callers         = { allow = var.callers }", "callers         = { world = length(var.callers) > 0 }"),
    ("HTTP without TLS", APP, "allow_insecure_connections = false", "allow_insecure_connections = true"),
    ("the pipeline owns the group", IDENTITY, '{ environment = { scope = azurerm_container_app_environment.this.id, role = "Container Apps Contributor" } }', '{ environment = { scope = azurerm_resource_group.this.id, role = "Contributor" } }'),
    ("the pipeline's role for the whole group", IDENTITY, "{ scope = module.workload.app.id, role", "{ scope = azurerm_resource_group.this.id, role"),
    ("the server may write the index", SEARCH, '"Search Index Data Reader"', '"Search Index Data Contributor"'),
    ("readers and writers exchanged", STACK, 'readers             = { app = azurerm_user_assigned_identity.this["app"].principal_id }', 'readers             = { app = azurerm_user_assigned_identity.this["job"].principal_id }'),
    ("ingestion asks the model", STACK, 'users               = { app = azurerm_user_assigned_identity.this["app"].principal_id }', 'users               = { job = azurerm_user_assigned_identity.this["job"].principal_id }'),
    ("the pipeline becomes the server", IDENTITY, 'azurerm_user_assigned_identity.this["deploy"].id', 'azurerm_user_assigned_identity.this["app"].id'),
    ("the server may change secrets", VAULT, '"Key Vault Secrets User"', '"Key Vault Secrets Officer"'),
    ("any run of the repository deploys", IDENTITY, ":environment:${each.key}", ":*"),
    ("the token of another issuer", IDENTITY, "https://token.actions.githubusercontent.com", "https://token.actions.example.com"),
    # What watches and survives.
    ("no logs", STACK, '      environment = { id = azurerm_container_app_environment.this.id, logs = ["ContainerAppConsoleLogs", "ContainerAppSystemLogs"] }\n', ""),
    ("questions in the logs", STACK, "id = module.search.id, metrics = true", 'id = module.search.id, metrics = true, logs = ["OperationLogs"]'),
    ("alerts without a receiver", WATCH, "    for_each = var.emails", "    for_each = length(var.emails) > 9 ? var.emails : []"),
    ("alerts on every answer", WATCH, '["5xx"]', '["2xx"]'),
    ("prod in one zone", PROD, "zone_redundant = true", "zone_redundant = false"),
    ("prod with one replica of search", PROD, "replicas = 3", "replicas = 1"),
    ("dev bigger than the platform sells", DEV, "cpu = 0.5, memory = 1,", "cpu = 0.5, memory = 3,"),
    ("resources without tags", STACK, "{ service = \"rag-api\", env = var.env, managed-by = \"terraform\" }", "{}"),
    # Validations that are gone.
    ("an image by tag is taken", INPUTS, "@sha256:[0-9a-f]{64}$\", var.image", "(@sha256:[0-9a-f]{64})?$\", var.image"),
    ("everybody by accident", INPUTS, '&& !endswith(range, "/0")', ""),
    ("a variable that nothing uses", "modules/network/variables.tf", 'variable "tags" {', 'variable "zones" {\n  description = "Unused."\n  type        = number\n  default     = 1\n}\n\nvariable "tags" {'),
]
