#!/usr/bin/env bash
# Asks a running server what a user would ask; see usage below.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'TEXT'
usage: smoke_test.sh BASE_URL

Checks health, readiness, an answer with a citation, the same as a stream of events, and that bad input is refused with
problem+json. SMOKE_QUESTION must have an answer in the server's index; the default fits the sample documents.
SMOKE_CITATIONS=0 accepts an answer without a citation, as from an empty index. SMOKE_STREAM: required, none (not asked
for), or auto: a server that answers 422 to "stream" is older than streaming and that check is skipped.

Examples: ./scripts/smoke_test.sh http://127.0.0.1:8000
          SMOKE_QUESTION="How many days of leave do I have?" ./scripts/smoke_test.sh https://rag.example.com
Exit codes: 0 all passed, 1 something failed (named), 2 wrong usage.
TEXT
}

: "${SMOKE_QUESTION:=How many characters may a question have?}" "${SMOKE_CITATIONS:=1}" "${SMOKE_STREAM:=auto}" "${SMOKE_SECONDS:=60}"

main() {
  case ${1:-} in
    --help | -h) usage && return ;;
    http://?* | https://?*) base=${1%/} ;;
    *) die 2 "BASE_URL is '${1:-}': http://… or https://… is wanted; see --help" ;;
  esac
  [[ $# -eq 1 && $SMOKE_STREAM =~ ^(auto|required|none)$ ]] || die 2 "see --help"
  require_tools curl jq
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  passed=0 skipped=0

  check "health" get_health
  check "ready" get_ready
  check "query" post_query
  check "stream" post_stream
  check "bad input" post_bad
  check "unknown route" get_unknown
  printf '%d passed, %d skipped: %s\n' "$passed" "$skipped" "$base"
}

# Exit code 3 of a check is "this server has no such thing yet".
check() {
  local code=0
  "$2" || code=$?
  case $code in
    0) passed=$((passed + 1)) && note "passed: $1" ;;
    3) skipped=$((skipped + 1)) && note "SKIPPED: $1" ;;
    *) die 1 "$1 failed at $base: ${why:-}" ;;
  esac
}

# ask METHOD PATH [BODY]: status in $status, body in $work/body, headers in $work/headers.
ask() {
  : >"$work/body"
  status=$(curl -sS --no-buffer --max-time "$SMOKE_SECONDS" -X "$1" -H 'content-type: application/json' ${3+--data-binary "$3"} \
    -D "$work/headers" -o "$work/body" -w '%{http_code}' "$base$2" 2>"$work/error") || true
  why="$1 $2 was answered $status $(tail -n 1 "$work/error") $(head -c 300 "$work/body")"
}

says() { jq -e "$1" "$work/body" >/dev/null 2>&1; }
type_is() { grep -qiE "^content-type: *$1" "$work/headers"; }

get_health() { ask GET /health && [[ $status == 200 ]] && says '.status == "ok" and (.version | length > 0)'; }
get_ready() { ask GET /ready && [[ $status == 200 ]]; }

post_query() {
  ask POST /query "$(jq -nc --arg q "$SMOKE_QUESTION" '{question: $q, top_k: 3}')"
  [[ $status == 200 ]] && says '(.answer | length > 0) and (.contexts | type == "array") and .metadata.trace_id' || return 1
  ((SMOKE_CITATIONS)) || return 0
  # A quoted sentence must come from one of the passages that were returned with it.
  # shellcheck disable=SC2016 # $ids is jq's
  says '.metadata.grounded and (.citations | length > 0) and ([.contexts[].id] as $ids | all(.citations[]; .context_id | IN($ids[])))' ||
    { why="no citation of a returned passage: ${why:-}" && return 1; }
}

post_stream() {
  [[ $SMOKE_STREAM != none ]] || return 3
  ask POST /query "$(jq -nc --arg q "$SMOKE_QUESTION" '{question: $q, stream: true}')"
  if [[ $status == 422 && $SMOKE_STREAM == auto ]] && says '.detail | test("stream")'; then
    return 3
  fi
  [[ $status == 200 ]] && type_is text/event-stream || return 1
  local events
  events=$(tr -d '\r' <"$work/body" | sed -nE 's/^event: *//p' | uniq | paste -sd' ')
  [[ $events =~ ^contexts( delta)?\ done$ ]] || { why="the events were '$events', not contexts, delta, done" && return 1; }
  last_data | jq -e '.metadata.trace_id and (.citations | type == "array")' >/dev/null ||
    { why="the event done has no citations or metadata" && return 1; }
}

last_data() { tr -d '\r' <"$work/body" | awk '/^event:/ { done = /done$/ } done && /^data:/ { sub(/^data: ?/, ""); print }'; }

post_bad() {
  local body
  for body in '{"question": "   "}' '{"question": "x", "typo": 1}' '{"question"'; do
    ask POST /query "$body"
    [[ $status == 422 ]] && type_is application/problem\\+json && says '.code == "invalid_request" and .status == 422 and .trace_id' || return 1
  done
}

get_unknown() { ask GET /no-such-route && [[ $status == 404 ]] && says '.code == "not_found"'; }

main "$@"
