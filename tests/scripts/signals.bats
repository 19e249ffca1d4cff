#!/usr/bin/env bats
# The arithmetic of the verdicts, without any server.
bats_require_minimum_version 1.5.0
load helpers

setup() { cd "$BATS_TEST_TMPDIR" && mkdir before after; }

signals() { python3 "$ROOT/scripts/deploy/signals.py" "$@"; }

# scrape FILE START OK FAILED FAST SLOW: FAST within 0.1 s, SLOW between 1 and 2.5 s.
scrape() {
  printf '%s\n' "process_start_time_seconds $2" "startup_seconds{phase=\"load\"} 0.$2" \
    "http_requests_total{method=\"POST\",route=\"/query\",status=\"200\"} $3" "http_requests_total{method=\"POST\",route=\"/query\",status=\"503\"} $4" \
    "http_requests_total{method=\"POST\",route=\"/query\",status=\"422\"} 0" "http_requests_total{method=\"GET\",route=\"/ready\",status=\"503\"} 500" \
    "http_request_duration_seconds_bucket{route=\"/query\",le=\"0.1\"} $5" "http_request_duration_seconds_bucket{route=\"/query\",le=\"1\"} $5" \
    "http_request_duration_seconds_bucket{route=\"/query\",le=\"2.5\"} $(($5 + $6))" "http_request_duration_seconds_bucket{route=\"/query\",le=\"+Inf\"} $(($5 + $6))" >"$1.prom"
}

field() { signals metrics before after "${2:-1000}" | jq "$1"; }

@test "replicas are told apart, only what was counted in between matters" {
  scrape before/1 100 1000 500 1400 100
  scrape before/2 200 50 0 50 0
  scrape after/1 200 140 10 150 0
  scrape after/2 100 1100 500 1500 100
  scrape after/3 100 1100 500 1500 100
  [ "$(field '[.requests, .errors]')" = "$(jq -n '[200.0, 10.0]' | jq .)" ]
}

@test "a replica that started meanwhile counts from zero, one not met before tells nothing" {
  scrape before/1 100 10 0 10 0
  scrape after/1 100 20 0 20 0
  scrape after/2 1500 7 3 10 0
  scrape after/3 500 9000 9000 9000 0
  [ "$(field '[.requests, .errors, .started] | map(floor)' | jq -c .)" = "[20,3,1]" ]
}

@test "p95 is linear within its bucket, as Prometheus computes it" {
  scrape before/1 100 0 0 0 0
  scrape after/1 100 100 0 90 10
  # Half of the last ten lie below rank 95: 1 + 1.5 * 5 / 10.
  [ "$(field .p95)" = 1.75 ]
  scrape after/1 100 0 0 0 0
  [ "$(field .p95)" = null ]
}

side() { jq -nc --argjson r "$1" --argjson e "$2" --argjson p "$3" '{source: "x", requests: $r, errors: $e, p95: $p, probes: 0, probes_failed: 0}'; }

# verdict CODE CANDIDATE STABLE
verdict() {
  side $2 >new.json
  side $3 >old.json
  run signals judge new.json old.json
  echo "$output"
  [ "$status" -eq "$1" ]
}

@test "limits at their edges" {
  export MIN_REQUESTS=50
  verdict 0 "100 1 0.2" "100 0 0.2"
  verdict 1 "100 2 0.2" "100 0 0.2"
  verdict 0 "100 5 0.2" "100 4 0.2"
  verdict 1 "100 6 0.2" "100 6 0.2"
  verdict 0 "100 0 0.4" "100 0 0.2"
  verdict 1 "100 0 0.41" "100 0 0.2"
  verdict 1 "100 0 11" "100 0 9"
  verdict 3 "49 0 0.2" "100 0 0.2"
  verdict 3 "100 0 0.2" "49 0 0.2"
  verdict 3 "100 0 null" "100 0 0.2"
}

@test "requests that never reached the process are known from our own" {
  printf 'probe-0 200 0.1\nprobe-1 000 0.0\nprobe-2 502 0.1\n' >probes
  scrape before/1 100 0 0 0 0
  scrape after/1 100 1 0 1 0
  signals metrics before after 1000 probes >new.json
  run signals judge new.json
  [ "$status" -eq 1 ]
  [[ $output == *"2 of 3 probes failed"* ]]
}
