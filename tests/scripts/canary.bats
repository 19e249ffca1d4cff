#!/usr/bin/env bats
# The canary's course: what users meet, in order, and what is left in the end.
bats_require_minimum_version 1.5.0
load helpers

setup_file() { start_fake_app; }
teardown_file() { stop_fake_app; }
setup() { fresh_azure; }

readonly CLIMB='v1=100 | v1=90 v2=10 | v1=50 v2=50 | v2=100'

@test "climbs 0 10 50 100; the old revision stays warm as previous" {
  canary
  [ "$status" -eq 0 ]
  weights_were "$CLIMB"
  state_is "previous:v1 stable:v2" "v1 v2"
  result_is promoted
  [ "$(jq -c .weights <<<"$output")" = "[0,10,50,100]" ]
  [ "$(jq -r '.revisions[1].properties | "\(.template.containers[0].image) \(.env | keys | join(","))"' "$AZ_STUB/state.json")" = \
    "$IMAGE APP_VERSION,BUILD_SHA,IMAGE_TAG" ]
}

@test "steps and bake times are variables" {
  STEPS="25 100" BAKE_SECONDS="40 90" canary
  [ "$status" -eq 0 ]
  weights_were "v1=100 | v1=75 v2=25 | v2=100"
  # 40 s are 30 and 10, 90 s are three times 30; nothing is baked at 0 %, where no user comes.
  [ "$(grep -cx 30 "$AZ_STUB/ticks")" -eq 4 ]
}

@test "dry run: nothing is changed, the plan names every weight" {
  DRY_RUN=1 canary
  [ "$status" -eq 0 ]
  [ "$(jq -r '.[0:3] | join(" ")' "$AZ_STUB/calls.log" | sort -u | paste -sd,)" = \
    "containerapp revision list,containerapp show --name" ]
  result_is planned
  [ "$(grep -c 'would set' <<<"$stderr")" -eq 4 ]
}

@test "the second rollout retires the revision before the last" {
  canary
  REVISION_SUFFIX=v3 canary
  [ "$status" -eq 0 ]
  weights_were "$CLIMB | v2=90 v3=10 | v2=50 v3=50 | v3=100"
  state_is "previous:v2 stable:v3" "v2 v3"
}

@test "a failed rollout leaves previous where it was" {
  canary
  app_fault '.faults = [{revision: "rag--v3", at: 10, path: "/health", fault: "down"}]'
  REVISION_SUFFIX=v3 canary
  [ "$status" -eq 1 ]
  weights_were "$CLIMB | v2=90 v3=10 | v2=100"
  state_is "previous:v1 stable:v2" "v1 v2"
}

@test "first deployment: nobody to compare with, nobody to go back to" {
  azure_state '.app.properties.configuration.ingress.traffic = [] | .revisions = []'
  canary
  [ "$status" -eq 0 ]
  weights_were " | v2=100"
  state_is "stable:v2" "v2"
  result_is promoted
}

@test "first deployment that fails says that a person is needed" {
  azure_state '.app.properties.configuration.ingress.traffic = [] | .revisions = []'
  fault 100 /query empty
  canary
  [ "$status" -eq 4 ]
  result_is UNKNOWN-ACT-BY-HAND
}

@test "a placeholder serves: absolute limits decide" {
  app_fault '.faults = [{revision: "rag--v1", fault: "down"}]'
  canary
  [ "$status" -eq 0 ]
  weights_were "$CLIMB"
}

@test "a placeholder serves: absolute limits are enforced" {
  app_fault '.faults = [{revision: "rag--v1", fault: "down"}, {revision: "rag--v2", at: 10, path: "/metrics", fault: "errors"}]'
  canary
  rolled_back_at 10 "error rate is too high"
}

@test "BASELINE=required refuses a stable revision that does not answer" {
  app_fault '.faults = [{revision: "rag--v1", fault: "down"}]'
  BASELINE=required canary
  rolled_back_at 0 "BASELINE=required"
}

@test "single revision mode becomes multiple before anything else" {
  azure_state '.app.properties.configuration.activeRevisionsMode = "Single"'
  canary
  [ "$status" -eq 0 ]
  weights_were "$CLIMB"
  [ "$(jq -r '.app.properties.configuration.activeRevisionsMode' "$AZ_STUB/state.json")" = Multiple ]
}

@test "several labels: one revision with two, another's kept, old copies of ours moved" {
  azure_state '.revisions += [(.revisions[0] | .name = "rag--v0")]
    | .app.properties.configuration.ingress.traffic = [{revisionName: "rag--v1", weight: 60, label: "stable"},
      {revisionName: "rag--v1", weight: 40, label: "demo"}, {revisionName: "rag--v0", weight: 0, label: "audit"},
      {latestRevision: true, weight: 0, label: "candidate"}]'
  canary
  [ "$status" -eq 0 ]
  weights_were "$CLIMB"
  state_is "audit:v0 demo:v1 previous:v1 stable:v2" "v0 v1 v2"
}

@test "a label on an inactive revision is dropped, as Azure would refuse it" {
  azure_state '.revisions += [(.revisions[0] | .name = "rag--v0" | .properties.active = false)]
    | .app.properties.configuration.ingress.traffic = [{revisionName: "rag--v1", weight: 100},
      {revisionName: "rag--v0", weight: 0, label: "audit"}]'
  canary
  [ "$status" -eq 0 ]
  state_is "previous:v1 stable:v2" "v1 v2"
}

half_done() {
  azure_state ".revisions += [(.revisions[0] | .name = \"rag--half\" | .properties.env = {APP_VERSION: \"1.9.0\", IMAGE_TAG: \"x\"})]
    | .app.properties.latestRevisionName = \"rag--half\" | .app.properties.latestReadyRevisionName = \"rag--half\"
    | .app.properties.configuration.ingress.traffic = [{revisionName: \"rag--v1\", weight: $((100 - $1)), label: \"stable\"},
      {revisionName: \"rag--half\", weight: $1, label: \"candidate\"}] | .app.tags = {\"rollout-lock\": \"77.1.$2\"}"
}

@test "re-run after a run killed at 50 %: that one is undone first" {
  half_done 50 9999999999
  GITHUB_RUN_ID=77 canary
  [ "$status" -eq 0 ]
  weights_were "$CLIMB"
  state_is "previous:v1 stable:v2" "v1 v2"
}

@test "re-run after a run killed at 100 %, which was never confirmed; its lock is old" {
  half_done 100 1000
  canary
  [ "$status" -eq 0 ]
  weights_were "$CLIMB"
  state_is "previous:v1 stable:v2" "v1 v2"
}

@test "re-run whose revision exists already" {
  azure_state '.revisions += [(.revisions[0] | .name = "rag--v2" | .properties.active = false
    | .properties.template.containers[0].image = "'"$IMAGE"'" | .properties.env = {APP_VERSION: "2.0.0", IMAGE_TAG: "sha-abcdef1"})]'
  canary
  [ "$status" -eq 0 ]
  weights_were "$CLIMB"
}

@test "a revision of that name with another image is refused" {
  azure_state '.revisions += [(.revisions[0] | .name = "rag--v2")]'
  canary
  rolled_back_at 0 "another image"
}

@test "--abort undoes a killed run of its own job, not one that is at work; twice is no harm" {
  half_done 50 9999999999
  canary --abort
  [ "$status" -eq 1 ]
  weights_were ""
  GITHUB_RUN_ID=77 canary --abort
  [ "$status" -eq 0 ]
  weights_were "v1=100"
  state_is "stable:v1" "v1"
  canary --abort
  [ "$status" -eq 0 ]
  weights_were "v1=100"
}

@test "traffic split by somebody else is not decided here" {
  azure_state '.revisions += [(.revisions[0] | .name = "rag--v0")] | .app.properties.configuration.ingress.traffic =
    [{revisionName: "rag--v1", weight: 60}, {revisionName: "rag--v0", weight: 40}]'
  canary
  [ "$status" -eq 1 ]
  weights_were ""
  result_is refused
}

@test "a lock of another run is respected, unless it is taken over" {
  azure_state '.app.tags = {"rollout-lock": "other.1.9999999999"}'
  canary
  [ "$status" -eq 1 ]
  weights_were ""
  reason_has "another rollout (other)"
  TAKE_OVER=1 canary
  [ "$status" -eq 0 ]
  weights_were "$CLIMB"
}

@test "two runs start in the same moment: who does not find its own lock stops" {
  azure_state '.rival = {"rollout-lock": "rival.1.9999999999"}'
  canary
  [ "$status" -eq 1 ]
  weights_were ""
  reason_has "same moment"
}

@test "the image is named by digest, settings are checked before anything is touched" {
  IMAGE=ghcr.io/acme/rag-api:latest canary
  [ "$status" -eq 2 ]
  STEPS="50 10 100" canary
  [ "$status" -eq 2 ]
  unset BUILD_SHA IMAGE_TAG
  canary
  [ "$status" -eq 2 ]
  [[ $stderr == *"set BUILD_SHA IMAGE_TAG"* ]]
  [ ! -s "$AZ_STUB/calls.log" ]
}
