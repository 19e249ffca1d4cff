variable "name" {
  description = "Name of the service; part of its address, so no other service of Azure may have it."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,58}[a-z0-9])$", var.name)) && !strcontains(var.name, "--")
    error_message = "A search service's name has 2 to 60 of a-z, 0-9 and single dashes, none at either end."
  }
}

variable "resource_group_name" {
  description = "Where it is made."
  type        = string
}

variable "location" {
  description = "Azure region."
  type        = string
}

variable "sku" {
  description = "Tier; it cannot be changed later."
  type        = string

  validation {
    condition     = contains(["basic", "standard", "standard2", "standard3", "storage_optimized_l1", "storage_optimized_l2"], var.sku)
    error_message = "sku is basic, standard, standard2, standard3, storage_optimized_l1 or storage_optimized_l2; free has neither replicas nor private endpoints."
  }
}

variable "replicas" {
  description = "Copies of the index: 2 for Microsoft's promise on reads, 3 on writes too."
  type        = number

  validation {
    condition     = floor(var.replicas) == var.replicas && var.replicas >= 1 && var.replicas <= (var.sku == "basic" ? 3 : 12)
    error_message = "replicas is a whole number of 1 to 12, at most 3 with basic."
  }
}

variable "partitions" {
  description = "Parts of the index, for room and for speed of writing."
  type        = number

  validation {
    condition     = contains(var.sku == "basic" ? [1, 2, 3] : [1, 2, 3, 4, 6, 12], var.partitions)
    error_message = "partitions is 1, 2, 3, 4, 6 or 12, at most 3 with basic."
  }

  validation {
    condition     = var.replicas * var.partitions <= 36
    error_message = "A service has 36 search units at most: replicas times partitions."
  }
}

variable "semantic" {
  description = "Plan of the semantic ranker, free or standard; null: none."
  type        = string
  default     = null

  validation {
    condition     = var.semantic == null ? true : contains(["free", "standard"], var.semantic)
    error_message = "semantic is free, standard or null."
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

  validation {
    condition     = alltrue([for ip in var.allowed_ips : can(regex("^[0-9.]+(/(2[4-9]|3[0-2]))?$", ip)) && can(cidrnetmask(strcontains(ip, "/") ? ip : "${ip}/32"))])
    error_message = "allowed_ips are IPv4 addresses or ranges of /24 to /32."
  }
}

variable "readers" {
  description = "Principals that may search, by a name of yours."
  type        = map(string)
  default     = {}
}

variable "writers" {
  description = "Principals that may make indexes and write documents, by a name of yours."
  type        = map(string)
  default     = {}
}

variable "tags" {
  description = "Tags of every resource."
  type        = map(string)
  default     = {}
}
