mock_provider "azurerm" {}

variables {
  name                = "rag-test"
  resource_group_name = "rag-test-rg"
  resource_group_id   = "/subscriptions/x/resourceGroups/rag-test-rg"
  workspace_id        = "workspace"
  search_id           = "search"
  app                 = { id = "app", always_on = true }
  jobs                = { rag-test-ingest-1 = "job-1", rag-test-ingest-2 = "job-2" }
  emails              = ["operators@example.com"]
  budget              = { amount = 100, start = "2026-12-01T00:00:00Z" }
  diagnostics = {
    environment = { id = "environment", logs = ["ContainerAppConsoleLogs", "ContainerAppSystemLogs"] }
    search      = { id = "search", metrics = true }
  }
}

run "everything_is_watched_and_told" {
  command = apply

  assert {
    condition     = output.alerts == tolist([for name in ["app-failures", "app-replicas", "app-restarts", "ingest-1-failed", "ingest-2-failed", "search-slow", "search-throttled"] : "rag-test-${name}"])
    error_message = "one alert is missing or new"
  }
  assert {
    condition     = alltrue([for alert in azurerm_monitor_metric_alert.this : one(alert.action).action_group_id == azurerm_monitor_action_group.this.id])
    error_message = "an alert that tells nobody"
  }
  assert {
    condition     = azurerm_monitor_metric_alert.this["app-failures"].criteria[0].dimension[0].name == "statusCodeCategory" && azurerm_monitor_metric_alert.this["app-failures"].criteria[0].dimension[0].values == tolist(["5xx"])
    error_message = "server errors alone are failures"
  }
  assert {
    condition     = azurerm_monitor_metric_alert.this["ingest-2-failed"].scopes == toset(["job-2"])
    error_message = "each shard has its own alert"
  }
  assert {
    condition     = one(azurerm_monitor_action_group.this.email_receiver).email_address == "operators@example.com"
    error_message = "who is told"
  }
}

run "logs_go_where_they_should" {
  command = apply

  assert {
    condition     = toset([for log in azurerm_monitor_diagnostic_setting.this["environment"].enabled_log : log.category]) == toset(["ContainerAppConsoleLogs", "ContainerAppSystemLogs"])
    error_message = "the environment's logs"
  }
  assert {
    condition     = length(azurerm_monitor_diagnostic_setting.this["search"].enabled_log) == 0 && length(azurerm_monitor_diagnostic_setting.this["search"].enabled_metric) == 1
    error_message = "of search only figures: its logs hold questions"
  }
}

run "the_budget_speaks_early" {
  command = apply

  assert {
    condition     = toset([for told in azurerm_consumption_budget_resource_group.this.notification : "${told.threshold_type} ${told.threshold}"]) == toset(["Actual 80", "Actual 100", "Forecasted 100"])
    error_message = "at 80 and 100 percent, and when the forecast exceeds it"
  }
  assert {
    condition     = azurerm_consumption_budget_resource_group.this.time_grain == "Monthly" && azurerm_consumption_budget_resource_group.this.amount == 100
    error_message = "a monthly budget"
  }
}

run "no_server_yet" {
  command = plan
  variables {
    app  = null
    jobs = {}
  }
  assert {
    condition     = toset(keys(azurerm_monitor_metric_alert.this)) == toset(["search-slow", "search-throttled"])
    error_message = "alerts of a server that does not exist"
  }
}

run "none_may_run_at_night" {
  command = plan
  variables { app = { id = "app", always_on = false } }
  assert {
    condition     = !contains(keys(azurerm_monitor_metric_alert.this), "app-replicas")
    error_message = "no replica is normal where none is promised"
  }
}

run "wrong_values" {
  command = plan
  variables {
    emails      = []
    budget      = { amount = 0, start = "2026-12-15T00:00:00Z" }
    diagnostics = { vault = { id = "vault" } }
  }
  expect_failures = [var.emails, var.budget, var.diagnostics]
}

run "no_address_at_all" {
  command = plan
  variables { emails = ["operators"] }
  expect_failures = [var.emails]
}
