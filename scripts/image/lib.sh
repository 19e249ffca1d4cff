# shellcheck shell=bash
# What the scripts of the image share, over scripts/lib.sh; sourced, never run.

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

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

# stand_in REFERENCE: docker.io/library/rust:1@sha256:… has the stand-in localhost/offline/rust.
stand_in() {
  local name=${1%@*}
  name=${name##*/}
  printf 'localhost/offline/%s:latest' "${name%%:*}"
}

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
