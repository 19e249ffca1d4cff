#!/usr/bin/env bats
# smoke_test.sh notices what it is there for.
bats_require_minimum_version 1.5.0
load helpers

setup_file() { start_fake_app; }
teardown_file() { stop_fake_app; }
setup() {
  fresh_azure
  azure_state '.app.properties.configuration.ingress.traffic = [{revisionName: "rag--v1", weight: 100, label: "stable"}]'
  export SMOKE_QUESTION="Where is the manual?" SMOKE_STREAM=required
}

smoke() {
  run --separate-stderr "$ROOT/scripts/smoke_test.sh" https://rag---stable.env.example.azurecontainerapps.io/
  echo "$output$stderr"
}

@test "a good server passes all six, streaming included" {
  smoke
  [ "$status" -eq 0 ]
  [[ $output == "6 passed, 0 skipped"* ]]
}

@test "what is wrong is named" {
  local fault
  for fault in "/health down health" "/ready 503 ready" "/query empty query" "/query silent query" "/query events stream" "/query plain stream" \
    "/query lenient bad" "/query down query"; do
    read -r path kind name <<<"$fault"
    app_fault ".faults = [{revision: \"rag--v1\", path: \"$path\", fault: \"$kind\"}]"
    smoke
    [ "$status" -eq 1 ]
    [[ $stderr == *"error: $name"* ]]
  done
  run "$ROOT/scripts/smoke_test.sh" ftp://x
  [ "$status" -eq 2 ]
}

@test "no answer at all is a failure, not a hang" {
  https_proxy= run "$ROOT/scripts/smoke_test.sh" http://127.0.0.1:9
  [ "$status" -eq 1 ]
}
