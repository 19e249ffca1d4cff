# What watches rag-api in Datadog: monitors, objectives, a dashboard and the catalog entry. Apart from the
# platform's own Terraform, as it needs other credentials and lives as long as the service, not as one deployment.
terraform {
  required_version = ">= 1.9"

  required_providers {
    datadog = {
      source  = "DataDog/datadog"
      version = "4.25.0"
    }
  }
}

# Credentials and site come from DD_API_KEY, DD_APP_KEY and DD_HOST, so that no file and no plan holds them.
provider "datadog" {}
