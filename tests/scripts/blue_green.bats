#!/usr/bin/env bats
# Blue-green and rollback: one switch, the same command back, nothing built.
bats_require_minimum_version 1.5.0
load helpers

setup_file() { start_fake_app; }
teardown_file() { stop_fake_app; }
setup() { fresh_azure; }

blue_green() {
  run --separate-stderr "$ROOT/scripts/deploy_blue_green.sh" "$@"
  echo "$output"
  echo "$stderr"
}

rollback() {
  run --separate-stderr "$ROOT/scripts/rollback.sh" "$@"
  echo "$output"
  echo "$stderr"
}

@test "blue-green: staged, tested, one switch; the same command back and forth" {
  blue_green
  [ "$status" -eq 0 ]
  weights_were "v1=100 | v2=100"
  state_is "previous:v1 stable:v2" "v1 v2"
  blue_green --switch
  [ "$status" -eq 0 ]
  weights_were "v1=100 | v2=100 | v1=100"
  state_is "previous:v2 stable:v1" "v1 v2"
  blue_green --switch
  weights_were "v1=100 | v2=100 | v1=100 | v2=100"
  state_is "previous:v1 stable:v2" "v1 v2"
}

@test "blue-green: --stage stops before the switch, --switch goes on" {
  blue_green --stage
  [ "$status" -eq 0 ]
  result_is staged
  weights_were "v1=100"
  state_is "stable:v1 staging:v2" "v1 v2"
  blue_green --switch
  [ "$status" -eq 0 ]
  weights_were "v1=100 | v2=100"
  state_is "previous:v1 stable:v2" "v1 v2"
}

@test "blue-green: a bad version gets no user; one that turns bad is taken back" {
  fault 0 /query empty
  blue_green
  rolled_back_at 0 "smoke questions failed"
  fresh_azure
  fault 100 /metrics errors
  blue_green
  [ "$status" -eq 1 ]
  weights_were "v1=100 | v2=100 | v1=100"
  state_is "stable:v1" "v1"
  reason_has "error rate is too high"
}

@test "blue-green: a switch back to a version that is down is not made, labels stay" {
  blue_green
  app_fault '.faults = [{revision: "rag--v1", path: "/query", fault: "empty"}]'
  blue_green --switch
  [ "$status" -eq 1 ]
  weights_were "v1=100 | v2=100"
  state_is "previous:v1 stable:v2" "v1 v2"
}

@test "blue-green: TERM during the watch brings traffic back" {
  echo "TERM 100" >"$AZ_STUB/signal"
  blue_green
  [ "$status" -eq 143 ]
  weights_were "v1=100 | v2=100 | v1=100"
  state_is "stable:v1" "v1"
}

@test "rollback: to previous, and a second run changes nothing" {
  blue_green
  rollback
  [ "$status" -eq 0 ]
  result_is rolled-back
  weights_were "v1=100 | v2=100 | v1=100"
  state_is "stable:v1" "v1"
  rollback
  [ "$status" -eq 0 ]
  result_is nothing-to-do
  weights_were "v1=100 | v2=100 | v1=100"
}

@test "rollback: the version that is asleep is woken, a named one too" {
  blue_green
  azure_state '.revisions[0].properties.active = false | .app.properties.configuration.ingress.traffic = [{revisionName: "rag--v2", weight: 100}]'
  rollback
  [ "$status" -eq 0 ]
  state_is "stable:v1" "v1"
  rollback --to rag--v2
  [ "$status" -eq 0 ]
  state_is "stable:v2" "v2"
  rollback --to rag--none
  [ "$status" -eq 1 ]
  state_is "stable:v2" "v2"
}

@test "rollback: not to a version that is down, unless forced; nor without an older one" {
  rollback
  [ "$status" -eq 1 ]
  weights_were ""
  blue_green
  app_fault '.faults = [{revision: "rag--v1", fault: "down"}]'
  rollback
  [ "$status" -eq 1 ]
  weights_were "v1=100 | v2=100"
  state_is "previous:v1 stable:v2" "v1 v2"
  FORCE=1 rollback
  [ "$status" -eq 0 ]
  state_is "stable:v1" "v1"
}

@test "rollback ends a rollout that was killed half-way" {
  azure_state '.revisions += [(.revisions[0] | .name = "rag--half" | .properties.createdTime = "2026-11-20T00:00:00+00:00")]
    | .app.properties.configuration.ingress.traffic = [{revisionName: "rag--v1", weight: 0, label: "stable"},
      {revisionName: "rag--half", weight: 100, label: "candidate"}] | .app.tags = {"rollout-lock": "9.1.9999999999"}'
  rollback
  [ "$status" -eq 1 ]
  TAKE_OVER=1 rollback
  [ "$status" -eq 0 ]
  weights_were "v1=100"
  state_is "stable:v1" "v1"
}

@test "rollback: az fails for good: exit 4; a dry run changes nothing" {
  blue_green
  DRY_RUN=1 rollback
  result_is planned
  azure_fault '{match: "configuration", times: 9}'
  rollback
  [ "$status" -eq 4 ]
  result_is UNKNOWN-ACT-BY-HAND
  weights_were "v1=100 | v2=100"
}
