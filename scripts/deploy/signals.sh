# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with the script that sources this
# Watches the candidate against the stable revision; sourced, never run. What was seen is judged by signals.py and golden.py.

: "${MIN_REQUESTS:=50}" "${METRICS_SCRAPES:=12}" "${DD_SITE:=datadoghq.com}" "${DD_LAG_SECONDS:=120}" "${DD_QUERY_TRIES:=5}"
: "${BAKE_SLICE_SECONDS:=30}" "${BASELINE:=auto}"
export MIN_REQUESTS

signals_py() { python3 "$deploy_root/scripts/deploy/signals.py" "$@"; }

# Datadog tells revisions apart by their version alone.
choose_source() {
  signal_source=metrics
  [[ -n ${DD_API_KEY:-} && -n ${DD_APP_KEY:-} ]] || return 0
  require_variables DD_SERVICE DD_ENV
  if [[ ${stable_version:-} == "$APP_VERSION" ]]; then
    note "both revisions have version $APP_VERSION, which Datadog cannot tell apart: /metrics is read instead"
  else
    signal_source=datadog
  fi
}

# watch SECONDS FOLDER: the bake of one step. Looks at health every slice, so that a dead revision is not baked on.
watch() {
  local left=$1 folder=$2 slice since
  topped_up=0
  since=$(date +%s)
  if [[ $signal_source == metrics ]]; then
    scrape candidate "$folder/candidate/before" || return 1
    [[ -z $baseline ]] || scrape stable "$folder/stable/before" || return 1
  fi
  while ((left > 0)); do
    slice=$((left < BAKE_SLICE_SECONDS ? left : BAKE_SLICE_SECONDS))
    pause "$slice"
    left=$((left - slice))
    healthy "$(side_url candidate)" "$APP_VERSION" "$IMAGE_TAG" || { reason="the candidate became unhealthy" && return 1; }
  done
  measure "$folder" "$since" || return 1
  top_up candidate "$folder" && { [[ -z $baseline ]] || top_up stable "$folder"; } || return 1
  if [[ $topped_up == 1 ]]; then
    measure "$folder" "$since" || return 1
  fi
  judge "$folder"
}

# scrape LABEL FOLDER: a connection each time, as each may reach another replica.
scrape() {
  local number
  mkdir -p "$2"
  for ((number = 0; number < METRICS_SCRAPES; number++)); do
    printf 'url = "%s/metrics"\noutput = "%s/%02d.prom"\n' "$(side_url "$1")" "$2" "$number"
  done >"$work/scrape.curl"
  curl -sS --fail --max-time 60 -H 'connection: close' --config "$work/scrape.curl" 2>"$work/curl.err" ||
    { reason="/metrics of the $1 revision cannot be read: $(head -n 1 "$work/curl.err")" && return 1; }
}

measure() {
  local side
  for side in candidate ${baseline:+stable}; do
    measure_"$signal_source" "$side" "$1" "$2" || return 1
  done
}

measure_metrics() {
  rm -rf "$2/$1/after"
  scrape "$1" "$2/$1/after" || return 1
  signals_py metrics "$2/$1/before" "$2/$1/after" "$3" "$2/$1/probes" >"$2/$1.json" ||
    { reason="the metrics of the $1 revision cannot be understood" && return 1; }
}

# Numbers arrive a minute or two late; what stays absent is reported as absent.
measure_datadog() {
  local version=$APP_VERSION try
  [[ $1 == candidate ]] || version=$stable_version
  mkdir -p "$2/$1"
  pause "$DD_LAG_SECONDS"
  for ((try = 1; ; try++)); do
    signals_py body "$DD_SERVICE" "$DD_ENV" "$version" "$3" "$(date +%s)" >"$work/dd.body"
    datadog POST /api/v2/query/scalar "$work/dd.body" "$work/dd.reply" || { reason="Datadog was not readable: $datadog_error" && return 1; }
    signals_py datadog "$work/dd.reply" "$2/$1/probes" >"$2/$1.json" || { reason="Datadog's reply cannot be understood" && return 1; }
    if ((try >= DD_QUERY_TRIES)) || jq -e --argjson least "$MIN_REQUESTS" '.requests >= $least' "$2/$1.json" >/dev/null; then
      return 0
    fi
    pause 30
  done
}

# top_up LABEL FOLDER: users may be few; what is missing to MIN_REQUESTS we ask ourselves.
top_up() {
  local missing
  missing=$(jq --argjson least "$MIN_REQUESTS" '[$least - .requests | ceil, 0] | max' "$2/$1.json")
  ((missing > 0)) || return 0
  note "$missing questions of our own to the $1 revision"
  topped_up=1
  probe "$(side_url "$1")" "$missing" "$2/$1" || { reason="no questions could be sent to the $1 revision" && return 1; }
}

judge() {
  local said code=0
  said=$(signals_py judge "$1/candidate.json" ${baseline:+"$1/stable.json"}) || code=$?
  note "$said"
  ((code == 0)) || { reason="$said" && return 1; }
}

# compare_golden FOLDER
compare_golden() {
  local said code=0
  [[ $GOLDEN_DIR != none ]] || { note "GOLDEN_DIR=none: retrieval quality is not compared" && return 0; }
  ask_golden "$(side_url candidate)" "$1/golden-candidate" || { reason="the golden questions cannot be read from $GOLDEN_DIR" && return 1; }
  [[ -z $baseline ]] || ask_golden "$(side_url stable)" "$1/golden-stable" || return 1
  said=$(golden_py compare "$GOLDEN_DIR" "$GOLDEN_FOREIGN" "$1/golden-candidate" \
    ${baseline:+"$1/golden-stable"}) || code=$?
  while IFS= read -r line; do note "$line"; done <<<"$said"
  ((code == 0)) || { reason="retrieval quality: $(grep -E 'TOO LOW|measure nothing|no golden|must be|no questions' <<<"$said" | head -n 1)" && return 1; }
}
