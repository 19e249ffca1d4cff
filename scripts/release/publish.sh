#!/usr/bin/env bash
# Joins the builds of all platforms under one name; see usage below.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
# shellcheck source=scripts/release/registry.sh
source "$(dirname "${BASH_SOURCE[0]}")/registry.sh"

usage() {
  cat <<'TEXT'
usage: IMAGE=REGISTRY/NAME TAG=sha-1a2b3c4 DIGESTS_DIR=DIR ./scripts/release/publish.sh

Makes one index over the digests that record_digest.sh left in DIGESTS_DIR, names it IMAGE:TAG, and prints its digest
(to $GITHUB_OUTPUT too). Builds nothing: what was pushed and scanned is what gets the name. May be run again.

PLATFORMS   how many there must be, default 2
DRY_RUN=1   print the command that writes instead of running it

  IMAGE=ghcr.io/acme/rag-api TAG=sha-1a2b3c4 DIGESTS_DIR=digests ./scripts/release/publish.sh

Exit codes: 0 done, 1 the registry refused, 2 wrong usage.
TEXT
}

main() {
  case ${1:-} in
    '') ;;
    --help | -h) usage && return ;;
    *) die 2 "unknown argument '$1'; see --help" ;;
  esac
  require_variables IMAGE TAG DIGESTS_DIR
  require_image
  require_tag "$TAG"
  require_tools docker jq
  local file sources=() wanted=${PLATFORMS:-2}
  for file in "$DIGESTS_DIR"/*; do
    [[ -e $file ]] || die 2 "$DIGESTS_DIR holds no digest"
    require_digest "sha256:${file##*/}"
    sources+=("$IMAGE@sha256:${file##*/}")
  done
  ((${#sources[@]} == wanted)) || die 2 "$DIGESTS_DIR holds ${#sources[@]} digest(s), $wanted are wanted (PLATFORMS)"
  run docker buildx imagetools create --tag "$IMAGE:$TAG" "${sources[@]}"
  [[ -n ${DRY_RUN:-} ]] && return
  local index found
  index=$(digest_of "$IMAGE:$TAG")
  found=$(platforms_of "$IMAGE@$index" | wc -l)
  ((found == wanted)) || die 1 "$IMAGE@$index has $found platform(s) instead of $wanted"
  output digest "$index"
}

main "$@"
