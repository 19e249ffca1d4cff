#!/usr/bin/env bats
# What makes the canary go back: each fault at each step, and faults of az, signals and hooks.
bats_require_minimum_version 1.5.0
load helpers

setup_file() { start_fake_app; }
teardown_file() { stop_fake_app; }
setup() { fresh_azure; }

@test "unhealthy, at each step" { at_each_step /health down "is not healthy"; }
@test "not ready, at each step" { at_each_step /ready 503 "is not ready"; }
@test "an empty answer, at each step" { at_each_step /query empty "the smoke questions failed"; }
@test "error rate, at each step" { at_each_step any errors ")"; }
@test "p95, at each step" { at_each_step any slow ")"; }
@test "metrics absent, at each step: no data is no pass" { at_each_step /metrics down "error: 502"; }

@test "the reasons name what was measured" {
  fault 10 /metrics errors
  canary
  rolled_back_at 10 "the error rate is too high (candidate:"
}

quality_falls_at() {
  local at
  for at in 0 50; do
    fresh_azure
    fault "$at" /query "$1"
    # The smoke question must pass, or it would be the one to notice.
    export SMOKE_CITATIONS=0 SMOKE_QUESTION="${3:-Where is the manual?}"
    canary
    rolled_back_at "$at" "$2"
  done
}

@test "quality: other passages are found" { quality_falls_at wrong "recall: 0.000, stable 1.000; paired difference -1.000"; }
@test "quality: citations no longer hold" { quality_falls_at unsupported "citations: 0.000, stable 1.000"; }
@test "quality: questions without an answer are answered" { quality_falls_at chatty "abstention: 0.750, stable 1.000"; }
@test "quality: silence where the stable revision answers" { quality_falls_at silent "recall: 0.000, stable 1.000"; }

@test "golden questions that do not fit the index measure nothing, so they are no pass" {
  app_fault '.faults = [{revision: "rag--v1", path: "/query", fault: "wrong"}]'
  SMOKE_CITATIONS=0 canary
  rolled_back_at 0 "they measure nothing"
  fresh_azure
  GOLDEN_DIR=none SMOKE_QUESTION="Where is the manual?" canary
  [ "$status" -eq 0 ]
  fresh_azure
  GOLDEN_DIR=/nowhere SMOKE_QUESTION="Where is the manual?" canary
  rolled_back_at 0 "no questions"
}

@test "az fails twice and is asked again: the rollout goes on" {
  azure_fault '{match: "configuration", skip: 2, times: 2, message: "(ContainerAppOperationInProgress)"}, {match: "containerapp show", times: 2}'
  canary
  [ "$status" -eq 0 ]
  weights_were 'v1=100 | v1=90 v2=10 | v1=50 v2=50 | v2=100'
}

@test "az fails for good at a step: back" {
  for skip in 2 3 4; do
    fresh_azure
    azure_fault "{match: \"configuration\", skip: $skip, times: 4}"
    canary
    [ "$status" -eq 1 ]
    case $skip in
      2) rolled_back_at 0 "could not be set to 10 %" ;;
      3) rolled_back_at 10 "could not be set to 50 %" ;;
      4) rolled_back_at 50 "could not be set to 100 %" ;;
    esac
  done
}

@test "az fails for good on the way back too: exit 4, a person is called" {
  azure_fault '{match: "configuration", skip: 3, times: 99}'
  canary
  [ "$status" -eq 4 ]
  result_is UNKNOWN-ACT-BY-HAND
  weights_were 'v1=100 | v1=90 v2=10'
}

@test "ARM says yes and does nothing: read back, and undone" {
  azure_fault '{match: "configuration", skip: 3, times: 1, ignore: true}'
  canary
  rolled_back_at 10 "could not be set to 50 %"
}

@test "ARM is slow to show what it did: waited for" {
  azure_fault '{match: "configuration", skip: 2, times: 1, lag: 2}'
  canary
  [ "$status" -eq 0 ]
}

@test "the answer to the creation is lost: the revision is found; creation refused: nothing has changed" {
  azure_fault '{match: "containerapp update", times: 1, done: true}'
  canary
  [ "$status" -eq 0 ]
  fresh_azure
  azure_fault '{match: "containerapp update", times: 9, message: "(ImageNotFound) no such image"}'
  canary
  rolled_back_at 0 "no such image"
}

@test "the revision fails to provision, or never becomes healthy" {
  azure_state '.next_revision = {provisioningState: "Failed", provisioningError: "CrashLoopBackOff"}'
  canary
  rolled_back_at 0 "does not run"
  fresh_azure
  azure_state '.next_revision = {healthState: "Unhealthy"}'
  canary
  rolled_back_at 0 "does not run"
}

@test "TERM, INT and HUP in the middle: back, with the signal's exit code" {
  local name code
  for name in "TERM 143" "INT 130" "HUP 129"; do
    fresh_azure
    echo "${name% *} 50" >"$AZ_STUB/signal"
    canary
    code=${name#* }
    [ "$status" -eq "$code" ]
    weights_were "$(course_until 50)"
    state_is "stable:v1" "v1"
    reason_has "stopped by SIG${name% *}"
  done
}

@test "a signal while az works, and another while going back" {
  azure_fault '{match: "configuration", skip: 3, signal: "TERM"}, {match: "configuration", skip: 3, signal: "TERM"}'
  canary
  [ "$status" -eq 143 ]
  weights_were "$(course_until 50)"
  state_is "stable:v1" "v1"
}

@test "somebody takes the lock over meanwhile: traffic is left to them" {
  mkdir "$AZ_STUB/hooks"
  printf '#!/bin/sh\n[ "$ROLLOUT_WEIGHT" = 10 ] || exit 0\njq ".app.tags[\\"rollout-lock\\"] = \\"x.1.9999999999\\"" "$AZ_STUB/state.json" >"$AZ_STUB/s" && mv "$AZ_STUB/s" "$AZ_STUB/state.json"\nexit 1\n' \
    >"$AZ_STUB/hooks/rollout"
  chmod +x "$AZ_STUB/hooks/rollout"
  HOOKS_DIR=$AZ_STUB/hooks canary
  [ "$status" -eq 4 ]
  weights_were 'v1=100 | v1=90 v2=10'
}

write_hooks() {
  mkdir -p "$AZ_STUB/hooks"
  for point in confirm-rollout pre-rollout rollout confirm-traffic-increase confirm-promotion post-rollout rollback event; do
    printf '#!/bin/sh\n[ "${0##*/}" = event ] || echo "$ROLLOUT_POINT $ROLLOUT_WEIGHT" >>"$AZ_STUB/points"\n[ "${0##*/} $ROLLOUT_WEIGHT" != "$REFUSE" ]\n' \
      >"$AZ_STUB/hooks/$point"
  done
  chmod +x "$AZ_STUB"/hooks/*
  export HOOKS_DIR=$AZ_STUB/hooks
}

@test "hooks are asked at their points, in order" {
  write_hooks
  canary
  [ "$status" -eq 0 ]
  [ "$(paste -sd, "$AZ_STUB/points")" = "confirm-rollout 0,pre-rollout 0,rollout 0,confirm-traffic-increase 0,rollout 10,\
confirm-traffic-increase 10,rollout 50,confirm-traffic-increase 50,confirm-promotion 50,rollout 100,post-rollout 100" ]
}

@test "a hook refuses: before anything, at a step, at promotion" {
  write_hooks
  REFUSE="confirm-rollout 0" canary
  [ "$status" -eq 1 ]
  weights_were ""
  result_is refused
  fresh_azure && write_hooks
  REFUSE="confirm-traffic-increase 10" canary
  rolled_back_at 10 "refused 50 %"
  fresh_azure && write_hooks
  REFUSE="confirm-promotion 50" canary
  rolled_back_at 50 "confirm-promotion refused"
  [ "$(tail -n 2 "$AZ_STUB/points" | paste -sd,)" = "rollback 0,post-rollout 0" ]
}

@test "a hook that is not executable is not passed over; what event says does not matter" {
  write_hooks
  REFUSE="event 10" canary
  [ "$status" -eq 0 ]
  fresh_azure && write_hooks
  chmod -x "$AZ_STUB/hooks/rollout"
  canary
  rolled_back_at 0 "hook rollout refused"
}

with_datadog() {
  export DD_API_KEY=key-of-the-api DD_APP_KEY=key-of-the-app DD_SERVICE=rag-api DD_ENV=prod DD_QUERY_TRIES=2
  app_fault ".datadog = {\"/api/v2/query/scalar\": $1}"
}

@test "Datadog: healthy numbers climb, keys stay out of arguments and output" {
  with_datadog '[[200, {by_version: {"2.0.0": [1, 900, 0.2], "1.0.0": [1, 900, 0.2]}}]]'
  canary
  [ "$status" -eq 0 ]
  weights_were 'v1=100 | v1=90 v2=10 | v1=50 v2=50 | v2=100'
  [[ $output$stderr != *key-of* ]]
  [ "$(jq -r '"\(.key) \(.app_key)"' "$AZ_STUB/datadog.log" | sort -u)" = "key-of-the-api key-of-the-app" ]
}

@test "Datadog: error rate, p95, no data and no access bring it back" {
  local reply
  for reply in '[[200, {by_version: {"2.0.0": [90, 900, 0.2], "1.0.0": [1, 900, 0.2]}}]]|error rate is too high' \
    '[[200, {by_version: {"2.0.0": [1, 900, 0.9], "1.0.0": [1, 900, 0.2]}}]]|p95 is above 0.400 s' \
    '[[200, {by_version: {"2.0.0": [null, null, null], "1.0.0": [1, 900, 0.2]}}]]|only 0 requests of the candidate' \
    '[[200, {by_version: {"2.0.0": [1, 900, 0.2], "1.0.0": [null, null, null]}}]]|only 0 requests of the stable' \
    '[[403, {errors: ["Forbidden"]}]]|answered 403' '[[200, "rubbish"]]|cannot be understood'; do
    fresh_azure
    with_datadog "${reply%|*}"
    canary
    rolled_back_at 0 "${reply#*|}"
  done
}

@test "Datadog cannot tell equal versions apart: /metrics is read" {
  with_datadog '[[500, {}]]'
  APP_VERSION=1.0.0 canary
  [ "$status" -eq 0 ]
  [ ! -e "$AZ_STUB/datadog.log" ]
}
