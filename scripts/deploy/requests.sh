# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with the script that sources this
# What a revision is asked over its label's address; sourced, never run. curl is the one door to the network.

: "${HEALTH_TRIES:=3}" "${READY_TRIES:=60}" "${READY_SECONDS:=5}" "${GOLDEN_DIR:=tests/golden}" "${GOLDEN_PARALLEL:=4}"
: "${GOLDEN_FOREIGN:=scripts/deploy/foreign.txt}"

# label_url LABEL: Container Apps puts three dashes between the app's name and a label.
label_url() {
  printf 'https://%s---%s.%s' "${fqdn%%.*}" "$1" "${fqdn#*.}"
}

# side_url candidate|stable
side_url() { label_url "$([[ $1 == candidate ]] && printf '%s' "$candidate_label" || printf '%s' "$1")"; }

fetch() { curl -sS --fail-with-body --max-time "${REQUEST_SECONDS:-30}" --output "$2" "$1" 2>"$work/curl.err"; }

# is_ours URL: the service's own /health, whatever its version.
is_ours() { fetch "$1/health" "$work/health.json" && jq -e '.status == "ok" and .version and .service' "$work/health.json" >/dev/null 2>&1; }

# healthy URL VERSION IMAGE_TAG: a label that still points at another revision must not pass for this one.
healthy() {
  local try found
  for ((try = 1; ; try++)); do
    if is_ours "$1"; then
      found=$(jq -r '"\(.version) \(.image_tag)"' "$work/health.json")
      [[ $found == "$2 $3" ]] && return 0
      note "$1/health is answered by version $found, not by $2 $3"
    else
      note "$1/health: $(head -n 1 "$work/curl.err")"
    fi
    ((try < HEALTH_TRIES)) || return 1
    pause "$READY_SECONDS"
  done
}

ready() {
  local try
  for ((try = 1; ; try++)); do
    fetch "$1/ready" "$work/ready.json" && return 0
    ((try < READY_TRIES)) || break
    pause "$READY_SECONDS"
  done
  note "$1/ready: $(head -n 1 "$work/curl.err") $(head -c 300 "$work/ready.json" 2>/dev/null)"
  return 1
}

warm() { fetch "$1/warmup" "$work/warmup.json"; }

smoke() {
  SMOKE_QUESTION=${SMOKE_QUESTION:-$(first_golden_question)} "$deploy_root/scripts/smoke_test.sh" "$1" >"$work/smoke" 2>&1 || {
    sed 's/^/        /' "$work/smoke" >&2
    return 1
  }
}

first_golden_question() { [[ ! -f $GOLDEN_DIR/queries.jsonl ]] || head -n 1 "$GOLDEN_DIR/queries.jsonl" | jq -r .text; }

# ask_golden URL FOLDER: each question once; replies and statuses are left in FOLDER, to be scored by golden.py.
ask_golden() {
  mkdir -p "$2"
  golden_py requests "$1" "$GOLDEN_DIR" "$GOLDEN_FOREIGN" "$2" >"$work/questions.curl" || return 1
  send_requests >"$2/statuses"
}

# probe URL COUNT FOLDER: traffic of our own where users bring too little; the status of each lands in FOLDER/probes.
probe() {
  mkdir -p "$3"
  golden_py probes "$1" "$GOLDEN_DIR" "$2" "$3" "${SMOKE_QUESTION:-What is this about?}" >"$work/questions.curl" || return 1
  send_requests >>"$3/probes"
}

golden_py() { python3 "$deploy_root/scripts/deploy/golden.py" "$@"; }

# A request that fails is an observation, not an error of the script: its status, 000 for no answer, says so.
send_requests() {
  curl -sS --no-progress-meter --parallel --parallel-max "$GOLDEN_PARALLEL" --config "$work/questions.curl" 2>"$work/curl.err" || true
}
