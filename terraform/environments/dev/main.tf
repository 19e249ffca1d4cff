# Small and cheap: nothing runs when nobody asks, one replica of search, the platform's network.
module "stack" {
  source = "../../modules/stack"

  env             = "dev"
  suffix          = var.suffix
  location        = var.location
  image           = var.image
  registry        = var.registry
  callers         = { allow = var.callers }
  secrets         = var.secrets
  settings        = var.settings
  secret_officers = var.secret_officers
  openai          = var.openai
  github          = { repository = var.github_repository, environments = ["staging"] }
  alert_emails    = var.alert_emails
  budget          = var.budget

  app    = { enabled = var.app_enabled, cpu = 0.5, memory = 1, min_replicas = 0, max_replicas = 2 }
  ingest = { shards = 1, cpu = 1, memory = 2 }
  search = { sku = "basic", replicas = 1, partitions = 1 }
}
