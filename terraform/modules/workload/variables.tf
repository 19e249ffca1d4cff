variable "name" {
  description = "Beginning of every name here."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.name)) && length(var.name) <= 22
    error_message = "name has at most 22 of a-z, 0-9 and single dashes, or names of jobs would exceed 32."
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

variable "environment_id" {
  description = "The Container Apps environment."
  type        = string
}

variable "env_name" {
  description = "ENV_NAME: dev, staging or prod."
  type        = string
}

variable "workload_profile" {
  description = "Profile of the environment that app and jobs run on."
  type        = string
  default     = "Consumption"
}

variable "image" {
  description = "Image of the first revision, by digest; afterwards the pipeline's, and changes here do nothing."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9.-]+(:[0-9]+)?/[a-z0-9._/-]+(:[A-Za-z0-9._-]+)?@sha256:[0-9a-f]{64}$", var.image))
    error_message = "image must name a registry and a digest, as in ghcr.io/OWNER/rag-api@sha256:…; a tag can be moved."
  }
}

variable "registry" {
  description = "Registry that needs a login: by the identities (username null), or by name and a password in the vault. null: public."
  type = object({
    server          = string
    username        = optional(string)
    password_secret = optional(string)
  })
  default = null

  validation {
    condition     = var.registry == null ? true : (var.registry.username == null) == (var.registry.password_secret == null)
    error_message = "registry needs username and password_secret together, or neither."
  }

  validation {
    condition     = var.registry == null ? true : startswith(var.image, "${var.registry.server}/")
    error_message = "registry.server is not where image comes from."
  }
}

variable "app_identity" {
  description = "Identity of the server."
  type        = object({ id = string, client_id = string })
}

variable "job_identity" {
  description = "Identity of ingestion."
  type        = object({ id = string, client_id = string })
}

variable "app" {
  description = "Size and scale of the server; memory in GiB. enabled = false until there is an index to read."
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
    condition     = var.workload_profile != "Consumption" || (contains([for step in range(2, 17) : step / 4], var.app.cpu) && var.app.memory == var.app.cpu * 2)
    error_message = "On Consumption app.cpu is 0.5 to 4 in steps of 0.25, and app.memory is twice that."
  }

  validation {
    condition     = var.app.memory >= 1
    error_message = "app.memory is at least 1 GiB: model, runtime and requests at work need more than half of one."
  }

  validation {
    condition     = floor(var.app.min_replicas) == var.app.min_replicas && var.app.min_replicas >= 0 && var.app.min_replicas <= var.app.max_replicas && floor(var.app.max_replicas) == var.app.max_replicas && var.app.max_replicas >= 1 && var.app.max_replicas <= 300
    error_message = "app.min_replicas and app.max_replicas are whole numbers, 0 <= min <= max, 1 <= max <= 300."
  }

  validation {
    condition     = floor(var.app.concurrent_requests) == var.app.concurrent_requests && var.app.concurrent_requests >= 1 && var.app.concurrent_requests < var.app.max_concurrent_requests && var.app.max_concurrent_requests <= 10000
    error_message = "app.concurrent_requests, where another replica starts, must lie below app.max_concurrent_requests, where requests are turned away (at most 10000)."
  }
}

variable "callers" {
  description = "Who reaches the server: external = from outside the environment, allow = only these IPv4 ranges, world = everybody."
  type = object({
    external = optional(bool, true)
    allow    = optional(list(string), [])
    world    = optional(bool, false)
  })

  validation {
    condition     = alltrue([for range in var.callers.allow : can(cidrnetmask(range)) && !endswith(range, "/0")])
    error_message = "callers.allow holds IPv4 ranges such as 203.0.113.0/24; say world = true for everybody."
  }

  validation {
    condition     = !var.callers.external || (length(var.callers.allow) > 0) != var.callers.world
    error_message = "The service has no login of its own: name callers.allow, or say callers.world = true knowingly, not both."
  }
}

variable "ingest" {
  description = "Ingestion: shards run side by side; schedule is cron in UTC, null starts by hand; path is a folder in the container."
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

  validation {
    condition     = floor(var.ingest.shards) == var.ingest.shards && var.ingest.shards >= 1 && var.ingest.shards <= 32
    error_message = "ingest.shards is a whole number of 1 to 32."
  }

  validation {
    condition     = can(regex("^/[A-Za-z0-9._/-]+$", var.ingest.path)) && !strcontains(var.ingest.path, "..")
    error_message = "ingest.path is an absolute path in the container, such as /documents."
  }

  validation {
    condition     = var.workload_profile != "Consumption" || (contains([for step in range(2, 17) : step / 4], var.ingest.cpu) && var.ingest.memory == var.ingest.cpu * 2)
    error_message = "On Consumption ingest.cpu is 0.5 to 4 in steps of 0.25, and ingest.memory is twice that."
  }

  validation {
    condition     = var.ingest.timeout_seconds >= 60 && var.ingest.timeout_seconds <= 86400 && contains(range(0, 6), var.ingest.retries)
    error_message = "ingest.timeout_seconds is 60 to 86400, ingest.retries 0 to 5."
  }

  validation {
    condition     = var.ingest.schedule == null ? true : can(regex("^[-0-9*,/]+( [-0-9*,/]+){4}$", var.ingest.schedule))
    error_message = "ingest.schedule has five fields of cron, such as 0 3 * * *."
  }
}

variable "documents_storage" {
  description = "Name of the environment's storage that holds the documents, mounted at ingest.path; null: the image holds them."
  type        = string
  default     = null
}

variable "search" {
  description = "Where the index is."
  type        = object({ endpoint = string, index = string, semantic = bool })
}

variable "llm" {
  description = "Azure OpenAI, asked with the identity's token; null: settings name another server, or answers are extractive."
  type        = object({ base_url = string, model = string })
  default     = null
}

variable "datadog" {
  description = "For the image's target datadog: its site and the subscription whose figures it shows."
  type        = object({ site = string, subscription_id = string })
  default     = null
}

variable "vault_uri" {
  description = "Address of the Key Vault, with the slash at its end."
  type        = string
}

variable "secrets" {
  description = "Variables whose values are secrets: NAME = name of the secret in the vault."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name, secret in var.secrets : can(regex("^[A-Z][A-Z0-9_]*$", name)) && can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", secret))])
    error_message = "secrets map a variable's NAME to the name of a secret in the vault (a-z, 0-9, dashes), never to its value."
  }

  validation {
    condition     = length(setintersection(keys(var.secrets), keys(var.settings))) == 0
    error_message = "A variable is a setting or a secret, not both."
  }
}

variable "settings" {
  description = "Further variables of .env.example for app and jobs; none that holds a secret or that is set here already."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.settings) : can(regex("^[A-Z][A-Z0-9_]*$", name)) && !can(regex("_(API_)?KEY$|SECRET|PASSWORD|_TOKEN$|_HEADERS$", name))])
    error_message = "settings are visible to everybody who may read the app: put keys, tokens, passwords and headers in secrets."
  }

  validation {
    condition     = length(setintersection(keys(var.settings), ["APP_VERSION", "BUILD_SHA", "IMAGE_TAG", "HOST", "PORT", "ENV_NAME", "SEARCH_BACKEND", "AZURE_SEARCH_ENDPOINT", "AZURE_SEARCH_INDEX_NAME", "AZURE_SEARCH_AUTH", "AZURE_CLIENT_ID", "MAX_CONCURRENT_REQUESTS", "SHUTDOWN_GRACE_SECONDS"])) == 0
    error_message = "settings may not replace what Terraform or the pipeline decides elsewhere."
  }
}

variable "tags" {
  description = "Tags of every resource."
  type        = map(string)
  default     = {}
}
