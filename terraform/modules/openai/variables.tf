variable "name" {
  description = "Name of the account; part of its address, so no other account of Azure may have it."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{0,62}[a-z0-9]$", var.name))
    error_message = "An account's name has 2 to 64 of a-z, 0-9 and dashes, no dash at either end."
  }
}

variable "resource_group_name" {
  description = "Where it is made."
  type        = string
}

variable "location" {
  description = "Azure region; not every model is in every region."
  type        = string
}

variable "model" {
  description = "The chat model: its name and version by Azure's list, kind of deployment, capacity in thousands of tokens a minute."
  type = object({
    name     = string
    version  = string
    sku      = optional(string, "Standard")
    capacity = optional(number, 10)
  })

  validation {
    condition     = contains(["Standard", "DataZoneStandard", "GlobalStandard"], var.model.sku)
    error_message = "model.sku is Standard (data stays in the region), DataZoneStandard or GlobalStandard."
  }

  validation {
    condition     = floor(var.model.capacity) == var.model.capacity && var.model.capacity >= 1 && var.model.capacity <= 10000
    error_message = "model.capacity is a whole number of 1 to 10000."
  }

  validation {
    condition     = length(var.model.name) > 0 && length(var.model.version) > 0
    error_message = "model needs a name and a version; without one Azure would choose."
  }
}

variable "public" {
  description = "true: reachable from any address, still with Entra tokens alone."
  type        = bool
  default     = false
}

variable "allowed_ips" {
  description = "Public addresses that may reach it beside the private endpoint."
  type        = list(string)
  default     = []
}

variable "users" {
  description = "Principals that may ask the model, by a name of yours."
  type        = map(string)
  default     = {}
}

variable "tags" {
  description = "Tags of every resource."
  type        = map(string)
  default     = {}
}
