# Names and defaults are those of .env.example; a check compares them.
locals {
  container        = "rag-api"
  port             = 8000
  shutdown_seconds = 25
  registry_secret  = "registry-password"
  release          = ["APP_VERSION", "BUILD_SHA", "IMAGE_TAG"]

  common_env = merge(
    {
      SERVICE_NAME            = "rag-api"
      ENV_NAME                = var.env_name
      LOG_FORMAT              = "json"
      SEARCH_BACKEND          = "azure"
      AZURE_SEARCH_ENDPOINT   = var.search.endpoint
      AZURE_SEARCH_INDEX_NAME = var.search.index
      AZURE_SEARCH_AUTH       = "entra"
      AZURE_SEARCH_SEMANTIC   = var.search.semantic ? "on" : "off"
    },
    var.settings,
  )

  app_env = merge(
    local.common_env,
    {
      AZURE_CLIENT_ID         = var.app_identity.client_id
      HOST                    = "0.0.0.0"
      PORT                    = tostring(local.port)
      SHUTDOWN_GRACE_SECONDS  = tostring(local.shutdown_seconds)
      MAX_CONCURRENT_REQUESTS = tostring(var.app.max_concurrent_requests)
    },
    # Without a key the service asks Azure OpenAI with its identity's token.
    var.llm == null ? {} : { OPENAI_BASE_URL = var.llm.base_url, OPENAI_MODEL = var.llm.model },
    var.datadog == null ? {} : {
      DD_TRACE_ENABLED         = "true"
      DD_SERVICE               = "rag-api"
      DD_ENV                   = var.env_name
      DD_SITE                  = var.datadog.site
      DD_AZURE_SUBSCRIPTION_ID = var.datadog.subscription_id
      DD_AZURE_RESOURCE_GROUP  = var.resource_group_name
    },
  )

  # Ingestion reads no question and asks no language model, so it has neither their addresses nor their secrets.
  job_env = merge(local.common_env, { AZURE_CLIENT_ID = var.job_identity.client_id })

  # Container Apps reads each from the vault by the identity; neither state nor template holds a value.
  registry_secrets = try(var.registry.password_secret, null) == null ? {} : {
    (local.registry_secret) = "${var.vault_uri}secrets/${var.registry.password_secret}"
  }
  app_secrets = merge({ for secret in values(var.secrets) : secret => "${var.vault_uri}secrets/${secret}" }, local.registry_secrets)
  job_secrets = local.registry_secrets
}
