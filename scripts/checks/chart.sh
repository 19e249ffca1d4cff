#!/usr/bin/env bash
# Checks the Helm chart without a cluster; see usage below.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
# shellcheck source=scripts/checks/venv.sh
source "$(dirname "${BASH_SOURCE[0]}")/venv.sh"

usage() {
  cat <<'TEXT'
usage: ./scripts/checks/chart.sh [--mutants]

Renders charts/rag-api with every set of values in its folder ci/, by Helm's own engine, and checks each object: Helm's lint,
Kubernetes' schemas of the oldest and the newest supported release, and this project's rules (chart_rules.py). The tools are
installed below target/, pinned by hash; Helm's engine comes for Linux on x86-64. No cluster is asked.

--mutants  make one mistake after the other in a copy and demand that each is found

Exit codes: 0 all holds, 1 something does not, 2 wrong usage, 3 what is needed is absent.
The last line sums up.
TEXT
}

main() {
  local script=check_chart.py
  case ${1:-} in
    --help | -h) usage && return ;;
    --mutants) script=chart_mutants.py ;;
    '') ;;
    *) die 2 "unknown argument '$1'; see --help" ;;
  esac
  cd "$(dirname "${BASH_SOURCE[0]}")/../.."
  python3 -m venv --help >/dev/null 2>&1 || absent "python3 with venv is not installed (Debian: apt-get install python3-venv)"
  use_venv chart
  python "scripts/checks/$script"
}

main "$@"
