#!/usr/bin/env bash
# Tells Datadog's DORA metrics of a deployment; see usage below.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
source "$root/scripts/lib.sh"
# shellcheck source=scripts/deploy/datadog.sh
source "$root/scripts/deploy/datadog.sh"

usage() {
  cat <<'TEXT'
usage: send_datadog_dora_deployment.sh success     the version serves
       send_datadog_dora_deployment.sh failure     the version reached users and was taken back by the rollout itself
       send_datadog_dora_deployment.sh rollback    a version that was reported as a success was rolled back later

Needed: DD_API_KEY, DD_SERVICE, DD_ENV, APP_VERSION, BUILD_SHA (all 40 digits of the commit), REPOSITORY_URL, STARTED_AT (epoch
seconds). FINISHED_AT is now by default. RESTORED_VERSION: what serves again, for failure and rollback. DEPLOYMENT_KEY tells
two deployments of one version apart, as the run's number does (GITHUB_RUN_ID by default). The id is made from these, so
that sending twice counts once; rollback needs the values of the deployment it is about. TEAM, DD_SITE=datadoghq.com,
DRY_RUN=1 prints the requests.

Example: DD_SERVICE=rag-api DD_ENV=prod APP_VERSION=1.4.0 BUILD_SHA=$(git rev-parse HEAD) STARTED_AT=1790000000 \
           REPOSITORY_URL=https://github.com/acme/rag-api ./scripts/send_datadog_dora_deployment.sh success
Exit codes: 0 Datadog accepted it, 1 it did not, 2 wrong usage.
TEXT
}

main() {
  case ${1:-} in
    success | failure | rollback) ;;
    --help | -h) usage && return ;;
    *) die 2 "say success, failure or rollback; see --help" ;;
  esac
  require_tools curl jq sha256sum
  require_variables DD_SERVICE DD_ENV APP_VERSION BUILD_SHA
  [[ ${DRY_RUN:-0} == 1 ]] || require_variables DD_API_KEY
  [[ $BUILD_SHA =~ ^[0-9a-f]{40}$ ]] || die 2 "BUILD_SHA is '$BUILD_SHA': the whole commit is wanted, 40 hexadecimal digits"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  id=$(printf '%s\n' "$DD_SERVICE" "$DD_ENV" "$APP_VERSION" "$BUILD_SHA" "${DEPLOYMENT_KEY:-${GITHUB_RUN_ID:-}}" | sha256sum | head -c 32)

  [[ $1 == rollback ]] || report_deployment
  [[ $1 == success ]] || mark_failure
  echo "$id"
}

report_deployment() {
  require_variables REPOSITORY_URL STARTED_AT
  : "${FINISHED_AT:=$(date +%s)}"
  [[ $STARTED_AT =~ ^[1-9][0-9]{9}$ && $FINISHED_AT =~ ^[1-9][0-9]{9}$ && $STARTED_AT -le $FINISHED_AT ]] ||
    die 2 "STARTED_AT '$STARTED_AT' and FINISHED_AT '$FINISHED_AT' must be epoch seconds, in that order"
  # Milliseconds: the API takes them as well, and jq would round nanoseconds.
  jq -n --arg id "$id" --arg team "${TEAM:-}" --arg url "$REPOSITORY_URL" '{data: {attributes: ({
      id: $id, service: env.DD_SERVICE, env: env.DD_ENV, version: env.APP_VERSION,
      started_at: (env.STARTED_AT + "000" | tonumber), finished_at: (env.FINISHED_AT + "000" | tonumber),
      git: {commit_sha: env.BUILD_SHA, repository_url: $url}} + (if $team == "" then {} else {team: $team} end))}}' >"$work/body"
  send POST /api/v2/dora/deployment
}

mark_failure() {
  jq -n --arg id "$id" --arg restored "${RESTORED_VERSION:-}" '{data: {id: $id, type: "dora_deployment_patch_request", attributes: ({
      change_failure: true} + (if $restored == "" then {} else {remediation: {type: "rollback", version: $restored}} end))}}' >"$work/body"
  send PATCH "/api/v2/dora/deployments/$id"
}

send() {
  if [[ ${DRY_RUN:-0} == 1 ]]; then
    printf 'would send %s %s %s\n' "$1" "$2" "$(jq -c . "$work/body")" >&2
  else
    datadog "$1" "$2" "$work/body" "$work/reply" || die 1 "Datadog did not accept the deployment: $datadog_error"
    note "$1 $2 accepted"
  fi
}

export DD_SERVICE DD_ENV APP_VERSION BUILD_SHA STARTED_AT FINISHED_AT
main "$@"
