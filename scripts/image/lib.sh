# shellcheck shell=bash
# What the scripts of the image share, over scripts/lib.sh; sourced, never run.

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

readonly BINFMT=/proc/sys/fs/binfmt_misc

# Prints the command under DRY_RUN, runs it otherwise.
run() {
  if [[ -n ${DRY_RUN:-} ]]; then
    printf '%q ' "$@"
    echo
  else
    "$@"
  fi
}

# The base images of the Dockerfile, one reference a line.
base_images() { sed -nE 's/^FROM (--platform=[^ ]+ )?([^ ]+@sha256:[0-9a-f]{64})( .*)?$/\2/p' Dockerfile | sort -u; }

# stand_in REFERENCE TAG: docker.io/library/rust:1@sha256:… has the stand-in localhost/offline/rust, tagged with an
# architecture, or with `any` for the list of all that are here.
stand_in() {
  local name=${1%@*}
  name=${name##*/}
  printf 'localhost/offline/%s:%s' "${name%%:*}" "$2"
}

# architecture_of PLATFORM: linux/arm64 is arm64; blank is this machine's own.
architecture_of() {
  case ${1:-linux/$(uname -m)} in
    linux/amd64 | linux/x86_64) echo amd64 ;;
    linux/arm64 | linux/arm64/v8 | linux/aarch64) echo arm64 ;;
    *) die 2 "the platform '${1:-linux/$(uname -m)}' is unknown here: say linux/amd64 or linux/arm64" ;;
  esac
}

# gnu_name ARCHITECTURE: as compilers and emulators are named.
gnu_name() { if [[ $1 == arm64 ]]; then echo aarch64-linux-gnu; else echo x86_64-linux-gnu; fi; }

# Without systemd, podman's defaults (crun, systemd cgroups, journald) do not work.
prepare_podman() {
  if [[ -n ${CONTAINERS_CONF:-} || -d /run/systemd/system ]] || ! have podman || ! have runc; then
    return
  fi
  containers_conf=$(mktemp)
  printf '[containers]\ndefault_ulimits = []\n[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n' \
    >"$containers_conf"
  export CONTAINERS_CONF=$containers_conf
}

# To be called in the caller's exit trap.
forget_podman() { [[ -z ${containers_conf:-} ]] || rm -f "$containers_conf"; }

# emulate ARCHITECTURE: lends the kernel qemu for that architecture's programs, in containers too. Returns 1 where that
# cannot be. To be undone by forget_emulator in the caller's exit trap, as all of the machine sees it.
emulate() {
  local machine='\x3e' interpreter
  [[ $1 != arm64 ]] || machine='\xb7'
  interpreter=$(command -v "qemu-$(gnu_name "$1" | cut -d- -f1)-static") && [[ $(id -u) -eq 0 ]] || return 1
  if [[ ! -e $BINFMT/register ]]; then
    mount -t binfmt_misc binfmt_misc "$BINFMT" 2>/dev/null || return 1
    binfmt_mounted=1
  fi
  # Magic and mask as in qemu's own scripts; F opens the emulator now, as containers do not hold it.
  printf '%s' ":rag-api-$1-$$:M::\\x7fELF\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00$machine\\x00" \
    ':\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff' ":$interpreter:F" >"$BINFMT/register" 2>/dev/null || return 1
  emulator=$BINFMT/rag-api-$1-$$
}

forget_emulator() {
  [[ -z ${emulator:-} ]] || echo -1 >"$emulator"
  [[ -z ${binfmt_mounted:-} ]] || umount "$BINFMT"
  emulator='' binfmt_mounted=''
}
