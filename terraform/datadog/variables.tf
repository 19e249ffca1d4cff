variable "service" {
  description = "What DD_SERVICE says; the catalog entry's name."
  type        = string
  default     = "rag-api"

  validation {
    condition     = can(regex("^[a-z][a-z0-9_./-]{0,99}$", var.service))
    error_message = "service must be a Datadog tag value: a lower-case letter, then up to 99 of a-z 0-9 _ . / -."
  }
}

variable "env" {
  description = "What DD_ENV says; monitors and objectives watch this environment alone."
  type        = string
  default     = "prod"

  validation {
    condition     = can(regex("^[a-z][a-z0-9_./-]{0,99}$", var.env))
    error_message = "env must be a Datadog tag value: a lower-case letter, then up to 99 of a-z 0-9 _ . / -."
  }
}

variable "notify" {
  description = "Whom monitors tell, as Datadog writes handles; empty: nobody."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for handle in var.notify : startswith(handle, "@")])
    error_message = "Each handle begins with @, such as @slack-rag or @pagerduty-rag."
  }
}

variable "team" {
  description = "The team tag of everything here; the owner in service.datadog.yaml."
  type        = string
  default     = "rag"
}

variable "no_data_window" {
  description = "So long without any question counts as silence; empty where nights without one are usual."
  type        = string
  default     = "30m"

  validation {
    condition     = contains(["", "15m", "30m", "1h", "2h", "4h", "1d"], var.no_data_window)
    error_message = "no_data_window is one of 15m, 30m, 1h, 2h, 4h, 1d, or empty for no such monitor."
  }
}

variable "availability_target" {
  description = "Percent of requests that succeed in 30 days."
  type        = number
  default     = 99.5

  validation {
    condition     = var.availability_target >= 90 && var.availability_target < 100
    error_message = "availability_target is at least 90 and below 100; nothing is left to burn at 100."
  }
}

variable "latency_target" {
  description = "Percent of five-minute slices of 30 days whose p95 is at most two seconds."
  type        = number
  default     = 99

  validation {
    condition     = var.latency_target >= 90 && var.latency_target < 100
    error_message = "latency_target is at least 90 and below 100."
  }
}

variable "metrics_path" {
  description = "How what /metrics shows comes to Datadog: openmetrics (an Agent scrapes) or otlp (the service pushes); their names differ."
  type        = string
  default     = "openmetrics"

  validation {
    condition     = contains(["openmetrics", "otlp"], var.metrics_path)
    error_message = "metrics_path is openmetrics or otlp."
  }
}
