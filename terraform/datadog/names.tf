# Names that the service gives; where one changes there, it changes here and nowhere else.
locals {
  # Trace metrics (trace.NAME, .hits, .errors): counted on every request, whatever the sampling.
  span = {
    request = "trace.http.server.request"
    answer  = "trace.rag.answer"
    embed   = "trace.embed.query"
    search  = "trace.search.hybrid"
    llm     = "trace.chat"
  }

  # Datadog writes the resource "POST /query" so when it becomes a tag.
  query_route = "resource_name:post_/query"

  # What /metrics gives, as scripts/monitoring/openmetrics.yaml has it scraped: counters lose _total and end in .count.
  metric = {
    tokens      = "rag_api.llm_tokens.count"
    answers     = "rag_api.rag_answers.count"
    retries     = "rag_api.upstream_retries.count"
    breaker     = "rag_api.upstream_breaker_state"
    queue_depth = "rag_api.embedding_queue_depth"
    in_flight   = "rag_api.http_requests_in_flight"
    chunks      = "rag_api.index_chunks"
    memory      = "rag_api.process_resident_memory_bytes"
  }

  scope = "service:${var.service},env:${var.env}"
  tags  = ["service:${var.service}", "env:${var.env}", "team:${var.team}", "managed-by:terraform"]
  tell  = join(" ", var.notify)
}
