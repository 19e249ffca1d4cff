mock_provider "azurerm" {}

variables {
  name                = "rag-test"
  resource_group_name = "rag-test-rg"
  location            = "japaneast"
  environment_id      = "environment"
  env_name            = "dev"
  image               = "ghcr.io/acme/rag-api@sha256:1111111111111111111111111111111111111111111111111111111111111111"
  app_identity        = { id = "app-identity", client_id = "app-client" }
  job_identity        = { id = "job-identity", client_id = "job-client" }
  search              = { endpoint = "https://rag-test.search.windows.net", index = "ragdocs", semantic = false }
  vault_uri           = "https://rag-test.vault.azure.net/"
  callers             = { allow = ["203.0.113.0/24"] }
}

run "a_tag_is_no_image" {
  command = plan
  variables { image = "ghcr.io/acme/rag-api:latest" }
  expect_failures = [var.image]
}

run "a_registry_that_is_not_the_images" {
  command = plan
  variables { registry = { server = "registry.example.com" } }
  expect_failures = [var.registry]
}

run "a_name_without_its_password" {
  command = plan
  variables { registry = { server = "ghcr.io", username = "puller" } }
  expect_failures = [var.registry]
}

run "memory_that_consumption_does_not_sell" {
  command = plan
  variables { app = { cpu = 1, memory = 4 } }
  expect_failures = [var.app]
}

run "too_little_memory" {
  command = plan
  variables {
    workload_profile = "dedicated"
    app              = { cpu = 0.25, memory = 0.5 }
  }
  expect_failures = [var.app]
}

run "more_replicas_at_rest_than_ever" {
  command = plan
  variables { app = { min_replicas = 4, max_replicas = 3 } }
  expect_failures = [var.app]
}

run "scaling_after_turning_away" {
  command = plan
  variables { app = { concurrent_requests = 128 } }
  expect_failures = [var.app]
}

run "callers_must_be_named" {
  command = plan
  variables { callers = {} }
  expect_failures = [var.callers]
}

run "the_world_is_no_range" {
  command = plan
  variables { callers = { allow = ["0.0.0.0/0"] } }
  expect_failures = [var.callers]
}

run "some_and_everybody" {
  command = plan
  variables { callers = { allow = ["203.0.113.0/24"], world = true } }
  expect_failures = [var.callers]
}

run "no_shards" {
  command = plan
  variables { ingest = { shards = 0 } }
  expect_failures = [var.ingest]
}

run "a_path_that_climbs" {
  command = plan
  variables { ingest = { path = "/documents/../etc" } }
  expect_failures = [var.ingest]
}

run "a_schedule_of_four_fields" {
  command = plan
  variables { ingest = { schedule = "0 3 * *" } }
  expect_failures = [var.ingest]
}

run "a_job_without_end" {
  command = plan
  variables { ingest = { timeout_seconds = 100000 } }
  expect_failures = [var.ingest]
}

run "memory_of_jobs" {
  command = plan
  variables { ingest = { cpu = 2, memory = 2 } }
  expect_failures = [var.ingest]
}

run "a_secrets_value_instead_of_its_name" {
  command = plan
  variables { secrets = { OPENAI_API_KEY = "sk-Value_Of_A_Key" } }
  expect_failures = [var.secrets]
}

run "setting_and_secret_at_once" {
  command = plan
  variables {
    secrets  = { OPENAI_MODEL = "model" }
    settings = { OPENAI_MODEL = "gpt-4o-mini" }
  }
  expect_failures = [var.secrets]
}

run "a_key_among_settings" {
  command = plan
  variables { settings = { AZURE_SEARCH_API_KEY = "value" } }
  expect_failures = [var.settings]
}

run "headers_among_settings" {
  command = plan
  variables { settings = { OTEL_EXPORTER_OTLP_HEADERS = "authorization=value" } }
  expect_failures = [var.settings]
}

run "a_port_of_ones_own" {
  command = plan
  variables { settings = { PORT = "9000" } }
  expect_failures = [var.settings]
}

run "a_name_too_long_for_jobs" {
  command = plan
  variables { name = "a-name-that-is-too-long" }
  expect_failures = [var.name]
}
