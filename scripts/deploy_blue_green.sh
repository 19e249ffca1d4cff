#!/usr/bin/env bash
# Brings a version to production by one switch, and back by the same; see usage below.
set -euo pipefail

# shellcheck source=scripts/deploy/rollout.sh
source "$(dirname "${BASH_SOURCE[0]}")/deploy/rollout.sh"

usage() {
  cat <<'TEXT'
usage: deploy_blue_green.sh             create the version under the label staging, test it, switch all traffic to it
       deploy_blue_green.sh --stage     the same without the switch: look at it by yourself under the label's address
       deploy_blue_green.sh --switch    all traffic to what is staged, else to the version before; again: back
       deploy_blue_green.sh --help

Needed: AZURE_RESOURCE_GROUP, CONTAINER_APP_NAME, and for the first two IMAGE (by digest), APP_VERSION, BUILD_SHA, IMAGE_TAG.
The version that loses its traffic stays active under the label previous. Whatever fails before or after the switch brings
traffic back. Settings (WATCH_SECONDS=300 after the switch; limits, golden questions, hooks, DRY_RUN) are those of
deploy_canary.sh; see its --help.

Examples: AZURE_RESOURCE_GROUP=rg-rag CONTAINER_APP_NAME=rag-api ./scripts/deploy_blue_green.sh --switch
Stdout has one line of JSON. Exit codes: 0 done, 1 refused or gone back, 2 wrong usage, 4 needs a person, 128 + n signal n.
TEXT
}

: "${WATCH_SECONDS:=300}"
# Both the checks and the watch reach the new version by this label.
candidate_label=staging moved_label=staging

main() {
  local verb=${1:-all}
  [[ $# -le 1 ]] || die 2 "too many arguments; see --help"
  [[ $WATCH_SECONDS =~ ^[0-9]+$ ]] || die 2 "WATCH_SECONDS is '$WATCH_SECONDS': seconds"
  case $verb in
    --help | -h) usage && return ;;
    all | --stage) require_image ;;
    --switch) require_variables AZURE_RESOURCE_GROUP CONTAINER_APP_NAME ;;
    *) die 2 "unknown argument '$verb'; see --help" ;;
  esac
  begin
  find_stable
  if [[ ${DRY_RUN:-0} == 1 ]]; then
    plan "$verb" && return
  fi
  take_lock || fail "the lock could not be taken: $reason"
  hook confirm-rollout || fail "the hook confirm-rollout refused"
  case $verb in
    --switch) choose_other ;;
    *) stage ;;
  esac
  if [[ $verb == --stage ]]; then
    changed=0 outcome=staged
    note "staged: $(label_url staging)"
  else
    switch
  fi
}

stage() {
  step "preparing $CONTAINER_APP_NAME, stable is ${stable:-not there yet}"
  prepare_app staging
  hook pre-rollout || fail "the hook pre-rollout refused"
  step "creating the version"
  create_candidate
  [[ -n $stable ]] || fail "nothing serves yet: a first version goes by deploy_canary.sh"
  shift_traffic 0 || fail "the label staging could not be set"
  step "testing it before any user meets it"
  find_baseline
  check_step 0
}

# What is staged, else what served before. It may have slept, so it is asked again.
choose_other() {
  kept_label=staging
  candidate=$(labelled staging)
  [[ -n $candidate ]] || { kept_label=previous && candidate=$(labelled previous); }
  [[ -n $candidate && -n $stable && $candidate != "$stable" ]] || fail "there is neither a staged nor a previous version to switch to"
  [[ $(revision "$candidate" .properties.active) == true ]] || activate "$candidate" || fail "$candidate could not be activated"
  wait_for_revision "$candidate" || fail "$candidate does not run"
  changed=1
  shift_traffic 0 || fail "the label staging could not be set"
  fetch "$(label_url staging)/health" "$work/health.json" || fail "$candidate does not answer: $(head -n 1 "$work/curl.err")"
  APP_VERSION=$(jq -r .version "$work/health.json") IMAGE_TAG=$(jq -r .image_tag "$work/health.json")
  find_baseline
  check_step 0
}

switch() {
  next_weight=100
  hook confirm-traffic-increase || fail "the hook confirm-traffic-increase refused"
  hook confirm-promotion || fail "the hook confirm-promotion refused"
  step "switching to $candidate"
  shift_traffic 100 || fail "traffic could not be switched"
  check_step "$WATCH_SECONDS"
  promote
}

plan() {
  local other
  other=$(labelled staging)
  [[ $1 == --switch ]] || other=$CONTAINER_APP_NAME--NEW
  other=${other:-$(labelled previous)}
  [[ $1 == --stage ]] && other=''
  echo "would start from $(shares)" >&2
  [[ -z $other ]] || printf 'would set %s\n' "$(table "$other=100:stable" ${stable:+"$stable=0:previous"})" >&2
  outcome=planned
}

main "$@"
