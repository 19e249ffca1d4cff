#!/usr/bin/env bash
# Checks the workflows and the scripts that only they call; see usage below.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
# shellcheck source=scripts/checks/venv.sh
source "$(dirname "${BASH_SOURCE[0]}")/venv.sh"

usage() {
  cat <<'TEXT'
usage: ./scripts/checks/workflows.sh [--sarif FILE | --mutants]

Two linters (jactionlint, zizmor in its pedantic mode), the schemas of workflows and of Dependabot, this project's own
rules (check_workflows.py) and the tests of scripts/release and scripts/quality_gate. The linters are installed below
target/, pinned by hash. Nothing is asked of GitHub unless GH_TOKEN is set: then zizmor also looks whether each pinned commit
belongs to its repository and version.

--sarif FILE  also write zizmor's findings as SARIF, for code scanning
--mutants     make one mistake after the other in a copy and demand that each is found

Exit codes: 0 all holds, 1 something does not, 2 wrong usage, 3 what is needed is absent.
The last line sums up.
TEXT
}

main() {
  local sarif=
  case ${1:-} in
    --help | -h) usage && return ;;
    --sarif) sarif=$(realpath -m "${2:?--sarif needs a FILE}") ;;
    --mutants | '') ;;
    *) die 2 "unknown argument '$1'; see --help" ;;
  esac
  cd "$(dirname "${BASH_SOURCE[0]}")/../.."
  python3 -m venv --help >/dev/null 2>&1 || absent "python3 with venv is not installed (Debian: apt-get install python3-venv)"
  use_venv workflows
  if [[ ${1:-} == --mutants ]]; then
    python scripts/checks/workflow_mutants.py
    return
  fi
  local zizmor=(zizmor --quiet)
  [[ -n ${GH_TOKEN:-} ]] || zizmor+=(--offline)
  if [[ -n $sarif ]]; then
    "${zizmor[@]}" --no-exit-codes --format sarif . >"$sarif"
  fi
  failures=()
  check "jactionlint" jactionlint --no-online --strict-exit
  check "zizmor" "${zizmor[@]}" --persona pedantic .
  check "schema of workflows" check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
  check "schema of Dependabot" check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
  check "rules of the project" python scripts/checks/check_workflows.py
  check "tests of the scripts" python -m unittest discover --start-directory scripts/checks --pattern 'test_*.py'
  ((${#failures[@]} == 0)) || die 1 "failed: $(printf '%s; ' "${failures[@]}" | sed 's/; $//')"
  local files=(.github/workflows/*.yml)
  echo "${#files[@]} workflows: two linters and two schemas find nothing, the rules hold, the scripts pass their tests"
}

# check NAME COMMAND…: the others still run when it fails.
check() {
  local name=$1
  shift
  step "$name"
  "$@" >&2 || failures+=("$name")
}

main "$@"
