#!/usr/bin/env bash
# Checks what watches the service, without the services that would read it; see usage below.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
# shellcheck source=scripts/checks/stand_in.sh
source "$(dirname "${BASH_SOURCE[0]}")/../checks/stand_in.sh"

usage() {
  cat <<'TEXT'
usage: ./scripts/monitoring/check.sh prometheus | datadog

prometheus  needs promtool: the configuration, the alert rules, their tests and every query of the Grafana dashboard
datadog     needs terraform, python3 with pip and the material beside the project (RAG_SHARED): the catalog entry
            against its JSON Schema; terraform/datadog initialised, tested and applied against a stand-in that serves
            the schema of the pinned provider; the dashboard, monitors and objectives so made against Datadog's typed
            client. No account is used, so what Datadog itself decides (whether a query has data, whether a monitor is
            accepted) is not covered.

Exit codes: 0 all holds, 1 something does not, 2 wrong usage, 3 what is needed is absent.
TEXT
}

main() {
  cd "$(dirname "${BASH_SOURCE[0]}")/../.."
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  case ${1:-} in
    prometheus) check_prometheus ;;
    datadog) check_datadog ;;
    --help | -h) usage ;;
    *) die 2 "say prometheus or datadog; see --help" ;;
  esac
}

check_prometheus() {
  have promtool || absent "promtool is not installed (Debian: apt-get install prometheus)"
  promtool check config scripts/monitoring/prometheus.yaml
  promtool test rules scripts/monitoring/rules_test.yaml
  # promtool reads rules only, so each query of the dashboard becomes one, its variables filled in.
  python3 - scripts/monitoring/grafana.json >"$work/panels.yaml" <<'PYTHON'
import json, sys
board = json.load(open(sys.argv[1]))
fill = {"$__rate_interval": "5m", "$instance": ".*", "$version": ".*"}
rules = []
for number, expr in enumerate(t["expr"] for p in board["panels"] for t in p.get("targets", [])):
    for name, value in fill.items():
        expr = expr.replace(name, value)
    assert "$" not in expr, expr
    rules.append({"record": f"panel:query:{number}", "expr": expr})
assert len(rules) > 20, rules
print(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
PYTHON
  promtool check rules "$work/panels.yaml"
  echo "the alert rules pass their tests, the queries of the dashboard parse"
}

check_datadog() {
  local schemas=${RAG_SHARED:-../shared}/datadog/schemas
  [[ -d $schemas ]] || absent "${RAG_SHARED:-../shared} has no Datadog schemas"
  stand_in_prepare
  stand_in_packages datadog datadog-api-client==2.62.0 jsonschema==4.26.0 pyyaml==6.0.3

  local check=(python3 scripts/monitoring/check_datadog.py)
  "${check[@]}" catalog "$RAG_SHARED/datadog/schemas/service-catalog"
  # The bindings of release 16.1.1 are those of provider 4.25.0.
  stand_in_schema DataDog/datadog cdktn-provider-datadog 16.1.1 "$work/schema.json"
  terraform fmt -check -recursive -diff terraform/datadog

  # A copy, so that no state and no .terraform stay behind; the catalog entry lies two folders up.
  mkdir "$work/terraform"
  cp -r terraform/datadog "$work/terraform/"
  rm -rf "$work/terraform/datadog/.terraform" "$work"/terraform/datadog/*.tfstate*
  cp service.datadog.yaml "$work/"
  in_datadog init -backend=false -no-color -input=false
  in_datadog validate -no-color
  in_datadog test -no-color
  in_datadog apply -auto-approve -no-color -input=false
  in_datadog show -json >"$work/state.json"
  "${check[@]}" state "$work/state.json"
  refuses 'severity = 1' 'Unsupported argument'
  refuses 'require_full_window = "often"' 'Incorrect attribute value type|a bool is required'
}

in_datadog() {
  (cd "$work/terraform/datadog" && with_stand_in "$work/schema.json" terraform "$@")
}

# refuses ARGUMENT MESSAGE: a stand-in that accepts everything would prove nothing.
refuses() {
  local argument=$1 message=$2 said
  printf 'resource "datadog_monitor" "broken" {\n  name = "n"\n  type = "query alert"\n  query = "q"\n  message = "m"\n  %s\n}\n' \
    "$argument" >"$work/terraform/datadog/broken.tf"
  if said=$(in_datadog validate -no-color 2>&1); then
    die 1 "the stand-in accepts $argument"
  fi
  grep -qE "$message" <<<"$said" || die 1 "$argument was refused for another reason: $said"
  rm "$work/terraform/datadog/broken.tf"
}

main "$@"
