locals {
  # The service's words for status 429, whole: Datadog takes no wildcard inside quotation marks.
  throttled = "service:${var.service} env:${var.env} @error.message:\\\"the LLM server is limiting requests; try again later\\\""

  monitors = merge({
    error_rate = {
      name     = "requests fail"
      query    = "sum(last_5m):sum:${local.span.request}.errors{${local.scope}}.as_count() / sum:${local.span.request}.hits{${local.scope}}.as_count() > 0.05"
      critical = 0.05
      warning  = 0.02
      priority = "1"
      says     = "More than 5 % of the requests of five minutes failed. The log lines \"request failed\" name the cause; roll back when a new version began it."
    }
    latency = {
      name     = "answers are slow"
      query    = "percentile(last_10m):p95:${local.span.request}{${local.scope},${local.query_route}} > 2"
      critical = 2
      warning  = 1.5
      priority = "2"
      says     = "One question in twenty took more than two seconds for ten minutes. The dashboard's group \"Hops\" shows where."
    }
    search_latency = {
      name     = "search is slow"
      query    = "percentile(last_5m):p95:${local.span.search}{${local.scope}} > 5"
      critical = 5
      warning  = 2
      priority = "2"
      says     = "One search in twenty takes more than five seconds. With Azure look at throttling and replicas, else at memory and disk of the host."
    }
    # Each try that was throttled is one line of the log, so that those count which a retry healed, too.
    llm_throttled = {
      name     = "the language model throttles"
      type     = "log alert"
      query    = "logs(\"${local.throttled}\").index(\"*\").rollup(\"count\").last(\"5m\") > 10"
      critical = 10
      warning  = 1
      priority = "3"
      says     = "The language model's server answers 429; callers wait for retries or get quotations. Raise the quota or lower the traffic."
    }
    breaker_open = {
      name     = "a circuit breaker is open"
      query    = "max(last_5m):max:${local.metric.breaker}{${local.scope}} by {upstream} >= 2"
      critical = 2
      warning  = null
      priority = "1"
      says     = "Requests to {{upstream.name}} fail at once. Run rag-api check with the service's settings; the breaker closes by itself once the other side answers."
    }
    }, var.no_data_window == "" ? {} : {
    no_data = {
      name     = "no question arrives"
      query    = "sum(last_${var.no_data_window}):default_zero(sum:${local.span.request}.hits{${local.scope},${local.query_route}}.as_count()) < 1"
      critical = 1
      warning  = null
      priority = "2"
      says     = "Not one question in ${var.no_data_window}: the service, its ingress, its Agent or its callers are gone."
    }
  })
}

resource "datadog_monitor" "this" {
  for_each = local.monitors

  name     = "[${var.service} ${var.env}] ${each.value.name}"
  type     = lookup(each.value, "type", "query alert")
  query    = each.value.query
  message  = trimspace("${each.value.says} ${local.tell}")
  priority = each.value.priority
  tags     = local.tags

  monitor_thresholds {
    critical = each.value.critical
    warning  = each.value.warning
  }

  # Silence of a ratio or a quantile means no traffic, which the monitor no_data tells once.
  on_missing_data     = each.key == "no_data" ? "show_and_notify_no_data" : "default"
  require_full_window = false
  include_tags        = true
  renotify_interval   = 60
}
