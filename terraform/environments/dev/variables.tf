variable "suffix" {
  description = "3 to 6 of a-z and 0-9, chosen once: makes names unique that all of Azure shares."
  type        = string
}

variable "location" {
  description = "Azure region by its short name, such as japaneast."
  type        = string
}

variable "image" {
  description = "Image of the first revision, by digest; afterwards the pipeline's."
  type        = string
}

variable "registry" {
  description = "Registry that needs a login; null: public."
  type = object({
    server          = string
    acr_id          = optional(string)
    username        = optional(string)
    password_secret = optional(string)
  })
  default = null
}

variable "app_enabled" {
  description = "false for the first apply, until ingestion has made the index."
  type        = bool
  default     = true
}

variable "callers" {
  description = "IPv4 ranges that may call the service, which has no login of its own: a gateway's, an office's."
  type        = list(string)
}

variable "secrets" {
  description = "Variables whose values are secrets: NAME = name of the secret in the vault."
  type        = map(string)
  default     = {}
}

variable "settings" {
  description = "Further variables of .env.example, none of them secret."
  type        = map(string)
  default     = {}
}

variable "secret_officers" {
  description = "Object ids of those who may write secrets."
  type        = list(string)
  default     = []
}

variable "openai" {
  description = "Azure OpenAI; null: answers are extractive, or secrets and settings name another server."
  type = object({
    location = optional(string)
    model = object({
      name     = string
      version  = string
      sku      = optional(string, "Standard")
      capacity = optional(number, 10)
    })
  })
  default = null
}

variable "github_repository" {
  description = "OWNER/NAME of the repository that deploys."
  type        = string
}

variable "alert_emails" {
  description = "Who is told of alerts and of the budget."
  type        = list(string)
}

variable "budget" {
  description = "Monthly budget in the subscription's currency, and the first of the month it begins."
  type        = object({ amount = number, start = string })
}
