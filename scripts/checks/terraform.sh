#!/usr/bin/env bash
# Checks the Azure side of terraform/ without Azure; see usage below.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
# shellcheck source=scripts/checks/stand_in.sh
source "$(dirname "${BASH_SOURCE[0]}")/stand_in.sh"

usage() {
  cat <<'TEXT'
usage: ./scripts/checks/terraform.sh [--mutants [WORDS]]

Formats, declarations, terraform validate, the backends' arguments, plans of both environments against our policies
(terraform_policy.py), every terraform test, and who owns what: a deployment by the pipeline must leave the next plan
empty, a change by hand must not. Where rag-api is built and its model is there, the plan's jobs and its server are run
here, against an emulated search service. terraform is the real one; the provider is a stand-in that serves the schema of its
release, so names, types, references, variables and conditions are checked, and nothing that Azure itself decides.
--mutants seeds mistakes one by one, those whose names have WORDS, and demands that each is found.

needs: terraform, python3 with pip, the material beside the project (RAG_SHARED)
RAG_API    the program, default target/release/rag-api; MODEL_DIR: its model
CHECKOV=1  run checkov as well; it is installed below target on first use, which takes minutes

examples:
  ./scripts/checks/terraform.sh
  CHECKOV=1 ./scripts/checks/terraform.sh
  ./scripts/checks/terraform.sh --mutants
  ./scripts/checks/terraform.sh --mutants probe

The last line sums up. Exit codes: 0 all holds, 1 something does not, 2 wrong usage, 3 what is needed is absent.
TEXT
}

main() {
  local command=check words=()
  case ${1:-} in
    '') ;;
    --mutants) command=mutants words=("${@:2}") ;;
    --help | -h) usage && return ;;
    *) die 2 "unknown argument '$1'; see --help" ;;
  esac
  cd "$(dirname "${BASH_SOURCE[0]}")/../.."
  stand_in_prepare
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  # The bindings of release 18.9.0 are those of provider 5.10.0.
  stand_in_schema hashicorp/azurerm cdktn-provider-azurerm 18.9.0 "$work/schema.json"

  RAG_API=${RAG_API:-$(binary)}
  [[ -x $RAG_API && -f ${MODEL_DIR:-model}/model.safetensors ]] || RAG_API=
  export RAG_API

  local summary
  summary=$(with_stand_in "$work/schema.json" python3 scripts/checks/terraform_suite.py "$command" "$work" "${words[@]}")
  if [[ ${CHECKOV:-} == 1 && $command == check ]]; then
    summary+="; $(checkov_says)"
  fi
  echo "$summary"
}

# checkov keeps hundreds of packages, so it has an environment of its own.
checkov_says() {
  local venv=$tools_dir/checkov version=3.3.30 report=$work/checkov.json
  if [[ ! -x $venv/bin/checkov ]]; then
    step "installing checkov"
    { python3 -m venv "$venv" && PYTHONPATH='' "$venv/bin/pip" install --quiet --disable-pip-version-check "checkov==$version" >&2; } ||
      absent "checkov could not be installed"
  fi
  # Without --skip-download it asks its maker's service for rules.
  PYTHONPATH='' "$venv/bin/checkov" --directory terraform --framework terraform --skip-download --output json >"$report" || true
  python3 - "$report" "$version" <<'PYTHON'
import json, sys
report, version = json.load(open(sys.argv[1])), sys.argv[2]
results, wrong = report["results"], []
for check in results["failed_checks"]:
    wrong.append(f"{check['check_id']} {check['resource']}: {check['check_name']}")
excused = {}
for check in results["skipped_checks"]:
    excused[check["check_id"]] = check["check_result"]["suppress_comment"]
    if not excused[check["check_id"]].strip():
        wrong.append(f"{check['check_id']} is excused without a reason")
for line in sorted(f"{name}: {reason}" for name, reason in excused.items()):
    print(line, file=sys.stderr)
if wrong or not results["passed_checks"]:
    sys.exit("checkov: " + ("\n".join(wrong) or "nothing was checked"))
print(f"checkov {version}: {len(results['passed_checks'])} passed, 0 failed, {len(excused)} rules excused with their reasons")
PYTHON
}

main "$@"
