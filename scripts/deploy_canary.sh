#!/usr/bin/env bash
# Brings a version to production by steps, and back by itself; see usage below.
set -euo pipefail

# shellcheck source=scripts/deploy/rollout.sh
source "$(dirname "${BASH_SOURCE[0]}")/deploy/rollout.sh"

usage() {
  cat <<'TEXT'
usage: deploy_canary.sh            deploy IMAGE as a new revision and give it traffic by steps
       deploy_canary.sh --abort    undo a run that was killed: traffic to the stable revision, the candidate deactivated; the
                                   lock must be free, old, of the same GITHUB_RUN_ID, or taken over (TAKE_OVER=1)
       deploy_canary.sh --help

Needed: AZURE_RESOURCE_GROUP, CONTAINER_APP_NAME, IMAGE (by digest), APP_VERSION, BUILD_SHA, IMAGE_TAG; az logged in.
At 0 % and after every step the candidate must be healthy, ready and warm, answer the smoke questions, be as good as the
stable revision on the golden questions, and stay within its error rate and p95. Otherwise, at any signal and when az fails
for good, all traffic goes back, that is read back, and the candidate is deactivated.

  STEPS="10 50 100"  BAKE_SECONDS=300 (or one for each step)       weights and how long each is watched
  MIN_REQUESTS=50                                                  fewer are topped up by questions of our own
  MAX_ERROR_RATE=0.05  ERROR_RATE_TOLERANCE=0.01                   at most so much, and so much above the stable one
  MAX_P95_SECONDS=10  P95_RATIO=1.5  P95_SLACK_SECONDS=0.1         at most stable x ratio + slack
  GOLDEN_DIR=tests/golden  GOLDEN_TOLERANCE=0.05                   questions that fit the index; none: not compared
  GOLDEN_MIN_RECALL=0.5  GOLDEN_TOP_K=10  SMOKE_QUESTION           by default the first golden question
  DD_API_KEY, DD_APP_KEY, DD_SERVICE, DD_ENV, DD_LAG_SECONDS=120   read Datadog instead of /metrics
  BASELINE=auto | required | none                                  whether a stable revision must answer
  HOOKS_DIR                                                        executables: confirm-rollout pre-rollout rollout
        confirm-traffic-increase confirm-promotion post-rollout rollback event; ROLLOUT_* tells them what goes on
  AZ_TRIES=4  AZ_TIMEOUT_SECONDS=300  LOCK_MINUTES=120  TAKE_OVER=1  REVISION_SUFFIX  ROLLOUT_CONTAINER  DRY_RUN=1

Examples:
  AZURE_RESOURCE_GROUP=rg-rag CONTAINER_APP_NAME=rag-api IMAGE=ghcr.io/acme/rag-api@sha256:… APP_VERSION=1.4.0 \
    BUILD_SHA=3f2a91c IMAGE_TAG=sha-3f2a91c ./scripts/deploy_canary.sh
  STEPS="25 100" BAKE_SECONDS="120 600" DRY_RUN=1 ./scripts/deploy_canary.sh

Stdout has one line of JSON: result, revision, stable, reason, weights. Exit codes: 0 promoted, 1 refused or rolled back,
2 wrong usage, 4 traffic could not be verified and needs a person, 128 + n rolled back after signal n.
TEXT
}

: "${STEPS:=10 50 100}" "${BAKE_SECONDS:=300}"

main() {
  case ${1:-} in
    '') ;;
    --abort) abort && return ;;
    --help | -h) usage && return ;;
    *) die 2 "unknown argument '$1'; see --help" ;;
  esac
  require_image
  check_steps
  begin
  find_stable
  if [[ ${DRY_RUN:-0} == 1 ]]; then
    plan && return
  fi
  take_lock || fail "the lock could not be taken: $reason"
  hook confirm-rollout || fail "the hook confirm-rollout refused"
  step "preparing $CONTAINER_APP_NAME, stable is ${stable:-not there yet}"
  prepare_app candidate
  hook pre-rollout || fail "the hook pre-rollout refused"
  step "creating the candidate"
  create_candidate
  step "0 %: the candidate is checked before any user meets it"
  if [[ -n $stable ]]; then
    shift_traffic 0 || fail "the label candidate could not be set"
    find_baseline
    check_step 0
    climb
  else
    first_deployment
  fi
  step "promoting $candidate"
  promote
}

climb() {
  local bakes number=0
  read -ra bakes <<<"$BAKE_SECONDS"
  for next_weight in $STEPS; do
    step "$next_weight %"
    hook confirm-traffic-increase || fail "the hook confirm-traffic-increase refused $next_weight %"
    ((next_weight < 100)) || hook confirm-promotion || fail "the hook confirm-promotion refused"
    shift_traffic "$next_weight" || fail "traffic could not be set to $next_weight %"
    check_step "${bakes[number < ${#bakes[@]} ? number : ${#bakes[@]} - 1]}"
    number=$((number + 1))
  done
}

# Nobody is served yet, so there is nothing to compare with and nothing to go back to.
first_deployment() {
  hook confirm-promotion || fail "the hook confirm-promotion refused"
  shift_traffic 100 || fail "traffic could not be given to the first revision"
  find_baseline
  check_step "${BAKE_SECONDS%% *}"
}

check_steps() {
  local next last=0
  for next in $STEPS; do
    if [[ ! $next =~ ^[0-9]{1,3}$ ]] || ((next <= last || next > 100)); then
      die 2 "STEPS is '$STEPS': rising numbers up to 100"
    fi
    last=$next
  done
  ((last == 100)) || die 2 "STEPS is '$STEPS': the last step is 100"
  [[ $BAKE_SECONDS =~ ^[0-9]+(\ [0-9]+)*$ ]] || die 2 "BAKE_SECONDS is '$BAKE_SECONDS': seconds, one number or one for each step"
}

plan() {
  local next
  echo "would run $IMAGE beside ${stable:-nothing}, which now has: $(shares)" >&2
  for next in 0 $STEPS; do
    printf 'would set %s\n' "$(table ${stable:+"$stable=$((100 - next)):stable"} "$CONTAINER_APP_NAME--NEW=$next:candidate")" >&2
  done
  outcome=planned
}

abort() {
  require_variables AZURE_RESOURCE_GROUP CONTAINER_APP_NAME
  begin
  find_stable
  candidate=$(labelled candidate)
  if [[ -z $candidate ]]; then
    note "there is no candidate: nothing to undo"
    return
  fi
  [[ -n $stable && $stable != "$candidate" ]] || fail "there is no revision to go back to"
  # Not taken over: a job that was refused as another one is at work must not end that one by cleaning up after itself.
  take_lock || fail "the lock could not be taken: $reason"
  changed=1
  reason="aborted by hand"
}

main "$@"
