resource "datadog_software_catalog" "service" {
  entity = file("${path.module}/../../service.datadog.yaml")

  lifecycle {
    precondition {
      condition     = yamldecode(file("${path.module}/../../service.datadog.yaml")).metadata.name == var.service
      error_message = "service.datadog.yaml names another service than the variable service; telemetry would not be joined to it."
    }
  }
}
