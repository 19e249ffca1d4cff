output "app" {
  description = "The app: id, name, address; null while app.enabled is false."
  value = one([for app in azurerm_container_app.this : {
    id   = app.id
    name = app.name
    url  = "https://${app.ingress[0].fqdn}"
  }])
}

output "container" {
  description = "Name of the container in app and jobs."
  value       = local.container
}

output "jobs" {
  description = "Ids of the ingestion jobs by name."
  value       = { for job in azurerm_container_app_job.ingest : job.name => job.id }
}
