#!/usr/bin/env bash
# From a fresh clone to an answer; see usage below.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'TEXT'
usage: ./scripts/run.sh                    build, fetch the model, ingest data/, start the server, ask a question
       ./scripts/run.sh --once "QUESTION"  the same without a server: print the answer and exit
       ./scripts/run.sh --help

Settings come from the environment and .env, as for rag-api itself: PORT=8001 ./scripts/run.sh
Exit codes: 0 done, 1 the work failed, 2 wrong usage or something is missing.
TEXT
}

readonly FIRST_QUESTION="How many characters may a question have?"
server=

main() {
  local once=
  case ${1:-} in
    '') ;;
    --help | -h) usage && return ;;
    --once)
      [[ $# -eq 2 && -n ${2//[[:space:]]/} ]] || die 2 "--once needs one question in quotes; see --help"
      once=$2
      ;;
    *) die 2 "unknown argument '$1'; see --help" ;;
  esac
  [[ -n $once || $# -eq 0 ]] || die 2 "too many arguments; see --help"
  cd "$(dirname "${BASH_SOURCE[0]}")/.."

  step "checking the toolchain"
  require_toolchain
  [[ -n $once ]] || require_free_port
  step "building (the first time takes several minutes)"
  cargo build --release --locked >&2
  step "fetching the model"
  "$(binary)" model fetch >&2
  step "ingesting data/"
  "$(binary)" ingest data/ >&2
  if [[ -n $once ]]; then
    step "asking"
    "$(binary)" query "$once"
  else
    serve_and_ask
  fi
}

# Before the build, so that nobody waits minutes for this message.
require_free_port() {
  have curl || die 2 "curl was not found: install it, or ask without a server: ./scripts/run.sh --once \"QUESTION\""
  host=$(setting HOST 127.0.0.1)
  port=$(setting PORT 8000)
  case $host in
    0.0.0.0) host=127.0.0.1 ;;
    ::) host=::1 ;;
  esac
  [[ $port =~ ^[0-9]{1,5}$ && $port -ge 1 && $port -le 65535 ]] ||
    die 2 "PORT is '$port': this script needs a port from 1 to 65535"
  if (exec 3<>"/dev/tcp/$host/$port") 2>/dev/null; then
    die 1 "port $port is in use: stop the process that listens there, or choose another: PORT=$((port % 65535 + 1)) $0"
  fi
}

serve_and_ask() {
  local address=$host
  [[ $host != *:* ]] || address="[$host]"
  local url="http://$address:$port" body
  step "starting the server at $url"
  trap stop EXIT
  trap 'exit 0' INT TERM
  "$(binary)" serve &
  server=$!
  wait_until_ready "$url"

  step "asking over HTTP"
  local request="{\"question\": \"$FIRST_QUESTION\"}"
  body=$(curl -sS --fail-with-body --max-time 120 "$url/query" -H 'content-type: application/json' -d "$request") ||
    die 1 "the question was refused: $body"
  printf "\n\$ curl -s %s/query -H 'content-type: application/json' -d '%s'\n" "$url" "$request"
  pretty <<<"$body"
  printf '\nQuestion: %s\nAnswer:   %s\n' "$FIRST_QUESTION" "$(answer_of "$body")"
  printf "\nAsk your own:\n  curl -s %s/query -H 'content-type: application/json' -d '{\"question\": \"…\"}'\n" "$url"
  printf 'The server goes on; Ctrl-C stops it.\n\n'
  wait "$server"
}

wait_until_ready() {
  local deadline=$((SECONDS + 120))
  until curl -sf --max-time 5 -o /dev/null "$1/ready"; do
    kill -0 "$server" 2>/dev/null || die 1 "the server ended before it was ready; its messages are above"
    ((SECONDS < deadline)) ||
      die 1 "the server is not ready after 120 s: $(curl -s --max-time 5 "$1/ready" || echo 'no answer')"
    sleep 0.2
  done
}

stop() {
  local code=$?
  trap - EXIT INT TERM
  if [[ -n $server ]] && kill -TERM "$server" 2>/dev/null; then
    step "stopping the server"
    wait "$server" || true
  fi
  exit "$code"
}

pretty() {
  if have jq; then
    jq .
  elif have python3; then
    python3 -c 'import json, sys; print(json.dumps(json.load(sys.stdin), indent=2, ensure_ascii=False))'
  else
    cat
  fi
}

answer_of() {
  if have jq; then
    jq -r .answer <<<"$1"
  elif have python3; then
    python3 -c 'import json, sys; print(json.load(sys.stdin)["answer"])' <<<"$1"
  else
    echo "in the field \"answer\" above"
  fi
}

main "$@"
