mock_provider "azurerm" {
  mock_resource "azurerm_container_app" {
    defaults = { id = "app-id" }
  }
}

variables {
  name                = "rag-test"
  resource_group_name = "rag-test-rg"
  location            = "japaneast"
  environment_id      = "environment"
  env_name            = "dev"
  image               = "ghcr.io/acme/rag-api@sha256:1111111111111111111111111111111111111111111111111111111111111111"
  app_identity        = { id = "app-identity", client_id = "app-client" }
  job_identity        = { id = "job-identity", client_id = "job-client" }
  search              = { endpoint = "https://rag-test.search.windows.net", index = "ragdocs", semantic = true }
  vault_uri           = "https://rag-test.vault.azure.net/"
  callers             = { allow = ["203.0.113.0/24"] }
}

run "probes_and_port" {
  command = apply

  assert {
    condition     = [for probe in concat(azurerm_container_app.this[0].template[0].container[0].startup_probe, azurerm_container_app.this[0].template[0].container[0].liveness_probe, azurerm_container_app.this[0].template[0].container[0].readiness_probe) : "${probe.transport} ${probe.port} ${probe.path}"] == ["HTTP 8000 /health", "HTTP 8000 /health", "HTTP 8000 /ready"]
    error_message = "startup and liveness ask /health, readiness asks /ready"
  }
  assert {
    condition     = azurerm_container_app.this[0].ingress[0].target_port == 8000 && contains([for env in azurerm_container_app.this[0].template[0].container[0].env : "${env.name}=${env.value}" if env.value != null], "PORT=8000")
    error_message = "ingress and server must mean the same port"
  }
  assert {
    condition     = azurerm_container_app.this[0].template[0].termination_grace_period_seconds == 35 && contains([for env in azurerm_container_app.this[0].template[0].container[0].env : "${env.name}=${env.value}" if env.value != null], "SHUTDOWN_GRACE_SECONDS=25")
    error_message = "the platform must wait longer than the server drains"
  }
}

run "ready_for_a_canary" {
  command = apply

  assert {
    condition     = azurerm_container_app.this[0].revision_mode == "Multiple"
    error_message = "two revisions side by side"
  }
  assert {
    condition     = [for env in slice(azurerm_container_app.this[0].template[0].container[0].env, 0, 3) : env.name] == ["APP_VERSION", "BUILD_SHA", "IMAGE_TAG"]
    error_message = "ignore_changes finds the pipeline's variables by number: these three come first"
  }
  assert {
    condition     = azurerm_container_app.this[0].ingress[0].traffic_weight[0].percentage == 100 && azurerm_container_app.this[0].ingress[0].traffic_weight[0].latest_revision
    error_message = "the first revision takes all traffic"
  }
  assert {
    condition     = azurerm_container_app.this[0].template[0].http_scale_rule[0].concurrent_requests == "20"
    error_message = "another replica at 20 requests at once"
  }
}

# The pipeline's part: Terraform must not take it back.
run "another_image_is_none_of_our_business" {
  command = plan
  variables { image = "ghcr.io/acme/rag-api@sha256:2222222222222222222222222222222222222222222222222222222222222222" }
  assert {
    condition     = endswith(azurerm_container_app.this[0].template[0].container[0].image, "1111") && endswith(azurerm_container_app_job.ingest["1"].template[0].container[0].image, "1111")
    error_message = "the image of a running app or job is the pipeline's"
  }
}

# Terraform's part.
run "size_and_scale_are" {
  command = plan
  variables { app = { cpu = 2, memory = 4, min_replicas = 2, max_replicas = 5, concurrent_requests = 30 } }
  assert {
    condition     = azurerm_container_app.this[0].template[0].container[0].cpu == 2 && azurerm_container_app.this[0].template[0].container[0].memory == "4Gi"
    error_message = "CPU and memory follow the variables"
  }
  assert {
    condition     = azurerm_container_app.this[0].template[0].min_replicas == 2 && azurerm_container_app.this[0].template[0].max_replicas == 5 && azurerm_container_app.this[0].template[0].http_scale_rule[0].concurrent_requests == "30"
    error_message = "scale follows the variables"
  }
}

run "settings_reach_app_and_jobs" {
  command = plan
  variables { settings = { MIN_EVIDENCE_COSINE = "0.4" } }
  assert {
    condition     = alltrue([for container in [azurerm_container_app.this[0].template[0].container[0], azurerm_container_app_job.ingest["1"].template[0].container[0]] : contains([for env in container.env : "${env.name}=${env.value}" if env.value != null], "MIN_EVIDENCE_COSINE=0.4")])
    error_message = "a setting is missing"
  }
}

run "secrets_are_references" {
  command = plan
  variables { secrets = { OPENAI_API_KEY = "openai-api-key" } }
  assert {
    condition     = [for secret in azurerm_container_app.this[0].secret : "${secret.name} ${secret.key_vault_secret_id} ${secret.identity}"] == ["openai-api-key https://rag-test.vault.azure.net/secrets/openai-api-key app-identity"]
    error_message = "the vault's secret, read by the app's identity"
  }
  assert {
    condition     = [for env in azurerm_container_app.this[0].template[0].container[0].env : env.secret_name if env.name == "OPENAI_API_KEY"] == ["openai-api-key"]
    error_message = "the variable names the secret"
  }
  assert {
    condition     = alltrue([for secret in azurerm_container_app.this[0].secret : secret.value == null]) && length(azurerm_container_app_job.ingest["1"].secret) == 0
    error_message = "no value in the template, no secret for ingestion"
  }
}

run "identities_are_apart" {
  command = plan
  assert {
    condition     = azurerm_container_app.this[0].identity[0].identity_ids == toset(["app-identity"]) && azurerm_container_app_job.ingest["1"].identity[0].identity_ids == toset(["job-identity"])
    error_message = "server and ingestion have identities of their own"
  }
  assert {
    condition     = [for env in concat(azurerm_container_app.this[0].template[0].container[0].env, azurerm_container_app_job.ingest["1"].template[0].container[0].env) : env.value if env.name == "AZURE_CLIENT_ID"] == ["app-client", "job-client"]
    error_message = "each is told which identity it has"
  }
}

run "azure_openai_and_datadog" {
  command = plan
  variables {
    llm     = { base_url = "https://x.openai.azure.com/openai/v1", model = "gpt-4o-mini" }
    datadog = { site = "datadoghq.eu", subscription_id = "subscription" }
    secrets = { DD_API_KEY = "dd-api-key" }
  }
  assert {
    condition     = length(setsubtract(["OPENAI_BASE_URL=https://x.openai.azure.com/openai/v1", "OPENAI_MODEL=gpt-4o-mini", "DD_TRACE_ENABLED=true", "DD_SITE=datadoghq.eu", "DD_ENV=dev"], [for env in azurerm_container_app.this[0].template[0].container[0].env : "${env.name}=${env.value}" if env.value != null])) == 0
    error_message = "the server's model and agent"
  }
  assert {
    condition     = !anytrue([for env in azurerm_container_app_job.ingest["1"].template[0].container[0].env : startswith(env.name, "OPENAI_") || startswith(env.name, "DD_")])
    error_message = "ingestion asks no model"
  }
}

run "only_named_callers" {
  command = plan
  assert {
    condition     = azurerm_container_app.this[0].ingress[0].external_enabled && [for rule in azurerm_container_app.this[0].ingress[0].ip_security_restriction : "${rule.action} ${rule.ip_address_range}"] == ["Allow 203.0.113.0/24"] && azurerm_container_app.this[0].ingress[0].allow_insecure_connections == false
    error_message = "these callers and no others, by HTTPS"
  }
}

run "no_server_before_the_index" {
  command = plan
  variables { app = { enabled = false } }
  assert {
    condition     = length(azurerm_container_app.this) == 0 && length(azurerm_container_app_job.ingest) == 2
    error_message = "first the jobs alone"
  }
}

run "registry_by_identity" {
  command = plan
  variables { registry = { server = "ghcr.io" } }
  assert {
    condition     = azurerm_container_app.this[0].registry[0].identity == "app-identity" && azurerm_container_app_job.ingest["1"].registry[0].identity == "job-identity"
    error_message = "each pulls as itself"
  }
}

run "registry_by_password_of_the_vault" {
  command = plan
  variables { registry = { server = "ghcr.io", username = "puller", password_secret = "ghcr-token" } }
  assert {
    condition     = azurerm_container_app.this[0].registry[0].password_secret_name == "registry-password" && [for secret in azurerm_container_app_job.ingest["1"].secret : secret.key_vault_secret_id] == ["https://rag-test.vault.azure.net/secrets/ghcr-token"]
    error_message = "a reference, for app and job"
  }
}
