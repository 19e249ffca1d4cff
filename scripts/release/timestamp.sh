#!/usr/bin/env bash
# Prints the time, for steps that need it later; see usage below.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
# shellcheck source=scripts/release/registry.sh
source "$(dirname "${BASH_SOURCE[0]}")/registry.sh"

usage() {
  cat <<'TEXT'
usage: ./scripts/release/timestamp.sh

Prints time=SECONDS since 1970, and writes it to $GITHUB_OUTPUT where that is set.
TEXT
}

main() {
  case ${1:-} in
    '') output time "$(date +%s)" ;;
    --help | -h) usage ;;
    *) die 2 "unknown argument '$1'; see --help" ;;
  esac
}

main "$@"
