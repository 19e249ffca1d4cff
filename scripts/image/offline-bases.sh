#!/usr/bin/env bash
# Stand-ins for the Dockerfile's base images, where no container registry is in reach; see usage below.
set -euo pipefail

# shellcheck source=scripts/image/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'TEXT'
usage: sudo ./scripts/image/offline-bases.sh                         make what is missing
       sudo PLATFORM=linux/arm64 ./scripts/image/offline-bases.sh    and what an arm64 image takes
       OFFLINE_BASES=1 ./scripts/image/build.sh                      build on it

Makes localhost/offline/rust, …/static-debian12 and …/serverless-init in podman's store from Debian's packages and
this machine's own Rust, so that the Dockerfile can be built and its image be run. They resemble the real bases in what
the Dockerfile uses of them and in size; what is built on them is for tests and never to be published. The stand-in for
Datadog's init only starts its argument. For another architecture than this machine's, the stand-in for Rust holds the C
library alone: it serves production and datadog, not development.

PLATFORM       linux/amd64 or linux/arm64, beside this machine's own
DEBIAN_MIRROR  where packages come from: where this machine has them from
FRESH=1        make all again
DRY_RUN=1      only say what would be made

Needs root, debootstrap, podman, runc, dpkg, apt, a C compiler and Rust, both for PLATFORM too.
Exit codes: 0 done, 1 the work failed, 2 wrong usage or something is missing.
TEXT
}

readonly SUITE=bookworm

main() {
  case ${1:-} in
    '') ;;
    --help | -h) usage && return ;;
    *) die 2 "unknown argument '$1'; see --help" ;;
  esac
  cd "$(dirname "${BASH_SOURCE[0]}")/../.."
  local tool
  for tool in debootstrap podman runc dpkg-deb; do
    have "$tool" || die 2 "$tool was not found: apt-get install debootstrap podman runc dpkg"
  done
  [[ $(id -u) -eq 0 ]] || die 2 "debootstrap needs root: run this with sudo"
  require_toolchain
  own=$(architecture_of '')
  wanted=$(architecture_of "${PLATFORM:-}")
  triple=$(gnu_name "$wanted")
  triple=${triple/-/-unknown-}
  if [[ $wanted != "$own" ]]; then
    have "$(gnu_name "$wanted")-gcc" || die 2 "$(gnu_name "$wanted")-gcc was not found: apt-get install gcc-$(gnu_name "$wanted" | tr _ -)"
    [[ -d $(rustc --print target-libdir --target "$triple") ]] || die 2 "Rust for $triple is absent: rustup target add $triple"
  fi
  work=$(mktemp -d)
  trap 'rm -rf "$work"; forget_podman' EXIT
  prepare_podman

  local reference
  while read -r reference; do
    make "$reference" "$own"
    [[ $wanted == "$own" ]] || make "$reference" "$wanted"
    list "$reference"
  done < <(base_images)
}

# make REFERENCE ARCHITECTURE
make() {
  local image
  image=$(stand_in "$1" "$2")
  if [[ -z ${FRESH:-} ]] && usable "$image"; then
    note "$image is there"
    return
  fi
  step "making $image"
  [[ -z ${DRY_RUN:-} ]] || return 0
  case $image in
    */rust:"$own") make_rust "$image" "$2" ;;
    */rust:*) make_platform "$image" "$2" ;;
    */static-debian12:*) make_static "$image" "$2" ;;
    */serverless-init:*) make_init "$image" "$2" ;;
    *) die 1 "the Dockerfile has a base image that has no stand-in yet: $1" ;;
  esac
}

# An older stand-in for Rust may lack what compiles for the wanted architecture.
usable() {
  podman image exists "$1" || return
  [[ $1 != */rust:$own ]] || [[ $(podman image inspect --format '{{.Labels.targets}}' "$1") == *"$triple"* ]]
}

# One name for all architectures, from which the builder takes the one that it needs: so it is with the real bases.
list() {
  local name architecture
  name=$(stand_in "$1" any)
  [[ -z ${DRY_RUN:-} ]] || return 0
  podman manifest rm "$name" >/dev/null 2>&1 || true
  podman manifest create "$name" >/dev/null
  for architecture in amd64 arm64; do
    if podman image exists "$(stand_in "$1" "$architecture")"; then
      podman manifest add "$name" "containers-storage:$(stand_in "$1" "$architecture")" >/dev/null
    fi
  done
}

# pip is not in the real image: it brings the model where its hub is out of reach.
make_rust() {
  local root=$work/rust sysroot
  sysroot=$(rustc --print sysroot)
  debootstrap --variant=minbase --include=ca-certificates,gcc,libc6-dev,python3-pip "$SUITE" "$root" \
    ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >"$work/log" || { tail -n 20 "$work/log" >&2 && return 1; }
  mkdir -p "$root/usr/local/cargo/bin" "$root/opt/rust"
  tar -C "$sysroot" --exclude=./share -cf - . | tar -C "$root/opt/rust" -xf -
  cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
  import "$root" "$1" "$2" -c "LABEL targets=\"$(cd "$sysroot/lib/rustlib" && echo *-linux-gnu)\"" \
    -c 'ENV PATH=/usr/local/cargo/bin:/opt/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    -c 'ENV CARGO_HOME=/usr/local/cargo' -c 'ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt'
}

# What the Dockerfile reads of the real one: the C library where merged folders have it, and dpkg's status.
make_platform() {
  local root=$work/platform deb
  mkdir -p "$root/usr/lib" "$root/var/lib/dpkg"
  ln -s usr/lib "$root/lib"
  download "$2" libc6 libgcc-s1
  for deb in "$work/debs-$2"/lib*.deb; do
    dpkg-deb --fsys-tarfile "$deb" | tar -C "$root" --keep-directory-symlink -xf -
    { dpkg-deb -f "$deb" | sed '1a Status: install ok installed' && echo; } >>"$root/var/lib/dpkg/status"
  done
  import "$root" "$1" "$2"
}

# As distroless does it: packages unpacked without dpkg, each one's control file under status.d for scanners.
make_static() {
  local root=$work/base-$2 package deb
  mkdir -p "$root/var/lib/dpkg/status.d" "$root/home/nonroot" "$root/tmp" "$root/etc/ssl/certs"
  chmod 1777 "$root/tmp"
  download "$2" base-files ca-certificates netbase tzdata
  for package in base-files ca-certificates netbase tzdata; do
    deb=$(echo "$work/debs-$2/$package"_*.deb)
    dpkg-deb -x "$deb" "$root"
    dpkg-deb -f "$deb" >"$root/var/lib/dpkg/status.d/$package"
  done
  find "$root/usr/share/ca-certificates" -name '*.crt' -exec cat {} + >"$root/etc/ssl/certs/ca-certificates.crt"
  rm -rf "${root:?}"/usr/share/{man,locale,lintian,bug} "${root:?}"/{bin,sbin,usr/bin,usr/sbin}
  printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' >"$root/etc/passwd"
  printf 'root:x:0:\nnonroot:x:65532:\n' >"$root/etc/group"
  chown 65532:65532 "$root/home/nonroot"
  import "$root" "$1" "$2" -c 'USER 65532' -c 'ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt' \
    -c 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
}

# download ARCHITECTURE PACKAGE…: by an apt of its own, as this machine's need not know the other architecture.
download() {
  local architecture=$1 apt=$work/apt-$1 options mirror
  shift
  # shellcheck disable=SC2016 # apt fills it in
  mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' "Codename: $SUITE" | sort -u | sed -n 1p)}
  [[ $mirror ]] || die 2 "apt knows no source of Debian $SUITE here: set DEBIAN_MIRROR"
  mkdir -p "$apt"/{lists,archives}/partial "$work/debs-$architecture"
  chmod 1777 "$work" "$work/debs-$architecture"
  echo "deb $mirror $SUITE main" >"$apt/sources.list"
  options=(-qq -o "APT::Architecture=$architecture" -o "APT::Architectures=$architecture" -o "Dir::State=$apt" -o "Dir::Cache=$apt"
    -o Dir::State::status=/dev/null -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null)
  { apt-get "${options[@]}" update && (cd "$work/debs-$architecture" && apt-get "${options[@]}" download "$@"); } >&2
}

make_init() {
  local root=$work/init-$2 compiler=${CC:-cc}
  [[ $2 == "$own" ]] || compiler=$(gnu_name "$2")-gcc
  mkdir -p "$root"
  printf '#include <unistd.h>\nint main(int n, char **v) { return n < 2 ? 2 : (execv(v[1], v + 1), 127); }\n' >"$work/init.c"
  "$compiler" -static -Os -s -o "$root/datadog-init" "$work/init.c"
  import "$root" "$1" "$2"
}

# import ROOT IMAGE ARCHITECTURE [CHANGE…]
import() {
  local root=$1 image=$2 architecture=$3
  shift 3
  tar -C "$root" --sort=name -cf - . | podman import --quiet --arch "$architecture" "$@" - "$image" >&2
}

main "$@"
