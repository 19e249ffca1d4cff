variable "name" {
  description = "Beginning of every name here."
  type        = string
}

variable "resource_group_name" {
  description = "Where it is made."
  type        = string
}

variable "resource_group_id" {
  description = "What the budget counts."
  type        = string
}

variable "workspace_id" {
  description = "The Log Analytics workspace that keeps the logs."
  type        = string
}

variable "diagnostics" {
  description = "Resources whose logs (by category) and metrics go to the workspace."
  type = map(object({
    id      = string
    logs    = optional(list(string), [])
    metrics = optional(bool, false)
  }))

  validation {
    condition     = alltrue([for setting in var.diagnostics : length(setting.logs) > 0 || setting.metrics])
    error_message = "A diagnostic setting without logs and metrics would send nothing."
  }
}

variable "app" {
  description = "The server; always_on: at least one replica is promised. null: there is none yet."
  type        = object({ id = string, always_on = bool })
  default     = null
}

variable "search_id" {
  description = "The search service."
  type        = string
}

variable "jobs" {
  description = "Ids of ingestion jobs by name."
  type        = map(string)
  default     = {}
}

variable "emails" {
  description = "Who is told."
  type        = list(string)

  validation {
    condition     = length(var.emails) > 0 && alltrue([for email in var.emails : can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", email))])
    error_message = "emails needs at least one address, or alerts reach nobody."
  }
}

variable "budget" {
  description = "Monthly budget in the subscription's currency; start is the first of a month, not before this one."
  type        = object({ amount = number, start = string })

  validation {
    condition     = var.budget.amount > 0
    error_message = "budget.amount is more than 0."
  }

  validation {
    condition     = can(regex("^20[0-9]{2}-(0[1-9]|1[0-2])-01T00:00:00Z$", var.budget.start))
    error_message = "budget.start is the first of a month, as in 2026-12-01T00:00:00Z."
  }
}

variable "tags" {
  description = "Tags of every resource."
  type        = map(string)
  default     = {}
}
