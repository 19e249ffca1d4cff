mock_provider "datadog" {
  mock_resource "datadog_service_level_objective" {
    defaults = { id = "0123456789abcdef0123456789abcdef" }
  }
  mock_resource "datadog_monitor" {
    defaults = { id = "42" }
  }
}

run "the_thresholds_are_those_agreed" {
  command = plan
  assert {
    condition     = endswith(datadog_monitor.this["error_rate"].query, "> 0.05") && startswith(datadog_monitor.this["error_rate"].query, "sum(last_5m)")
    error_message = "error rate: more than 5 % in 5 minutes"
  }
  assert {
    condition     = datadog_monitor.this["latency"].query == "percentile(last_10m):p95:trace.http.server.request{service:rag-api,env:prod,resource_name:post_/query} > 2"
    error_message = "p95: more than 2 s in 10 minutes"
  }
  assert {
    condition     = startswith(datadog_monitor.this["search_latency"].query, "percentile(last_5m):p95:") && endswith(datadog_monitor.this["search_latency"].query, "> 5")
    error_message = "search p95: more than 5 s"
  }
  assert {
    condition     = datadog_monitor.this["llm_throttled"].type == "log alert" && datadog_monitor.this["llm_throttled"].query == "logs(\"service:rag-api env:prod @error.message:\\\"the LLM server is limiting requests; try again later\\\"\").index(\"*\").rollup(\"count\").last(\"5m\") > 10"
    error_message = "429 of the language model"
  }
  assert {
    condition     = toset(keys(datadog_monitor.this)) == toset(["breaker_open", "error_rate", "latency", "llm_throttled", "no_data", "search_latency"])
    error_message = "one monitor is missing or new"
  }
  # Datadog refuses a query whose threshold is not the critical one.
  assert {
    condition     = alltrue([for monitor in datadog_monitor.this : tonumber(element(split(" ", monitor.query), -1)) == tonumber(monitor.monitor_thresholds[0].critical)])
    error_message = "a query and its critical threshold differ"
  }
}

run "everything_is_tagged_and_told" {
  command = apply
  variables {
    env    = "staging"
    notify = ["@slack-rag", "@pagerduty-rag"]
  }
  assert {
    condition     = alltrue([for monitor in concat(values(datadog_monitor.this), values(datadog_monitor.burn)) : contains(monitor.tags, "env:staging") && endswith(monitor.message, "@slack-rag @pagerduty-rag")])
    error_message = "tags or handles are missing"
  }
  assert {
    condition     = alltrue([for monitor in datadog_monitor.this : strcontains(monitor.query, "env:staging")])
    error_message = "a monitor watches another environment"
  }
  assert {
    condition     = startswith(datadog_monitor.burn["fast"].query, "burn_rate(\"0123456789abcdef0123456789abcdef\").over(\"30d\")")
    error_message = "the burn-rate monitor must follow the objective"
  }
  assert {
    condition     = [for group in jsondecode(datadog_dashboard_json.this.dashboard).widgets : group.definition.title] == ["Golden signals", "Hops", "Tokens and cost", "Retrieval quality", "Versions side by side", "Objectives"]
    error_message = "the board's groups"
  }
}

run "metrics_have_the_names_of_their_path" {
  command = plan
  variables { metrics_path = "otlp" }
  assert {
    condition     = local.metric.tokens == "llm_tokens_total" && strcontains(datadog_monitor.this["breaker_open"].query, "max:upstream_breaker_state{")
    error_message = "OTLP keeps the names"
  }
}

run "the_agent_renames_them" {
  command = plan
  assert {
    condition     = local.metric.tokens == "rag_api.llm_tokens.count" && strcontains(datadog_monitor.this["breaker_open"].query, "max:rag_api.upstream_breaker_state{")
    error_message = "as the OpenMetrics check sends them"
  }
}

run "nights_without_questions" {
  command = plan
  variables { no_data_window = "" }
  assert {
    condition     = !contains(keys(datadog_monitor.this), "no_data")
    error_message = "no_data must be optional"
  }
}

run "wrong_values_are_refused" {
  command = plan
  variables {
    notify              = ["slack"]
    env                 = "Prod"
    availability_target = 100
    no_data_window      = "45m"
  }
  expect_failures = [var.notify, var.env, var.availability_target, var.no_data_window]
}

run "another_service_than_the_catalog_says" {
  command = plan
  variables { service = "other" }
  expect_failures = [datadog_software_catalog.service]
}
