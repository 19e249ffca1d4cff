#!/usr/bin/env bash
# Brings service.datadog.yaml into Datadog's catalog; see usage below.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
source "$root/scripts/lib.sh"
# shellcheck source=scripts/deploy/datadog.sh
source "$root/scripts/deploy/datadog.sh"

usage() {
  cat <<'TEXT'
usage: sync_datadog_catalog.sh [FILE]    FILE is service.datadog.yaml by default, one entity of schema v3

Needed: DD_API_KEY and DD_APP_KEY, python3 with PyYAML. DD_SERVICE, when set, must be the entity's name: telemetry is joined by
it. DD_SITE=datadoghq.com, DRY_RUN=1 prints the entity. Sending it again changes nothing. Where terraform/datadog is
applied, that makes the entry already.

Example: DRY_RUN=1 ./scripts/sync_datadog_catalog.sh
Exit codes: 0 Datadog accepted it, 1 it did not, 2 wrong usage.
TEXT
}

main() {
  case ${1:-} in
    --help | -h) usage && return ;;
    -*) die 2 "unknown argument '$1'; see --help" ;;
  esac
  require_tools curl jq python3
  [[ ${DRY_RUN:-0} == 1 ]] || require_variables DD_API_KEY DD_APP_KEY
  local file=${1:-$root/service.datadog.yaml} name
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  python3 -c 'import yaml' 2>/dev/null || die 2 "PyYAML was not found: install it, as with 'pip install pyyaml'"
  [[ -f $file ]] || die 2 "there is no $file"
  python3 -c 'import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)' "$file" >"$work/body" 2>"$work/error" ||
    die 1 "$file is not YAML: $(tail -n 1 "$work/error")"
  jq -e '.apiVersion == "v3" and (.kind | type == "string") and (.metadata.name | type == "string")' "$work/body" >/dev/null ||
    die 1 "$file is no entity of schema v3: apiVersion, kind and metadata.name are needed"
  name=$(jq -r .metadata.name "$work/body")
  [[ -z ${DD_SERVICE:-} || $DD_SERVICE == "$name" ]] ||
    die 1 "$file is about $name, DD_SERVICE says $DD_SERVICE: telemetry would not be joined"
  if [[ ${DRY_RUN:-0} == 1 ]]; then
    jq . "$work/body"
    return
  fi
  datadog POST /api/v2/catalog/entity "$work/body" "$work/reply" || die 1 "Datadog did not accept $name: $datadog_error"
  echo "$name is in the catalog"
}

main "$@"
