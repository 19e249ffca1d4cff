#!/usr/bin/env bash
# Leaves the digest of one platform's build for the job that joins them; see usage below.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
# shellcheck source=scripts/release/registry.sh
source "$(dirname "${BASH_SOURCE[0]}")/registry.sh"

usage() {
  cat <<'TEXT'
usage: DIGEST=sha256:… DIGESTS_DIR=DIR ./scripts/release/record_digest.sh

Makes an empty file in DIGESTS_DIR whose name is the digest, for ./scripts/release/publish.sh.

  DIGEST=sha256:2c26…e7ae DIGESTS_DIR=digests ./scripts/release/record_digest.sh

Exit codes: 0 done, 2 wrong usage.
TEXT
}

main() {
  case ${1:-} in
    '') ;;
    --help | -h) usage && return ;;
    *) die 2 "unknown argument '$1'; see --help" ;;
  esac
  require_variables DIGEST DIGESTS_DIR
  require_digest "$DIGEST"
  mkdir -p "$DIGESTS_DIR"
  # A colon is not allowed in the names of artifacts.
  : >"$DIGESTS_DIR/${DIGEST#sha256:}"
}

main "$@"
