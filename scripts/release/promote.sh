#!/usr/bin/env bash
# Moves the name `latest`; see usage below.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
# shellcheck source=scripts/release/registry.sh
source "$(dirname "${BASH_SOURCE[0]}")/registry.sh"

usage() {
  cat <<'TEXT'
usage: IMAGE=REGISTRY/NAME DIGEST=sha256:… COMMIT=HASH ./scripts/release/promote.sh

Lets IMAGE:latest name the digest, and reads it back. Where the branch has moved on since COMMIT, nothing is done: the
newer commit's run moves the name, and an older run that ends late must not take it back.

BRANCH      default main
DRY_RUN=1   print the command that writes instead of running it

  IMAGE=ghcr.io/acme/rag-api DIGEST=sha256:2c26…e7ae COMMIT=$(git rev-parse HEAD) ./scripts/release/promote.sh

Exit codes: 0 done or not needed, 1 the registry refused, 2 wrong usage.
TEXT
}

main() {
  case ${1:-} in
    '') ;;
    --help | -h) usage && return ;;
    *) die 2 "unknown argument '$1'; see --help" ;;
  esac
  require_variables IMAGE DIGEST COMMIT
  require_image
  require_digest "$DIGEST"
  require_tools docker jq git
  local branch=${BRANCH:-main} newest
  newest=$(git ls-remote --exit-code origin "refs/heads/$branch" | cut -f 1) || die 1 "the branch $branch cannot be read from origin"
  if [[ $newest != "$COMMIT" ]]; then
    note "$branch is at $newest by now; latest is left to it"
    return
  fi
  run docker buildx imagetools create --tag "$IMAGE:latest" "$IMAGE@$DIGEST"
  [[ -n ${DRY_RUN:-} ]] && return
  local now
  now=$(digest_of "$IMAGE:latest")
  [[ $now == "$DIGEST" ]] || die 1 "$IMAGE:latest is $now after the move, not $DIGEST"
  output latest "$IMAGE@$DIGEST"
}

main "$@"
