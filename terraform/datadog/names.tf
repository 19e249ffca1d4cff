# Names that the service gives; where one changes there, it changes here and nowhere else.
locals {
  # Trace metrics (trace.NAME, .hits, .errors): counted on every request, whatever the sampling.
  # Search spans are named after the mode; hybrid is the default.
  span = {
    request = "trace.http.server.request"
    answer  = "trace.rag.answer"
    embed   = "trace.embed.query"
    search  = "trace.search.hybrid"
    llm     = "trace.chat"
  }

  # Datadog writes the resource "POST /query" so when it becomes a tag.
  query_route = "resource_name:post_/query"

  # What /metrics gives.
  exposed = {
    tokens      = "llm_tokens_total"
    answers     = "rag_answers_total"
    retries     = "upstream_retries_total"
    breaker     = "upstream_breaker_state"
    queue_depth = "embedding_queue_depth"
    in_flight   = "http_requests_in_flight"
    chunks      = "index_chunks"
    memory      = "process_resident_memory_bytes"
    cost        = "llm_cost_usd_total"
    abstentions = "rag_abstentions_total"
    citations   = "rag_citations_total"
    documents   = "ingest_documents_total"
  }

  # OTLP keeps the names. The Agent's OpenMetrics check, set up by scripts/monitoring/openmetrics.yaml, puts its
  # namespace in front and turns a counter's _total into .count.
  metric = {
    for key, name in local.exposed : key => var.metrics_path == "otlp" ? name : "rag_api.${endswith(name, "_total") ? "${trimsuffix(name, "_total")}.count" : name}"
  }

  scope = "service:${var.service},env:${var.env}"
  tags  = ["service:${var.service}", "env:${var.env}", "team:${var.team}", "managed-by:terraform"]
  tell  = join(" ", var.notify)
}
