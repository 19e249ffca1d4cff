# What one environment is. Sizes and scale of app and ingestion are checked where they are used, in modules/workload.
variable "name" {
  description = "Beginning of every name."
  type        = string
  default     = "rag"

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,7}$", var.name))
    error_message = "name has 2 to 8 of a-z and 0-9, a letter first: the Key Vault's name leaves no room for more."
  }
}

variable "env" {
  description = "dev, staging or prod; also ENV_NAME."
  type        = string

  validation {
    condition     = contains(["dev", "staging", "prod"], var.env)
    error_message = "env is dev, staging or prod."
  }
}

variable "suffix" {
  description = "Makes names unique that all of Azure shares; choose once, as changing it makes those resources anew."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]{3,6}$", var.suffix))
    error_message = "suffix has 3 to 6 of a-z and 0-9."
  }
}

variable "location" {
  description = "Azure region by its short name, such as japaneast."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+[0-9]?$", var.location))
    error_message = "location is a region's short name, such as japaneast; 'az account list-locations -o table' lists them."
  }
}

variable "image" {
  description = "Image of the first revision, by digest; afterwards the pipeline's, and changes here do nothing."
  type        = string
}

variable "registry" {
  description = "Registry that needs a login: an Azure one by acr_id, another by username and the secret's name in the vault. null: public."
  type = object({
    server          = string
    acr_id          = optional(string)
    username        = optional(string)
    password_secret = optional(string)
  })
  default = null

  validation {
    condition     = var.registry == null ? true : (var.registry.acr_id == null) != (var.registry.username == null)
    error_message = "registry needs acr_id, or username and password_secret."
  }
}

variable "app" {
  description = "Size and scale of the server; enabled = false until there is an index to read."
  type = object({
    enabled                 = optional(bool, true)
    cpu                     = optional(number, 1)
    memory                  = optional(number, 2)
    min_replicas            = optional(number, 1)
    max_replicas            = optional(number, 3)
    concurrent_requests     = optional(number, 20)
    max_concurrent_requests = optional(number, 128)
  })
  default = {}

  validation {
    condition     = var.env != "prod" || var.app.min_replicas >= 1
    error_message = "In prod app.min_replicas is at least 1: a start from nothing makes somebody wait."
  }
}

variable "callers" {
  description = "Who reaches the server; see modules/workload."
  type = object({
    external = optional(bool, true)
    allow    = optional(list(string), [])
    world    = optional(bool, false)
  })
}

variable "ingest" {
  description = "Ingestion; see modules/workload."
  type = object({
    shards          = optional(number, 2)
    path            = optional(string, "/documents")
    prune           = optional(bool, false)
    cpu             = optional(number, 2)
    memory          = optional(number, 4)
    timeout_seconds = optional(number, 3600)
    retries         = optional(number, 1)
    schedule        = optional(string)
  })
  default = {}
}

variable "documents" {
  description = "NFS share of Azure Files with the documents: server NAME.file.core.windows.net, share /NAME/SHARE. null: the image holds them."
  type        = object({ server = string, share = string })
  default     = null

  validation {
    condition     = var.documents == null ? true : can(regex("^[a-z0-9]{3,24}\\.file\\.core\\.windows\\.net$", var.documents.server)) && startswith(var.documents.share, "/${split(".", var.documents.server)[0]}/")
    error_message = "documents.server is NAME.file.core.windows.net, documents.share is /NAME/SHARE."
  }

  validation {
    condition     = var.documents == null || var.network != null
    error_message = "An NFS share is mounted inside a network only: set network as well."
  }
}

variable "search" {
  description = "The search service; see modules/search. semantic: free, standard or null."
  type = object({
    sku        = optional(string, "basic")
    replicas   = optional(number, 1)
    partitions = optional(number, 1)
    semantic   = optional(string)
    index      = optional(string, "ragdocs")
  })
  default = {}

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9_-]{0,126}[a-z0-9])$", var.search.index))
    error_message = "search.index has 2 to 128 of a-z, 0-9, _ and -, a letter or digit at both ends."
  }

  validation {
    condition     = var.env != "prod" || var.search.replicas >= 2
    error_message = "In prod search.replicas is at least 2: with one, Microsoft promises nothing."
  }
}

variable "openai" {
  description = "Azure OpenAI beside the service; null: none. See modules/openai."
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

  validation {
    condition     = var.openai == null || (!contains(keys(var.secrets), "OPENAI_API_KEY") && length(setintersection(keys(var.settings), ["OPENAI_BASE_URL", "OPENAI_MODEL"])) == 0)
    error_message = "With openai the identity is the login: drop OPENAI_API_KEY, OPENAI_BASE_URL and OPENAI_MODEL from secrets and settings."
  }
}

variable "network" {
  description = "A network of one's own: services become private, zones can be spread over. null: the platform's. Changing it makes the environment anew."
  type = object({
    address_space  = string
    zone_redundant = optional(bool, true)
  })
  default = null
}

variable "dedicated" {
  description = "Machines of one's own instead of Consumption: kind and number."
  type        = object({ type = string, minimum = number, maximum = number })
  default     = null

  validation {
    condition     = var.dedicated == null ? true : contains(["D4", "D8", "D16", "D32", "E4", "E8", "E16", "E32"], var.dedicated.type) && var.dedicated.minimum >= 0 && var.dedicated.minimum <= var.dedicated.maximum && var.dedicated.maximum >= 1
    error_message = "dedicated.type is D4 to D32 or E4 to E32, and 0 <= minimum <= maximum."
  }
}

variable "allowed_ips" {
  description = "Public addresses from which people reach vault and search service when these are private."
  type        = list(string)
  default     = []

  validation {
    condition     = length(var.allowed_ips) == 0 || var.network != null
    error_message = "allowed_ips needs network: without one, replicas come from addresses that no list can name."
  }
}

variable "secrets" {
  description = "Variables of the server whose values are secrets: NAME = name of the secret in the vault."
  type        = map(string)
  default     = {}
}

variable "secret_officers" {
  description = "Object ids of people or groups in Entra who may write secrets."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for id in var.secret_officers : can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", id))])
    error_message = "secret_officers are object ids, such as 'az ad signed-in-user show --query id' prints."
  }
}

variable "settings" {
  description = "Further variables of .env.example for app and jobs, none of them secret."
  type        = map(string)
  default     = {}
}

variable "datadog" {
  description = "Only for the image's target datadog: site, and the secret's name in the vault. Monitors are in terraform/datadog."
  type = object({
    site           = string
    api_key_secret = optional(string, "dd-api-key")
  })
  default = null

  validation {
    condition     = var.datadog == null ? true : contains(["datadoghq.com", "us3.datadoghq.com", "us5.datadoghq.com", "datadoghq.eu", "ap1.datadoghq.com", "ap2.datadoghq.com", "ddog-gov.com"], var.datadog.site)
    error_message = "datadog.site is one of Datadog's sites, such as datadoghq.eu."
  }
}

variable "github" {
  description = "The repository OWNER/NAME and its environments whose runs may deploy here."
  type        = object({ repository = string, environments = list(string) })

  validation {
    condition     = can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.github.repository))
    error_message = "github.repository is OWNER/NAME."
  }

  validation {
    condition     = length(var.github.environments) > 0 && length(var.github.environments) <= 20 && alltrue([for name in var.github.environments : can(regex("^[A-Za-z0-9][A-Za-z0-9_-]{0,90}$", name))])
    error_message = "github.environments names 1 to 20 environments, of letters, digits, - and _; no wildcard."
  }
}

variable "logs" {
  description = "Days that logs are kept, and gigabytes taken a day (-1: no limit)."
  type        = object({ retention_days = optional(number, 30), daily_quota_gb = optional(number, 1) })
  default     = {}

  validation {
    condition     = var.logs.retention_days >= 30 && var.logs.retention_days <= 730 && (var.logs.daily_quota_gb == -1 || var.logs.daily_quota_gb >= 0.1)
    error_message = "logs.retention_days is 30 to 730, logs.daily_quota_gb -1 or at least 0.1."
  }
}

variable "alert_emails" {
  description = "Who is told of alerts and of the budget."
  type        = list(string)
}

variable "budget" {
  description = "Monthly budget in the subscription's currency, and the first of the month it begins."
  type        = object({ amount = number, start = string })
}

variable "tags" {
  description = "Further tags of every resource."
  type        = map(string)
  default     = {}
}
