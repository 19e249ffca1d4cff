output "service" {
  description = "Names and addresses that people and the pipeline need; none is secret."
  value       = module.stack
}
