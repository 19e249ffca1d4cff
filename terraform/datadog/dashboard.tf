locals {
  # Template variables: the board opens with this service, one environment and every version.
  board = "$service,$env,$version"
  hits  = "${local.span.request}.hits{${local.board}"

  # One panel: queries by name, formulas by the words in the legend.
  groups = [
    {
      title = "Golden signals"
      panels = [
        { title = "Requests a second", queries = { a = "sum:${local.hits}} by {resource_name}.as_rate()" }, formulas = { "requests" = "a" } },
        { title = "Error rate, percent", queries = { e = "sum:${local.span.request}.errors{${local.board}}.as_count()", h = "sum:${local.hits}}.as_count()" }, formulas = { "errors" = "100 * default_zero(e) / h" } },
        { title = "Latency of POST /query, seconds", queries = { for p in ["p50", "p95", "p99"] : p => "${p}:${local.span.request}{${local.board},${local.query_route}}" }, formulas = { "p50" = "p50", "p95" = "p95", "p99" = "p99" } },
        { title = "Saturation", queries = { f = "max:${local.metric.in_flight}{${local.board}}", q = "max:${local.metric.queue_depth}{${local.board}}" }, formulas = { "in flight" = "f", "waiting for the model" = "q" } },
      ]
    },
    {
      title = "Hops"
      panels = [
        { title = "p95 by hop, seconds", queries = { for hop, name in local.span : hop => "p95:${name}{${local.board}}" }, formulas = { for hop, name in local.span : hop => hop } },
        { title = "Mean by hop, seconds", queries = { for hop, name in local.span : hop => "avg:${name}{${local.board}}" }, formulas = { for hop, name in local.span : hop => hop } },
        { title = "Errors by hop", queries = { for hop, name in local.span : hop => "sum:${name}.errors{${local.board}}.as_count()" }, formulas = { for hop, name in local.span : hop => hop } },
        { title = "Retries", queries = { a = "sum:${local.metric.retries}{${local.board}} by {upstream}.as_count()" }, formulas = { "retries" = "a" } },
        { title = "Circuit breakers: 0 closed, 1 half-open, 2 open", queries = { a = "max:${local.metric.breaker}{${local.board}} by {upstream}" }, formulas = { "state" = "a" } },
      ]
    },
    {
      title = "Tokens and cost"
      panels = [
        { title = "Tokens", queries = { a = "sum:${local.metric.tokens}{${local.board}} by {direction,model}.as_count()" }, formulas = { "tokens" = "a" } },
        { title = "Tokens an answer", queries = { t = "sum:${local.metric.tokens}{${local.board}}.as_count()", g = "sum:${local.metric.answers}{${local.board},mode:generative}.as_count()" }, formulas = { "tokens" = "t / g" } },
        { title = "Cost by OPENAI_PRICES, US dollars", queries = { a = "sum:${local.metric.cost}{${local.board}} by {model}.as_count()" }, formulas = { "cost" = "a" } },
      ]
    },
    {
      title = "Retrieval quality"
      panels = [
        { title = "Grounded answers, percent", queries = { g = "sum:${local.metric.answers}{${local.board},grounded:true}.as_count()", a = "sum:${local.metric.answers}{${local.board}}.as_count()" }, formulas = { "grounded" = "100 * default_zero(g) / a" } },
        { title = "Answers by kind", queries = { a = "sum:${local.metric.answers}{${local.board}} by {mode,grounded}.as_count()" }, formulas = { "answers" = "a" } },
        { title = "Chunks in the index", queries = { a = "max:${local.metric.chunks}{${local.board}}" }, formulas = { "chunks" = "a" } },
        { title = "Questions without evidence", queries = { a = "sum:${local.metric.abstentions}{${local.board}}.as_count()" }, formulas = { "abstentions" = "a" } },
        { title = "Citations by verdict", queries = { a = "sum:${local.metric.citations}{${local.board}} by {verdict}.as_count()" }, formulas = { "citations" = "a" } },
        { title = "Documents ingested by outcome", queries = { a = "sum:${local.metric.documents}{${local.board}} by {outcome}.as_count()" }, formulas = { "documents" = "a" } },
      ]
    },
    {
      title = "Versions side by side"
      panels = [
        { title = "Requests a second by version", queries = { a = "sum:${local.hits}} by {version}.as_rate()" }, formulas = { "requests" = "a" } },
        { title = "Error rate by version, percent", queries = { e = "sum:${local.span.request}.errors{${local.board}} by {version}.as_count()", h = "sum:${local.hits}} by {version}.as_count()" }, formulas = { "errors" = "100 * default_zero(e) / h" } },
        { title = "p95 of POST /query by version, seconds", queries = { a = "p95:${local.span.request}{${local.board},${local.query_route}} by {version}" }, formulas = { "p95" = "a" } },
        { title = "Resident memory by version, bytes", queries = { a = "max:${local.metric.memory}{${local.board}} by {version}" }, formulas = { "memory" = "a" } },
      ]
    },
  ]

  timeseries = [for group in local.groups : {
    definition = {
      type        = "group"
      layout_type = "ordered"
      title       = group.title
      widgets = [for panel in group.panels : {
        definition = {
          type        = "timeseries"
          title       = panel.title
          show_legend = true
          requests = [{
            display_type    = "line"
            response_format = "timeseries"
            queries         = [for name, query in panel.queries : { data_source = "metrics", name = name, query = query }]
            formulas        = [for alias, formula in panel.formulas : { alias = alias, formula = formula }]
          }]
        }
      }]
    }
  }]

  objectives = [{
    definition = {
      type        = "group"
      layout_type = "ordered"
      title       = "Objectives"
      widgets = [for objective in [datadog_service_level_objective.availability, datadog_service_level_objective.latency] : {
        definition = {
          type              = "slo"
          title             = objective.name
          view_type         = "detail"
          view_mode         = "overall"
          slo_id            = objective.id
          show_error_budget = true
          time_windows      = ["30d"]
        }
      }]
    }
  }]
}

# JSON, as the typed resource writes the same five groups in some nine hundred lines.
resource "datadog_dashboard_json" "this" {
  dashboard = jsonencode({
    title       = "${var.service}: answers, hops, tokens, versions"
    description = "Managed by Terraform; changes made by hand are undone."
    layout_type = "ordered"
    reflow_type = "auto"
    tags        = ["team:${var.team}"]
    template_variables = [
      { name = "service", prefix = "service", defaults = [var.service] },
      { name = "env", prefix = "env", defaults = [var.env] },
      { name = "version", prefix = "version", defaults = ["*"] },
    ]
    widgets = concat(local.timeseries, local.objectives)
  })
}
