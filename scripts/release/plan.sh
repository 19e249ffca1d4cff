#!/usr/bin/env bash
# Says what the image of a commit is called; see usage below.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
# shellcheck source=scripts/release/registry.sh
source "$(dirname "${BASH_SOURCE[0]}")/registry.sh"

usage() {
  cat <<'TEXT'
usage: REPOSITORY=OWNER/NAME COMMIT=HASH ./scripts/release/plan.sh [--on REF]

Prints image, tag, version and time of a commit, and writes them to $GITHUB_OUTPUT where that is set. The version is the one
of the commit's Cargo.toml. Runs nothing of the commit and touches nothing.

REPOSITORY  on GitHub; the image is ghcr.io/ and its name in lower case
COMMIT      all 40 digits
--on REF    fail when the commit is not part of REF, as in --on origin/main

  REPOSITORY=acme/rag-api COMMIT=$(git rev-parse HEAD) ./scripts/release/plan.sh

Exit codes: 0 done, 1 the commit is not on REF, 2 wrong usage.
TEXT
}

main() {
  case ${1:-} in
    --help | -h) usage && return ;;
    '' | --on) ;;
    *) die 2 "unknown argument '$1'; see --help" ;;
  esac
  require_variables REPOSITORY COMMIT
  [[ $REPOSITORY =~ ^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$ ]] || die 2 "REPOSITORY '$REPOSITORY' is not OWNER/NAME"
  [[ $COMMIT =~ ^[0-9a-f]{40}$ ]] || die 2 "COMMIT '$COMMIT' is not a full hash of 40 lower-case digits"
  cd "$(dirname "${BASH_SOURCE[0]}")/../.."
  if [[ ${1:-} == --on ]]; then
    local ref=${2:?--on needs a REF}
    git merge-base --is-ancestor "$COMMIT" "$ref" || die 1 "$COMMIT is not part of $ref; only commits of that branch are deployed"
  fi
  local version
  version=$(git show "$COMMIT:Cargo.toml" | sed -nE '/^\[package\]/,/^\[[^p]/ s/^version *= *"([^"]+)".*/\1/p') ||
    die 1 "$COMMIT is not in this clone"
  [[ $version =~ ^[0-9A-Za-z.+-]{1,64}$ ]] || die 1 "Cargo.toml of $COMMIT has no version in [package]"
  output image "ghcr.io/${REPOSITORY,,}"
  output tag "sha-${COMMIT:0:7}"
  output version "$version"
  output created "$(TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd "$COMMIT")"
}

main "$@"
