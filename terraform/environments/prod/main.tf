# Private, spread over zones, three replicas of search: Microsoft's promise covers reads and writes.
module "stack" {
  source = "../../modules/stack"

  env             = "prod"
  suffix          = var.suffix
  location        = var.location
  image           = var.image
  registry        = var.registry
  callers         = { allow = var.callers }
  secrets         = var.secrets
  settings        = var.settings
  secret_officers = var.secret_officers
  openai          = var.openai
  documents       = var.documents
  allowed_ips     = var.allowed_ips
  datadog         = var.datadog
  github          = { repository = var.github_repository, environments = ["production"] }
  alert_emails    = var.alert_emails
  budget          = var.budget

  network = { address_space = var.address_space, zone_redundant = true }
  app     = { enabled = var.app_enabled, cpu = 1, memory = 2, min_replicas = 2, max_replicas = 10, concurrent_requests = 20 }
  ingest  = { shards = var.shards, cpu = 2, memory = 4, schedule = "0 3 * * *", prune = true }
  search  = { sku = "standard", replicas = 3, partitions = 1, semantic = "standard" }
  logs    = { retention_days = 90, daily_quota_gb = 10 }
}
