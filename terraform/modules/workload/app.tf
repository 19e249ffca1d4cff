# Who owns what: this file owns environment, CPU, memory, probes and scale; the delivery pipeline owns the image, the three
# variables that describe it, traffic, and the tag by which one rollout keeps out the next. ignore_changes below names exactly the pipeline's part.
resource "azurerm_container_app" "this" {
  count = var.app.enabled ? 1 : 0

  name                         = "${var.name}-api"
  resource_group_name          = var.resource_group_name
  container_app_environment_id = var.environment_id
  workload_profile_name        = var.workload_profile
  revision_mode                = "Multiple" # Old and new version side by side: canary and the way back need both.
  max_inactive_revisions       = 10
  tags                         = var.tags

  identity {
    type         = "UserAssigned"
    identity_ids = [var.app_identity.id]
  }

  dynamic "registry" {
    for_each = var.registry == null ? [] : [var.registry]
    content {
      server               = registry.value.server
      identity             = registry.value.username == null ? var.app_identity.id : null
      username             = registry.value.username
      password_secret_name = registry.value.username == null ? null : local.registry_secret
    }
  }

  dynamic "secret" {
    for_each = local.app_secrets
    content {
      name                = secret.key
      key_vault_secret_id = secret.value
      identity            = var.app_identity.id
    }
  }

  ingress {
    target_port                = local.port
    transport                  = "auto"
    external_enabled           = var.callers.external
    allow_insecure_connections = false

    # Of the first revision; afterwards the pipeline's.
    traffic_weight {
      latest_revision = true
      percentage      = 100
    }

    dynamic "ip_security_restriction" {
      for_each = var.callers.allow
      content {
        name             = "caller-${ip_security_restriction.key}"
        action           = "Allow"
        ip_address_range = ip_security_restriction.value
      }
    }
  }

  template {
    min_replicas                     = var.app.min_replicas
    max_replicas                     = var.app.max_replicas
    termination_grace_period_seconds = local.shutdown_seconds + 10

    http_scale_rule {
      name                = "http"
      concurrent_requests = tostring(var.app.concurrent_requests)
    }

    # The user is the image's own: the platform runs containers as USER says and cannot set another.
    container {
      name   = local.container
      image  = var.image
      cpu    = var.app.cpu
      memory = "${var.app.memory}Gi"

      # First, in this order: ignore_changes finds them by number.
      dynamic "env" {
        for_each = local.release
        content {
          name  = env.value
          value = "unknown"
        }
      }

      dynamic "env" {
        for_each = local.app_env
        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "env" {
        for_each = var.secrets
        content {
          name        = env.key
          secret_name = env.value
        }
      }

      # The model is loaded before the port opens; 60 seconds are many times what that takes.
      startup_probe {
        transport               = "HTTP"
        port                    = local.port
        path                    = "/health"
        interval_seconds        = 6
        timeout                 = 3
        failure_count_threshold = 10
      }

      # Touches nothing, so an index or a model that is away never restarts a replica.
      liveness_probe {
        transport               = "HTTP"
        port                    = local.port
        path                    = "/health"
        interval_seconds        = 10
        timeout                 = 3
        failure_count_threshold = 3
      }

      readiness_probe {
        transport               = "HTTP"
        port                    = local.port
        path                    = "/ready"
        interval_seconds        = 5
        timeout                 = 3
        failure_count_threshold = 3
        success_count_threshold = 1
      }
    }
  }

  lifecycle {
    ignore_changes = [
      template[0].container[0].image,
      template[0].container[0].env[0].value,
      template[0].container[0].env[1].value,
      template[0].container[0].env[2].value,
      ingress[0].traffic_weight,
      tags["rollout-lock"],
    ]
  }
}
