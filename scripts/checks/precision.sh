#!/usr/bin/env bash
# Compares the retrieval quality of a short number format with that of f32; see usage below.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

usage() {
  cat <<'TEXT'
usage: ./scripts/checks/precision.sh [COLLECTION…]

Evaluates each collection twice, with the embedding in f32 and in the format that the program chooses, and demands that
nDCG@10 is the same within a limit, by vector and by hybrid search. A collection is a folder as `rag-api evaluate`
wants it; default are those beside the project. Five minutes for these on two cores.

FORMAT       what is compared with f32: auto (default), bf16 or int16
LIMIT        the largest difference of nDCG@10, default 0.001
RAG_API      the program, default the release build of this working tree
RAG_SHARED   the material beside the project, default ../shared

examples:
  ./scripts/checks/precision.sh
  FORMAT=bf16 LIMIT=0.01 ./scripts/checks/precision.sh tests/golden

One line a collection, "COLLECTION vector F32 SHORT DIFFERENCE, hybrid F32 SHORT DIFFERENCE"; the last line sums up. Exit
codes: 0 all are within the limit, 1 one is not, 2 wrong usage or an evaluation failed, 3 there are no collections.
TEXT
}

main() {
  case ${1:-} in
    --help | -h) usage && return ;;
    -*) die 2 "unknown argument '$1'; see --help" ;;
  esac
  local collections=("$@") collection outside=0
  if ((! $#)); then
    for collection in "${RAG_SHARED:-$root/../shared}"/eval/*/qrels.tsv; do
      [[ ! -f $collection ]] || collections+=("$(dirname "$collection")")
    done
  fi
  ((${#collections[@]})) || {
    echo "there are no collections beside the project" >&2
    exit 3
  }
  require_tools python3
  format=${FORMAT:-auto} LIMIT=${LIMIT:-0.001}
  require_numbers LIMIT
  program=${RAG_API:-$(cd "$root" && binary)}
  [[ -x $program ]] || die 2 "$program is not there: build it, as with 'cargo build --release --locked'"
  reports=$(mktemp -d)
  trap 'rm -rf "$reports"' EXIT
  for collection in "${collections[@]}"; do
    report f32 "$collection"
    report "$format" "$collection"
    compare "$(basename "$collection")" || outside=$((outside + 1))
  done
  if ((outside)); then
    die 1 "nDCG@10 of $format is further from f32 than $LIMIT on $outside of ${#collections[@]} collections"
  fi
  echo "${#collections[@]} collections: nDCG@10 of $format is within $LIMIT of f32"
}

# report FORMAT COLLECTION
report() {
  step "$(basename "$2"), $1"
  EMBEDDING_PRECISION=$1 "$program" evaluate "$2" --report "$reports/$1.json" >"$reports/log" 2>&1 && return
  cat "$reports/log" >&2
  die 2 "$2 could not be evaluated with $1"
}

# compare NAME: prints the line; fails beyond the limit.
compare() {
  python3 - "$1" "$reports/f32.json" "$reports/$format.json" "$LIMIT" <<'PYTHON'
import json, sys

name, exact, short, limit = sys.argv[1:]
exact, short = (json.load(open(file, encoding="utf-8"))["modes"] for file in (exact, short))
parts, worst = [], 0.0
for mode in ("vector", "hybrid"):
    a, b = (figures[mode]["ndcg@10"] for figures in (exact, short))
    parts.append(f"{mode} {a:.4f} {b:.4f} {b - a:+.4f}")
    worst = max(worst, abs(b - a))
print(name, ", ".join(parts))
sys.exit(worst > float(limit))
PYTHON
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
main "$@"
