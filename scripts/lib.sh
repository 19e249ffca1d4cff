# shellcheck shell=bash
# What the scripts share; sourced, never run.

# Progress goes to stderr, so that stdout holds results alone.
step() { printf '[%4ds] %s\n' "$SECONDS" "$*" >&2; }
note() { printf '        %s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

# die CODE MESSAGE…: 1 the work failed, 2 wrong usage or something is missing.
die() {
  local code=$1
  shift
  printf 'error: %s\n' "$*" >&2
  exit "$code"
}

# require_variables NAME…: all that are missing are named at once.
require_variables() {
  local name missing=()
  for name in "$@"; do
    [[ -n ${!name:-} ]] || missing+=("$name")
  done
  ((${#missing[@]} == 0)) || die 2 "set ${missing[*]}; see --help"
}

# require_numbers NAME…: whole or decimal, not negative.
require_numbers() {
  local name
  for name in "$@"; do
    [[ ${!name} =~ ^[0-9]+(\.[0-9]+)?$ ]] || die 2 "$name is '${!name}': it must be a number that is not negative"
  done
}

# require_tools NAME…
require_tools() {
  local tool
  for tool in "$@"; do
    have "$tool" || die 2 "$tool was not found: install it"
  done
}

# setting NAME DEFAULT: as the program reads it, the environment over .env.
setting() {
  local value=${!1:-}
  if [[ -z $value && -f .env ]]; then
    value=$(sed -nE "s/^[[:space:]]*(export[[:space:]]+)?$1=[\"']?([^\"'#]*).*/\2/p" .env | tail -n 1)
    value=${value%"${value##*[![:space:]]}"}
  fi
  printf '%s' "${value:-$2}"
}

# Absolute, as some callers start it from another directory.
binary() {
  local target=${CARGO_TARGET_DIR:-target}
  [[ $target == /* ]] || target=$PWD/$target
  printf '%s/release/rag-api' "$target"
}

# A Rust of the version Cargo.toml asks for, and a C compiler.
require_toolchain() {
  if ! have cargo && [[ -x ${HOME:-}/.cargo/bin/cargo ]]; then
    PATH=$HOME/.cargo/bin:$PATH
  fi
  have cargo || die 2 "cargo was not found: install Rust with rustup (https://rustup.rs), open a new shell, run this again"
  local wanted found
  wanted=$(sed -nE 's/^rust-version *= *"([0-9.]+)"/\1/p' Cargo.toml)
  found=$(rust_version)
  if ! at_least "$found" "$wanted" && have rustup; then
    step "installing Rust $wanted, as this one is ${found:-unknown}"
    rustup toolchain install "$wanted" --profile minimal --component rustfmt,clippy >&2
    export RUSTUP_TOOLCHAIN=$wanted
    found=$(rust_version)
  fi
  at_least "$found" "$wanted" ||
    die 2 "Rust ${found:-of an unknown version} is too old, $wanted or newer is needed: run 'rustup update stable'"
  have "${CC:-cc}" || die 2 "no C compiler (${CC:-cc}) was found: install one, as with 'apt-get install build-essential'"
}

rust_version() { rustc --version 2>/dev/null | sed -nE 's/^rustc ([0-9.]+).*/\1/p'; }

# at_least FOUND WANTED
at_least() { [[ -n $1 && $(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]; }
