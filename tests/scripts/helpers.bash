# shellcheck shell=bash
# What the tests of the scripts share: a fake app for a file, a fresh Azure for a test, and what is asserted on them.

export ROOT=$BATS_TEST_DIRNAME/../..
readonly DIGEST=sha256:1111111111111111111111111111111111111111111111111111111111111111
export IMAGE=ghcr.io/acme/rag-api@$DIGEST

start_fake_app() {
  export APP_FOLDER=$BATS_FILE_TMPDIR/app
  mkdir -p "$APP_FOLDER/bin"
  # Python itself, where a version manager's wrapper would cost more than what it starts.
  ln -s "$(python3 -c 'import sys; print(sys.executable)')" "$APP_FOLDER/bin/python3"
  PATH=$APP_FOLDER/bin:$PATH
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=stub -keyout "$APP_FOLDER/key.pem" \
    -out "$APP_FOLDER/cert.pem" -addext 'subjectAltName=DNS:*.env.example.azurecontainerapps.io,DNS:*.datadoghq.com' 2>/dev/null
  python3 "$BATS_TEST_DIRNAME/fake_app.py" "$APP_FOLDER" >"$APP_FOLDER/log" 2>&1 3>&- &
  echo $! >"$APP_FOLDER/pid"
  for _ in $(seq 100); do
    [[ ! -s $APP_FOLDER/port ]] || return 0
    command sleep 0.05
  done
  return 1
}

stop_fake_app() { kill "$(cat "$BATS_FILE_TMPDIR/app/pid")"; }

# Revision v1 serves; curl reaches the fake app as its proxy, the scripts know nothing of it.
fresh_azure() {
  export AZ_STUB=$BATS_TEST_TMPDIR/az
  export https_proxy=http://${AZ_STUB//\//%2F}:@127.0.0.1:$(cat "$APP_FOLDER/port") CURL_CA_BUNDLE=$APP_FOLDER/cert.pem no_proxy=
  mkdir -p "$AZ_STUB"
  rm -f "$AZ_STUB"/{datadog.log,points,signal}
  jq -n --arg image "ghcr.io/acme/rag-api@sha256:old" '{
    app: {id: "/subscriptions/s/resourceGroups/rg/providers/Microsoft.App/containerApps/rag", name: "rag", properties: {
      provisioningState: "Succeeded", latestRevisionName: "rag--v1", latestReadyRevisionName: "rag--v1", template: {containers: [{name: "api"}]}, configuration: {
        activeRevisionsMode: "Multiple", ingress: {fqdn: "rag.env.example.azurecontainerapps.io",
          traffic: [{latestRevision: true, weight: 100}]}}}},
    revisions: [{name: "rag--v1", properties: {active: true, fqdn: "rag--v1.env.example.azurecontainerapps.io", createdTime: "2026-11-01T00:00:00+00:00", provisioningState: "Provisioned",
      healthState: "Healthy", runningState: "Running", env: {APP_VERSION: "1.0.0", IMAGE_TAG: "sha-old"},
      template: {containers: [{name: "api", image: $image}]}}}],
    faults: [], weights: []}' >"$AZ_STUB/state.json"
  echo '{}' >"$AZ_STUB/app.json"
  : >"$AZ_STUB/calls.log"
  export PATH=$BATS_TEST_DIRNAME/bin:$APP_FOLDER/bin:$PATH
  export AZURE_RESOURCE_GROUP=rg CONTAINER_APP_NAME=rag APP_VERSION=2.0.0 BUILD_SHA=abcdef1 IMAGE_TAG=sha-abcdef1 REVISION_SUFFIX=v2
  export GOLDEN_DIR=$BATS_TEST_DIRNAME/golden GOLDEN_FOREIGN=$BATS_TEST_DIRNAME/golden/foreign.txt
  export MIN_REQUESTS=10 METRICS_SCRAPES=2 READY_TRIES=2 VERIFY_TRIES=4 REVISION_TRIES=3 BAKE_SECONDS=30 SMOKE_STREAM=none
  unset DD_API_KEY DD_APP_KEY GITHUB_RUN_ID HOOKS_DIR
  export GITHUB_STEP_SUMMARY=$AZ_STUB/summary.md
}

azure_state() { jq "$1" "$AZ_STUB/state.json" >"$AZ_STUB/edited" && mv "$AZ_STUB/edited" "$AZ_STUB/state.json"; }
azure_fault() { azure_state ".faults += [$1]"; }
app_fault() { jq "$1" "$AZ_STUB/app.json" >"$AZ_STUB/edited" && mv "$AZ_STUB/edited" "$AZ_STUB/app.json"; }
# fault WEIGHT PATH KIND: of the new revision; PATH "any" is every one.
fault() { app_fault ".faults += [{revision: \"rag--v2\", at: $1, path: \"$2\", fault: \"$3\"} | if .path == \"any\" then del(.path) else . end]"; }

canary() {
  run --separate-stderr "$ROOT/scripts/deploy_canary.sh" "$@"
  # Shown by bats only when a test fails.
  echo "$output"
  echo "$stderr"
}

# The order in which users met the revisions, "v1=90 v2=10" one after another.
weights_were() {
  local found
  found=$(jq -r '.weights | reduce .[] as $w ([]; if last == $w then . else . + [$w] end) | join(" | ")' "$AZ_STUB/state.json")
  echo "weights: $found"
  [[ $found == "$1" ]]
}

# state_is LABELS ACTIVE: "stable:v1 previous:v0" and "v1 v0", at the end, without a lock.
state_is() {
  local labels active lock
  labels=$(jq -r '[.app.properties.configuration.ingress.traffic[] | select(.label) | "\(.label):\(.revisionName[5:])"] | sort | join(" ")' "$AZ_STUB/state.json")
  active=$(jq -r '[.revisions[] | select(.properties.active).name[5:]] | sort | join(" ")' "$AZ_STUB/state.json")
  lock=$(jq -r '.app.tags["rollout-lock"] // "free"' "$AZ_STUB/state.json")
  echo "labels: $labels; active: $active; lock: $lock"
  [[ $labels == "$1" && $active == "$2" && $lock == free ]]
}

result_is() { [[ $(jq -r .result <<<"$output") == "$1" ]]; }
reason_has() { [[ $(jq -r .reason <<<"$output") == *"$1"* ]] && grep -qF -- "$1" "$GITHUB_STEP_SUMMARY"; }

# The course until a fault at WEIGHT and back, without repeating what stays.
course_until() {
  case $1 in
    0) echo 'v1=100' ;;
    10) echo 'v1=100 | v1=90 v2=10 | v1=100' ;;
    50) echo 'v1=100 | v1=90 v2=10 | v1=50 v2=50 | v1=100' ;;
    100) echo 'v1=100 | v1=90 v2=10 | v1=50 v2=50 | v2=100 | v1=100' ;;
  esac
}

# rolled_back_at WEIGHT REASON
rolled_back_at() {
  [[ $status -eq 1 ]]
  weights_were "$(course_until "$1")"
  state_is "stable:v1" "v1"
  result_is rolled-back
  reason_has "$2"
}

# at_each_step PATH KIND REASON: a canary for each step, with that fault from there on.
at_each_step() {
  local at
  for at in 0 10 50 100; do
    fresh_azure
    fault "$at" "$1" "$2"
    canary
    echo "fault at $at"
    rolled_back_at "$at" "$3 at $at %"
  done
}
