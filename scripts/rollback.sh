#!/usr/bin/env bash
# All traffic to the version before, at once; see usage below.
set -euo pipefail

# shellcheck source=scripts/deploy/rollout.sh
source "$(dirname "${BASH_SOURCE[0]}")/deploy/rollout.sh"

usage() {
  cat <<'TEXT'
usage: rollback.sh                  to the revision labelled previous, else to the newest healthy one that is older
       rollback.sh --to REVISION    to a revision by name
       rollback.sh --list           the revisions, newest first
       rollback.sh --help

Needed: AZURE_RESOURCE_GROUP, CONTAINER_APP_NAME; az logged in. Nothing is built: a revision that sleeps is woken and must be
healthy and ready before it gets users (FORCE=1: not asked). Traffic is read back, then what served before is deactivated
(KEEP_BAD=1: stays, to be looked at). Run again after a rollback that succeeded, it changes nothing.
A rollout at work is stopped first by its own signal; TAKE_OVER=1 takes its lock away, DRY_RUN=1 only tells the plan.

Examples: AZURE_RESOURCE_GROUP=rg-rag CONTAINER_APP_NAME=rag-api ./scripts/rollback.sh
          AZURE_RESOURCE_GROUP=rg-rag CONTAINER_APP_NAME=rag-api ./scripts/rollback.sh --to rag-api--r9b1deb4d-261101120000
Stdout has one line of JSON. Exit codes: 0 done or nothing to do, 1 refused and nothing changed, 2 wrong usage, 4 traffic
could not be verified and needs a person.
TEXT
}

main() {
  local wanted=
  case ${1:-} in
    '') ;;
    --to)
      [[ $# -eq 2 && -n $2 ]] || die 2 "--to needs a revision; see --list"
      wanted=$2
      ;;
    --list) ;;
    --help | -h) usage && return ;;
    *) die 2 "unknown argument '$1'; see --help" ;;
  esac
  require_variables AZURE_RESOURCE_GROUP CONTAINER_APP_NAME
  begin
  if [[ ${1:-} == --list ]]; then
    outcome=listed
    list >&2
    return
  fi
  choose_target "$wanted"
  if [[ -z $candidate ]]; then
    outcome=nothing-to-do
    return
  fi
  if [[ ${DRY_RUN:-0} == 1 ]]; then
    outcome=planned
    note "would set $(table "$candidate=100:stable")"
    return
  fi
  take_lock || fail "the lock could not be taken: $reason"
  wake "$candidate"
  go_back
}

# Sets candidate: where to go; nothing when that is where everything is. `previous` is set by a rollout and taken by a rollback,
# so that a second run does not go back and forth.
choose_target() {
  local newest
  stable=$(shares | jq -r 'max_by(.weight).revision // empty')
  candidate=${1:-$(labelled previous)}
  if [[ -z $candidate && -n $(labelled stable) && $stable != "$(labelled stable)" ]]; then
    # A rollout that was killed at 100 %: it never became stable.
    candidate=$(labelled stable)
  elif [[ -z $candidate && -n $(labelled stable) ]]; then
    newest=$(jq -r 'max_by(.properties.createdTime).name // empty' "$work/revisions.json")
    [[ $newest != "$stable" ]] || fail "no earlier version is known: name one with --to; see --list"
    reason="all traffic is on $stable since the last rollback; to go further back name a revision"
    return
  fi
  [[ -n $candidate ]] || candidate=$(older_than "$stable")
  [[ -n $candidate ]] || fail "no older revision is healthy: name one with --to; see --list"
  [[ -n $(revision "$candidate" .name) ]] || fail "there is no revision $candidate; see --list"
  if [[ $(weight_of "$candidate") == 100 ]]; then
    reason="all traffic is on $candidate already"
    candidate=''
  fi
}

weight_of() { shares | jq --arg name "$1" '[.[] | select(.revision == $name).weight] | add // 0'; }

older_than() {
  jq -r --arg name "$1" '(.[] | select(.name == $name).properties.createdTime) as $created
    | map(select(.properties.createdTime < $created and .properties.provisioningState == "Provisioned" and .properties.healthState != "Unhealthy"))
    | max_by(.properties.createdTime).name // empty' "$work/revisions.json"
}

list() {
  jq -r --argjson shares "$(shares)" 'sort_by(.properties.createdTime) | reverse | .[] | . as $r
    | ($shares[] | select(.revision == $r.name)) // {weight: 0, labels: []}
    | "\($r.name)  \($r.properties.createdTime)  \(if $r.properties.active then "active" else "asleep" end)  \($r.properties.healthState)  \(.weight) %  \(.labels | join(","))"' \
    "$work/revisions.json"
}

# By its own address, as it need not have a label.
wake() {
  local url
  [[ $(revision "$1" .properties.active) == true ]] || activate "$1" || fail "$1 could not be activated"
  [[ ${FORCE:-0} != 1 ]] || return 0
  wait_for_revision "$1" || fail "$1 does not run; FORCE=1 goes there nevertheless"
  url=https://$(revision "$1" .properties.fqdn)
  { ready "$url" && is_ours "$url"; } || fail "$1 does not answer; FORCE=1 goes there nevertheless"
}

go_back() {
  local bad
  bad=$(shares | jq -r --arg target "$candidate" '.[] | select(.weight > 0 and .revision != $target).revision')
  if ! put_traffic "$(table "$candidate=100:stable")"; then
    outcome=UNKNOWN-ACT-BY-HAND reason="traffic could not be set to $candidate"
    exit 4
  fi
  weights=(100) outcome=rolled-back
  reason="from ${bad//$'\n'/, }"
  [[ ${KEEP_BAD:-0} != 1 ]] || return 0
  while IFS= read -r name; do
    [[ -z $name || -n $(shares | jq -r --arg name "$name" '.[] | select(.revision == $name).revision') ]] ||
      deactivate "$name" || note "$name could not be deactivated: do it by hand"
  done <<<"$bad"
}

main "$@"
