# Container Apps gives the replicas of one job no number, so that parallelism = N would do everything N times. Each shard
# is therefore a job of its own, one replica wide, with its number in its arguments.
resource "azurerm_container_app_job" "ingest" {
  for_each = { for number in range(1, var.ingest.shards + 1) : tostring(number) => "${number}/${var.ingest.shards}" }

  name                         = "${var.name}-ingest-${each.key}"
  resource_group_name          = var.resource_group_name
  location                     = var.location
  container_app_environment_id = var.environment_id
  workload_profile_name        = var.workload_profile
  replica_timeout_in_seconds   = var.ingest.timeout_seconds
  replica_retry_limit          = var.ingest.retries
  tags                         = var.tags

  identity {
    type         = "UserAssigned"
    identity_ids = [var.job_identity.id]
  }

  dynamic "registry" {
    for_each = var.registry == null ? [] : [var.registry]
    content {
      server               = registry.value.server
      identity             = registry.value.username == null ? var.job_identity.id : null
      username             = registry.value.username
      password_secret_name = registry.value.username == null ? null : local.registry_secret
    }
  }

  dynamic "secret" {
    for_each = local.job_secrets
    content {
      name                = secret.key
      key_vault_secret_id = secret.value
      identity            = var.job_identity.id
    }
  }

  dynamic "manual_trigger_config" {
    for_each = var.ingest.schedule == null ? [1] : []
    content {
      parallelism              = 1
      replica_completion_count = 1
    }
  }

  dynamic "schedule_trigger_config" {
    for_each = var.ingest.schedule == null ? [] : [var.ingest.schedule]
    content {
      cron_expression          = schedule_trigger_config.value
      parallelism              = 1
      replica_completion_count = 1
    }
  }

  template {
    container {
      name   = local.container
      image  = var.image
      cpu    = var.ingest.cpu
      memory = "${var.ingest.memory}Gi"
      args   = concat(["ingest", var.ingest.path, "--shard", each.value], var.ingest.prune ? ["--prune"] : [])

      dynamic "env" {
        for_each = local.job_env
        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "volume_mounts" {
        for_each = var.documents_storage == null ? [] : [1]
        content {
          name = "documents"
          path = var.ingest.path
        }
      }
    }

    dynamic "volume" {
      for_each = var.documents_storage == null ? [] : [var.documents_storage]
      content {
        name         = "documents"
        storage_type = "NfsAzureFile"
        storage_name = volume.value
      }
    }
  }

  # The pipeline gives jobs the image that it gives the app: the index must fit the server that reads it.
  lifecycle {
    ignore_changes = [template[0].container[0].image]
  }
}
