variable "name" {
  description = "Beginning of every name here."
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

variable "address_space" {
  description = "Private IPv4 range of the network, /16 to /22."
  type        = string

  validation {
    condition     = can(cidrnetmask(var.address_space)) && try(tonumber(split("/", var.address_space)[1]) >= 16 && tonumber(split("/", var.address_space)[1]) <= 22, false)
    error_message = "address_space must be an IPv4 range of /16 to /22, such as 10.20.0.0/20."
  }
}

variable "tags" {
  description = "Tags of every resource."
  type        = map(string)
  default     = {}
}
