#!/usr/bin/env bash
# Says which version has the traffic; see usage below.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
# shellcheck source=scripts/release/registry.sh
source "$(dirname "${BASH_SOURCE[0]}")/registry.sh"

usage() {
  cat <<'TEXT'
usage: AZURE_RESOURCE_GROUP=NAME CONTAINER_APP_NAME=NAME ./scripts/release/serving.sh

Prints commit and version of the revision with most of the traffic, as its variables BUILD_SHA and APP_VERSION say, and
writes them to $GITHUB_OUTPUT where that is set. Where Azure cannot say, both are blank and the exit code is 0 all the
same: a rollback must not wait for the record of what it undoes.

  AZURE_RESOURCE_GROUP=rg-rag CONTAINER_APP_NAME=rag-api ./scripts/release/serving.sh
TEXT
}

main() {
  case ${1:-} in
    '') ;;
    --help | -h) usage && return ;;
    *) die 2 "unknown argument '$1'; see --help" ;;
  esac
  require_variables AZURE_RESOURCE_GROUP CONTAINER_APP_NAME
  require_tools az jq
  local said commit='' version=''
  if said=$(timeout 60 az containerapp revision list --name "$CONTAINER_APP_NAME" --resource-group "$AZURE_RESOURCE_GROUP" --output json --only-show-errors) &&
    said=$(jq -ce 'max_by(.properties.trafficWeight // 0).properties.template.containers[0].env
      | map(select(.value != null) | {(.name): .value}) | add' <<<"$said"); then
    commit=$(jq -r '.BUILD_SHA // "" | select(test("^[0-9a-f]{40}$"))' <<<"$said")
    version=$(jq -r '.APP_VERSION // "" | select(test("^[0-9A-Za-z.+-]{1,64}$"))' <<<"$said")
  else
    note "Azure does not say what serves"
  fi
  output commit "$commit"
  output version "$version"
}

main "$@"
