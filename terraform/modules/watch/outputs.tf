output "action_group_id" {
  description = "For alerts made elsewhere."
  value       = azurerm_monitor_action_group.this.id
}

output "alerts" {
  description = "Names of the alerts."
  value       = sort([for alert in azurerm_monitor_metric_alert.this : alert.name])
}
