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
  callers             = { external = false }
}

run "shards_part_the_work" {
  command = apply
  variables { ingest = { shards = 3 } }

  assert {
    condition     = [for number in ["1", "2", "3"] : join(" ", azurerm_container_app_job.ingest[number].template[0].container[0].args)] == ["ingest /documents --shard 1/3", "ingest /documents --shard 2/3", "ingest /documents --shard 3/3"]
    error_message = "every part once"
  }
  assert {
    condition     = alltrue([for job in azurerm_container_app_job.ingest : job.manual_trigger_config[0].parallelism == 1 && job.manual_trigger_config[0].replica_completion_count == 1 && length(job.schedule_trigger_config) == 0])
    error_message = "a replica has no number, so a job has one replica"
  }
  assert {
    condition     = keys(output.jobs) == ["rag-test-ingest-1", "rag-test-ingest-2", "rag-test-ingest-3"]
    error_message = "names the pipeline uses"
  }
}

run "at_night" {
  command = plan
  variables { ingest = { shards = 2, schedule = "0 3 * * *", prune = true } }

  assert {
    condition     = alltrue([for job in azurerm_container_app_job.ingest : job.schedule_trigger_config[0].cron_expression == "0 3 * * *" && job.schedule_trigger_config[0].parallelism == 1 && length(job.manual_trigger_config) == 0])
    error_message = "by schedule, and one replica each"
  }
  assert {
    condition     = alltrue([for job in azurerm_container_app_job.ingest : contains(job.template[0].container[0].args, "--prune")])
    error_message = "what is gone from the share goes from the index"
  }
}

run "documents_of_a_share" {
  command = plan
  variables {
    documents_storage = "documents"
    ingest            = { path = "/srv/documents" }
  }

  assert {
    condition     = azurerm_container_app_job.ingest["1"].template[0].volume[0].storage_type == "NfsAzureFile" && azurerm_container_app_job.ingest["1"].template[0].volume[0].storage_name == "documents"
    error_message = "mounted without a key"
  }
  assert {
    condition     = azurerm_container_app_job.ingest["1"].template[0].container[0].volume_mounts[0].path == "/srv/documents" && azurerm_container_app_job.ingest["1"].template[0].container[0].args[1] == "/srv/documents"
    error_message = "mounted where the job looks"
  }
}

run "inside_only" {
  command = plan
  assert {
    condition     = azurerm_container_app.this[0].ingress[0].external_enabled == false
    error_message = "external = false keeps the service inside"
  }
}
