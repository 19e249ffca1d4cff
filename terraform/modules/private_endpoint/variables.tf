variable "name" {
  description = "Name of the connection."
  type        = string
}

variable "resource_group_name" {
  description = "Where it is made."
  type        = string
}

variable "location" {
  description = "Azure region."
  type        = string
}

variable "network_id" {
  description = "Virtual network whose clients resolve the name."
  type        = string
}

variable "subnet_id" {
  description = "Subnet of the endpoint."
  type        = string
}

variable "target_id" {
  description = "Resource behind the endpoint."
  type        = string
}

variable "subresource" {
  description = "Part of the target, by Azure's name for it."
  type        = string

  validation {
    condition     = contains(["searchService", "vault", "account"], var.subresource)
    error_message = "subresource is searchService, vault or account."
  }
}

variable "zone" {
  description = "Private DNS zone of the target's kind."
  type        = string

  validation {
    condition     = startswith(var.zone, "privatelink.")
    error_message = "zone begins with privatelink., or the public name would not lead to the endpoint."
  }
}

variable "tags" {
  description = "Tags of every resource."
  type        = map(string)
  default     = {}
}
