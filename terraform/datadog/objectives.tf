resource "datadog_service_level_objective" "availability" {
  name        = "[${var.service} ${var.env}] requests succeed"
  type        = "metric"
  description = "Requests answered without a server error. A question without evidence is a success."
  tags        = local.tags

  query {
    numerator   = "sum:${local.span.request}.hits{${local.scope}}.as_count() - sum:${local.span.request}.errors{${local.scope}}.as_count()"
    denominator = "sum:${local.span.request}.hits{${local.scope}}.as_count()"
  }

  thresholds {
    timeframe = "7d"
    target    = var.availability_target
  }

  thresholds {
    timeframe = "30d"
    target    = var.availability_target
  }
}

resource "datadog_service_level_objective" "latency" {
  name        = "[${var.service} ${var.env}] answers come in two seconds"
  type        = "time_slice"
  description = "Five minutes are good when 95 % of their questions were answered in at most two seconds."
  tags        = local.tags

  sli_specification {
    time_slice {
      query {
        formula {
          formula_expression = "p95"
        }
        query {
          metric_query {
            name  = "p95"
            query = "p95:${local.span.request}{${local.scope},${local.query_route}}"
          }
        }
      }
      comparator             = "<="
      threshold              = 2
      query_interval_seconds = 300
    }
  }

  thresholds {
    timeframe = "30d"
    target    = var.latency_target
  }
}

# At 14.4 times the pace of the budget 30 days' worth is gone in two days, at 6 times in five. The short window
# ends the alert soon after the trouble ends.
resource "datadog_monitor" "burn" {
  for_each = {
    fast = { long = "1h", short = "5m", rate = 14.4, priority = "1", left = "two days" }
    slow = { long = "6h", short = "30m", rate = 6, priority = "3", left = "five days" }
  }

  name     = "[${var.service} ${var.env}] error budget burns (${each.key})"
  type     = "slo alert"
  query    = "burn_rate(\"${datadog_service_level_objective.availability.id}\").over(\"30d\").long_window(\"${each.value.long}\").short_window(\"${each.value.short}\") > ${each.value.rate}"
  message  = trimspace("At this pace the error budget of 30 days is gone in ${each.value.left}. ${local.tell}")
  priority = each.value.priority
  tags     = local.tags

  monitor_thresholds {
    critical = each.value.rate
  }
}
