terraform {
  required_version = ">= 1.11, < 2.0"

  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 5.10"
    }
  }

  # The account is named at init (-backend-config=backend.hcl), so that no file names anybody's resources. Who may use it
  # is Entra's question: no access key is asked for. Pipelines set ARM_USE_OIDC=true.
  backend "azurerm" {
    use_azuread_auth = true
    key              = "rag-api/prod.tfstate"
  }
}

# Credentials come from az login or from ARM_ variables; the subscription from ARM_SUBSCRIPTION_ID.
provider "azurerm" {
  resource_provider_registrations = "none"
  resource_providers_to_register = [
    "Microsoft.App", "Microsoft.CognitiveServices", "Microsoft.Consumption", "Microsoft.Insights", "Microsoft.KeyVault",
    "Microsoft.ManagedIdentity", "Microsoft.Network", "Microsoft.OperationalInsights", "Microsoft.Search",
  ]
  storage_use_azuread = true

  features {
    # A vault that was deleted comes back with its name; nothing is purged, so a mistake can be undone.
    key_vault {
      purge_soft_delete_on_destroy    = false
      recover_soft_deleted_key_vaults = true
    }
    resource_group {
      prevent_deletion_if_contains_resources = true
    }
  }
}
