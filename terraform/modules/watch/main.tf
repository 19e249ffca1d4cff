# What Azure itself can tell: logs to the workspace, alerts on the platform's metrics, a budget. Quality and hops are
# watched by terraform/datadog or scripts/monitoring.
resource "azurerm_monitor_diagnostic_setting" "this" {
  for_each = var.diagnostics

  name                       = "to-workspace"
  target_resource_id         = each.value.id
  log_analytics_workspace_id = var.workspace_id

  dynamic "enabled_log" {
    for_each = each.value.logs
    content {
      category = enabled_log.value
    }
  }

  dynamic "enabled_metric" {
    for_each = each.value.metrics ? ["AllMetrics"] : []
    content {
      category = enabled_metric.value
    }
  }
}

resource "azurerm_monitor_action_group" "this" {
  name                = "${var.name}-operators"
  resource_group_name = var.resource_group_name
  short_name          = "rag-api"
  tags                = var.tags

  dynamic "email_receiver" {
    for_each = var.emails
    content {
      name                    = "operator-${email_receiver.key}"
      email_address           = email_receiver.value
      use_common_alert_schema = true
    }
  }
}

locals {
  app_alerts = {
    failures = { metric = "Requests", aggregation = "Total", operator = "GreaterThan", threshold = 10, severity = 1, dimension = { statusCodeCategory = ["5xx"] }, says = "More than 10 requests of five minutes were answered 5xx. Roll back when a new revision began it." }
    restarts = { metric = "RestartCount", aggregation = "Maximum", operator = "GreaterThan", threshold = 3, severity = 1, dimension = {}, says = "A replica restarts again and again; its console log tells why." }
    replicas = { metric = "Replicas", aggregation = "Maximum", operator = "LessThan", threshold = 1, severity = 1, dimension = {}, says = "No replica runs." }
  }
  search_alerts = {
    throttled = { metric = "ThrottledSearchQueriesPercentage", aggregation = "Average", operator = "GreaterThan", threshold = 1, severity = 2, dimension = {}, says = "The search service turns queries away; add replicas." }
    slow      = { metric = "SearchLatency", aggregation = "Average", operator = "GreaterThan", threshold = 1, severity = 2, dimension = {}, says = "Searches take more than a second on average; look at replicas and at ingestion going on." }
  }
  job_alerts = {
    failed = { metric = "Executions", aggregation = "Maximum", operator = "GreaterThan", threshold = 0, severity = 2, dimension = { state = ["Failed"] }, says = "An ingestion shard failed. What it completed is kept; start the job again after reading its log." }
  }

  targets = merge(
    var.app == null ? {} : { app = { id = var.app.id, namespace = "Microsoft.App/containerapps", alerts = { for key, alert in local.app_alerts : key => alert if key != "replicas" || var.app.always_on } } },
    { search = { id = var.search_id, namespace = "Microsoft.Search/searchServices", alerts = local.search_alerts } },
    { for name, id in var.jobs : trimprefix(name, "${var.name}-") => { id = id, namespace = "Microsoft.App/jobs", alerts = local.job_alerts } },
  )
  alerts = merge([for target, of in local.targets : { for key, alert in of.alerts : "${target}-${key}" => merge(alert, { id = of.id, namespace = of.namespace }) }]...)
}

resource "azurerm_monitor_metric_alert" "this" {
  for_each = local.alerts

  name                = "${var.name}-${each.key}"
  resource_group_name = var.resource_group_name
  scopes              = [each.value.id]
  description         = each.value.says
  severity            = each.value.severity
  frequency           = "PT1M"
  window_size         = "PT5M"
  tags                = var.tags

  criteria {
    metric_namespace       = each.value.namespace
    metric_name            = each.value.metric
    aggregation            = each.value.aggregation
    operator               = each.value.operator
    threshold              = each.value.threshold
    skip_metric_validation = true # A metric that was never reported yet would be refused.

    dynamic "dimension" {
      for_each = each.value.dimension
      content {
        name     = dimension.key
        operator = "Include"
        values   = dimension.value
      }
    }
  }

  action {
    action_group_id = azurerm_monitor_action_group.this.id
  }
}

resource "azurerm_consumption_budget_resource_group" "this" {
  name              = "${var.name}-budget"
  resource_group_id = var.resource_group_id
  amount            = var.budget.amount
  time_grain        = "Monthly"

  time_period {
    start_date = var.budget.start
  }

  # Told when four fifths are spent, when all is, and when the month will probably end above it.
  dynamic "notification" {
    for_each = [["Actual", 80], ["Actual", 100], ["Forecasted", 100]]
    content {
      threshold_type = notification.value[0]
      threshold      = notification.value[1]
      operator       = "GreaterThanOrEqualTo"
      contact_groups = [azurerm_monitor_action_group.this.id]
    }
  }
}
