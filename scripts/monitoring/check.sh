#!/usr/bin/env bash
# Checks what watches the service, without the services that would read it; see usage below.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

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
fill = {"$__rate_interval": "5m", "$instance": ".*", "$version": ".*", "$price_input": "2", "$price_output": "8"}
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
  local shared=${RAG_SHARED:-../shared} tools=${CARGO_TARGET_DIR:-target}/tools/datadog
  have terraform || absent "terraform is not installed"
  [[ -d $shared/datadog/schemas && -d $shared/infra/tools/terraform ]] || absent "$shared has no Datadog schemas"
  shared=$(realpath "$shared")
  mkdir -p "$tools"
  tools=$(realpath "$tools")
  install_tools "$tools" || absent "the Python packages could not be installed"

  export PYTHONPATH=$tools/packages RAG_SHARED=$shared CHECKPOINT_DISABLE=1
  # Neither a mirror nor a cache of this machine may stand in for the stand-in.
  unset TF_CLI_CONFIG_FILE TF_PLUGIN_CACHE_DIR
  local check=(python3 scripts/monitoring/check_datadog.py)
  "${check[@]}" catalog "$shared/datadog/schemas/service-catalog"
  "${check[@]}" schema "$tools"/cdktn_provider_datadog-*.whl "$work/schema.json"
  terraform fmt -check -recursive -diff terraform/datadog

  # A copy, so that no state and no .terraform stay behind; the catalog entry lies two folders up.
  mkdir "$work/terraform"
  cp -r terraform/datadog "$work/terraform/"
  rm -rf "$work/terraform/datadog/.terraform" "$work"/terraform/datadog/*.tfstate*
  cp service.datadog.yaml "$work/"
  with_stand_in init -backend=false -no-color -input=false
  with_stand_in validate -no-color
  with_stand_in test -no-color
  with_stand_in apply -auto-approve -no-color -input=false
  with_stand_in show -json >"$work/state.json"
  "${check[@]}" state "$work/state.json"
  refuses 'severity = 1' 'Unsupported argument'
  refuses 'require_full_window = "often"' 'Incorrect attribute value type|a bool is required'
}

# Terraform asks a provider of its own kind for schema and plans, over its own protocol.
with_stand_in() {
  (cd "$work/terraform/datadog" &&
    python3 "$RAG_SHARED/infra/tools/terraform/stub_provider.py" "$work/schema.json" -- terraform "$@")
}

# refuses ARGUMENT MESSAGE: a stand-in that accepts everything would prove nothing.
refuses() {
  local argument=$1 message=$2 said
  printf 'resource "datadog_monitor" "broken" {\n  name = "n"\n  type = "query alert"\n  query = "q"\n  message = "m"\n  %s\n}\n' \
    "$argument" >"$work/terraform/datadog/broken.tf"
  if said=$(with_stand_in validate -no-color 2>&1); then
    die 1 "the stand-in accepts $argument"
  fi
  grep -qE "$message" <<<"$said" || die 1 "$argument was refused for another reason: $said"
  rm "$work/terraform/datadog/broken.tf"
}

# Kept below target; the bindings of release 16.1.1 are those of provider 4.25.0.
install_tools() {
  local tools=$1 pip=(python3 -m pip --quiet --disable-pip-version-check)
  [[ -f $tools/ready-1 ]] && return
  "${pip[@]}" install --target "$tools/packages" datadog-api-client==2.62.0 grpcio==1.85.1 msgpack==1.2.4 \
    jsonschema==4.26.0 pyyaml==6.0.3 &&
    "${pip[@]}" download --no-deps --dest "$tools" cdktn-provider-datadog==16.1.1 &&
    touch "$tools/ready-1"
}

absent() {
  echo "$1" >&2
  exit 3
}

main "$@"
