#!/usr/bin/env bash
# Runs the unit tests of the matrix kernels where wrong pointers and races are seen; see usage below.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

usage() {
  cat <<'TEXT'
usage: ./scripts/checks/kernels.sh [--mutants [WORDS]]

Builds src/embedding/kernels, where the program's unsafe arithmetic is, as a crate of its own below target/kernels, and runs
its unit tests three times, with overflow checks and debug assertions:
  address  under AddressSanitizer: no kernel of this CPU reads or writes beyond its memory
  threads  those of the board under ThreadSanitizer: threads that fill planes together do not race
  neon     the kernels of AArch64, under qemu; their memory is not watched, but they share their algorithms with the first
Linux on x86-64 only. What is missing is installed: Rust's parts by rustup, the cross compiler and qemu by apt-get for root.
--mutants seeds mistakes one by one, those whose names have WORDS, and demands that each is found.

PARTS    which of the three, default "address threads neon"; one that lacks its tools is left out, and the last line says so
KERNELS  the folder of the kernels, default src/embedding/kernels

examples:
  ./scripts/checks/kernels.sh
  PARTS=neon ./scripts/checks/kernels.sh
  ./scripts/checks/kernels.sh --mutants scratch

The last line sums up. Exit codes: 0 all holds, 1 something does not, 2 wrong usage, 3 what is needed is absent.
TEXT
}

main() {
  local mutants='' words='' part
  case ${1:-} in
    '') ;;
    --mutants) mutants=1 words=${*:2} ;;
    --help | -h) usage && return ;;
    *) die 2 "unknown argument '$1'; see --help" ;;
  esac
  read -ra parts <<<"${PARTS:-address threads neon}"
  for part in "${parts[@]}"; do
    case $part in address | threads | neon) ;; *) die 2 "PARTS has '$part': say address, threads, neon" ;; esac
  done
  cd "$(dirname "${BASH_SOURCE[0]}")/../.."
  kernels=$(realpath -m "${KERNELS:-src/embedding/kernels}")
  [[ -f $kernels/mod.rs ]] || die 2 "KERNELS is '$kernels', where no mod.rs is"
  prepare
  if [[ $mutants ]]; then
    require_tools python3
    python3 scripts/checks/kernel_mutants.py "$words"
    return
  fi

  ran=0 said=()
  for part in "${parts[@]}"; do
    step "$part"
    "part_$part"
  done
  local summary
  printf -v summary '%s; ' "${said[@]}"
  ((ran)) || absent "kernels: ${summary%; }"
  echo "kernels: ${summary%; }"
}

# The crate: the dependencies are the project's own, in the versions of its lock.
prepare() {
  host=x86_64-unknown-linux-gnu arm=aarch64-unknown-linux-gnu
  if ! have cargo && [[ -x ${HOME:-}/.cargo/bin/cargo ]]; then
    PATH=$HOME/.cargo/bin:$PATH
  fi
  have cargo || absent "cargo is not installed (https://rustup.rs)"
  have "${CC:-cc}" || absent "no C compiler (${CC:-cc}) is installed (Debian: apt-get install build-essential)"
  [[ $(rustc -vV) == *"host: $host"* ]] || absent "the sanitizers are used on $host only, and this is another system"
  crate=$(realpath -m "${CARGO_TARGET_DIR:-target}")/kernels
  mkdir -p "$crate/src"
  cp Cargo.lock "$crate/"
  replace "$crate/Cargo.toml" <<TOML
[package]
name = "kernels"
version = "0.0.0"
edition = "$(sed -nE 's/^edition = "(.*)"/\1/p' Cargo.toml)"
[workspace]
[dependencies]
$(grep -E '^(bytemuck|fastrand) = ' Cargo.toml)
[profile.release]
debug = "line-tables-only"
debug-assertions = true
overflow-checks = true
TOML
  replace "$crate/src/lib.rs" <<RUST
#![allow(dead_code, unused_imports)]
#[path = "$kernels/mod.rs"]
pub mod kernels;
#[test]
fn names() {
    println!("kernels: {:?}", kernels::Kernel::all().into_iter().map(|kernel| kernel.name()).collect::<Vec<_>>());
}
RUST
}

# Cargo builds anew what has been written, even if it is the same.
replace() {
  cat >"$1.new"
  if cmp -s "$1.new" "$1"; then rm "$1.new"; else mv "$1.new" "$1"; fi
}

# The flags are for nightly Rust; the runtimes come with every release, and this variable lets it take them.
part_address() {
  has_runtime asan || return 0
  # Leaks are no matter of pointers, and looking for them takes ptrace, which containers forbid.
  run_tests address "$host" "under AddressSanitizer" RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address ASAN_OPTIONS=detect_leaks=0
}

# ThreadSanitizer does not see the locks of a std that was built without it, and warns of races that are none:
# std is built with it here.
part_threads() {
  has_runtime tsan || return 0
  local std=-Zbuild-std=std,test,panic_unwind
  if [[ ! -d $(rustc --print sysroot)/lib/rustlib/src/rust/library ]]; then
    { have rustup && rustup component add rust-src; } >&2 || { leave_out threads "the source of std is absent (rustup component add rust-src)" && return; }
  fi
  (cd "$crate" && RUSTC_BOOTSTRAP=1 cargo fetch --quiet "$std" --target "$host") >&2 ||
    { leave_out threads "the crates that std is made of are out of reach" && return; }
  run_tests threads "$host" "of the board under ThreadSanitizer" RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=thread "$std" board
}

part_neon() {
  local gcc=aarch64-linux-gnu-gcc qemu=qemu-aarch64-static
  if ! { have $gcc && have $qemu && [[ -d /usr/aarch64-linux-gnu/lib ]]; } && have apt-get && [[ $(id -u) -eq 0 ]]; then
    step "installing a cross compiler and qemu"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static; } >&2 || true
  fi
  { have $gcc && have $qemu; } || { leave_out neon "$gcc or $qemu is absent (Debian: gcc-aarch64-linux-gnu, qemu-user-static)" && return; }
  if [[ ! -d $(rustc --print target-libdir --target "$arm") ]]; then
    { have rustup && rustup target add "$arm"; } >&2 || { leave_out neon "Rust for $arm is absent (rustup target add $arm)" && return; }
  fi
  run_tests neon "$arm" "under qemu" "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=$gcc" \
    "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=$qemu -L /usr/aarch64-linux-gnu"
}

has_runtime() {
  compgen -G "$(rustc --print target-libdir)/librustc-*_rt.$1.a" >/dev/null || {
    leave_out "${FUNCNAME[1]#part_}" "this Rust comes without the sanitizer's runtime"
    return 1
  }
}

leave_out() { said+=("$1 left out: $2"); }

# run_tests PART TARGET WHERE VARIABLES… [FLAGS… FILTER]
run_tests() {
  local part=$1 target=$2 where=$3 log=$crate/$1.log variables=() flags=() names passed
  shift 3
  while [[ ${1:-} == [A-Z]*=* ]]; do variables+=("$1") && shift; done
  flags=("$@")
  (cd "$crate" && env "${variables[@]}" cargo test --release --lib --target "$target" --target-dir "$crate/$part" \
    --color never "${flags[@]}" -- --show-output) >"$log" 2>&1 || {
    # Where addresses are laid out in another way than it needs, a sanitizer gives up before any test.
    if grep -qE 'unexpected memory mapping|Shadow memory range interleaves|FATAL: .*Sanitizer' "$log"; then
      leave_out "$part" "the sanitizer cannot start on this system, see $log"
      return
    fi
    cat "$log" >&2
    die 1 "the tests $where fail; the above is in $log as well"
  }
  passed=$(sed -nE 's/^test result: ok\. ([0-9]+) passed.*/\1/p' "$log")
  names=$(sed -nE 's/^kernels: \[(.*)\]$/\1/p' "$log" | tr -d '"')
  # A CPU without any of them would pass every test by doing nothing.
  if [[ $part != threads && -z $names ]]; then
    leave_out "$part" "this CPU runs none of the kernels"
    return
  fi
  ((passed > 1)) || die 1 "no test was run $where"
  [[ $part == threads ]] || passed="$((passed - 1))"
  said+=("$passed tests $where${names:+ ($names)}")
  ran=1
}

absent() {
  echo "$1" >&2
  exit 3
}

main "$@"
