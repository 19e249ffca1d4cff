#!/usr/bin/env bash
# Asks the golden questions of two versions and compares; see usage below.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'TEXT'
usage: [BASE=REF] ./scripts/quality_gate.sh [ARGUMENTS of quality_gate.py]

Builds this working tree and BASE, lets both evaluate the working tree's collection on this machine, and fails when
the head falls below the base or below a threshold: see scripts/quality_gate.py --help. The table goes to stdout and to
$GITHUB_STEP_SUMMARY. Both are built into one target folder, so that dependencies are compiled once.

BASE           what to compare with, a commit or branch; blank or absent: thresholds alone
DATASET        folder of the collection, default tests/golden
REPORTS_DIR    where the two reports go, default target/quality
HEAD_BINARY, BASE_BINARY   programs already built, instead of building
DRY_RUN=1      print what would be done

  BASE=origin/main ./scripts/quality_gate.sh
  HEAD_BINARY=target/release/rag-api ./scripts/quality_gate.sh --min hybrid:ndcg@10=0.9

Exit codes: 0 no drop, 1 a drop or a failed build, 2 wrong usage or reports that cannot be compared.
TEXT
}

main() {
  case ${1:-} in --help | -h) usage && return ;; esac
  cd "$(dirname "${BASH_SOURCE[0]}")/.."
  local base=${BASE:-} arguments=("$@")
  dataset=${DATASET:-tests/golden} reports=${REPORTS_DIR:-target/quality}
  [[ -d $dataset ]] || die 2 "there is no collection at $dataset (DATASET)"
  dataset=$(realpath "$dataset")
  # GitHub names a branch's first push's predecessor by zeros, and a rewritten branch's no longer exists.
  if [[ -n $base && -z ${BASE_BINARY:-} ]] && { [[ $base =~ ^0+$ ]] || ! base=$(git rev-parse --verify --quiet "$base^{commit}"); }; then
    note "there is no commit ${BASE}: only the thresholds are checked"
    base=
  fi
  if [[ -n ${DRY_RUN:-} ]]; then
    echo "would evaluate ${HEAD_BINARY:-this working tree} and ${BASE_BINARY:-${base:-no base}} on $dataset into $reports"
    return
  fi
  mkdir -p "$reports"
  reports=$(realpath "$reports")
  target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
  trap clean_up EXIT
  # An old report must not stand in for one that could not be written.
  rm -f "$reports/base.json" "$reports/head.json"

  local program
  program=$(head_program)
  MODEL_DIR=$(realpath -m "$(setting MODEL_DIR model)")
  export MODEL_DIR
  "$program" model fetch >&2
  if [[ -n $base || -n ${BASE_BINARY:-} ]]; then
    local base_built
    base_built=$(base_program "$base")
    evaluate base "$base_built"
    arguments+=(--base "$reports/base.json")
  fi
  evaluate head "$program"
  python3 scripts/quality_gate.py --head "$reports/head.json" "${arguments[@]}" \
    ${GITHUB_STEP_SUMMARY:+--markdown "$GITHUB_STEP_SUMMARY"}
}

head_program() {
  if [[ -n ${HEAD_BINARY:-} ]]; then
    realpath "$HEAD_BINARY"
  else
    build "$PWD" head
  fi
}

# base_program COMMIT
base_program() {
  if [[ -n ${BASE_BINARY:-} ]]; then
    realpath "$BASE_BINARY"
    return
  fi
  mkdir -p "$target"
  git worktree prune
  git worktree add --quiet --force --detach "$(worktree_path)" "$1" >&2 || die 1 "$1 could not be checked out to $(worktree_path)"
  build "$(worktree_path)" base
}

worktree_path() { printf '%s/quality-base' "$target"; }

# build FOLDER NAME: prints where the program is; each version overwrites the other's in the target folder.
build() {
  require_toolchain
  step "building the $2"
  # Said out loud, since bash forgets `set -e` within $(…), and the program of the build before would be taken.
  (cd "$1" && CARGO_TARGET_DIR=$target cargo build --release --locked --bin rag-api) >&2 || die 1 "the $2 does not build"
  cp "$target/release/rag-api" "$reports/rag-api-$2"
  printf '%s' "$reports/rag-api-$2"
}

# evaluate NAME PROGRAM: both are asked by the head's collection, or a changed collection would look like a change of the code.
evaluate() {
  step "evaluating the $1"
  "$2" evaluate "$dataset" --report "$reports/$1.json" >&2 ||
    die 1 "the $1 could not evaluate $dataset; where its format changed, change program and collection one after the other"
}

clean_up() {
  rm -f "$reports"/rag-api-{base,head}
  if [[ -d $(worktree_path) ]]; then
    git worktree remove --force "$(worktree_path)"
  fi
}

main "$@"
