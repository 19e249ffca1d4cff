output "dashboard_path" {
  description = "Below the address of your Datadog site."
  value       = datadog_dashboard_json.this.url
}

output "monitor_ids" {
  description = "By the monitor's name here; a deployment gate may ask for them."
  value       = { for key, monitor in datadog_monitor.this : key => monitor.id }
}

output "availability_slo_id" {
  description = "For burn-rate alerts made elsewhere."
  value       = datadog_service_level_objective.availability.id
}
