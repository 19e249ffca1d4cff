#!/usr/bin/env bash
# Stand-ins for the Dockerfile's base images, where no container registry is in reach; see usage below.
set -euo pipefail

# shellcheck source=scripts/image/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'TEXT'
usage: sudo ./scripts/image/offline-bases.sh     make what is missing
       OFFLINE_BASES=1 ./scripts/image/build.sh  build on it

Makes localhost/offline/rust, …/static-debian12 and …/serverless-init in podman's store from Debian's packages and
this machine's own Rust, so that the Dockerfile can be built and its image be run. They resemble the real bases in what
the Dockerfile uses of them and in size; what is built on them is for tests and never to be published. The stand-in for
Datadog's init only starts its argument.

FRESH=1    make all again
DRY_RUN=1  only say what would be made

Needs root, debootstrap, podman, runc, dpkg, a C compiler and Rust.
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
  work=$(mktemp -d)
  trap 'rm -rf "$work"; forget_podman' EXIT
  prepare_podman

  local reference image
  while read -r reference; do
    image=$(stand_in "$reference")
    if [[ -z ${FRESH:-} ]] && podman image exists "$image"; then
      note "$image is there"
      continue
    fi
    step "making $image"
    [[ -z ${DRY_RUN:-} ]] || continue
    case $image in
      */rust:*) make_rust "$image" ;;
      */static-debian12:*) make_static "$image" ;;
      */serverless-init:*) make_init "$image" ;;
      *) die 1 "the Dockerfile has a base image that has no stand-in yet: $reference" ;;
    esac
  done < <(base_images)
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
  import "$root" "$1" \
    -c 'ENV PATH=/usr/local/cargo/bin:/opt/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    -c 'ENV CARGO_HOME=/usr/local/cargo' -c 'ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt'
}

# As distroless does it: packages unpacked without dpkg, each one's control file under status.d for scanners.
make_static() {
  local root=$work/base package deb
  mkdir -p "$work/debs" "$root/var/lib/dpkg/status.d" "$root/home/nonroot" "$root/tmp" "$root/etc/ssl/certs"
  chmod 1777 "$root/tmp" "$work/debs"
  (cd "$work/debs" && apt-get download -qq base-files ca-certificates netbase tzdata >&2)
  for deb in "$work"/debs/*.deb; do
    package=$(dpkg-deb -f "$deb" Package)
    dpkg-deb -x "$deb" "$root"
    dpkg-deb -f "$deb" >"$root/var/lib/dpkg/status.d/$package"
  done
  find "$root/usr/share/ca-certificates" -name '*.crt' -exec cat {} + >"$root/etc/ssl/certs/ca-certificates.crt"
  rm -rf "${root:?}"/usr/share/{man,locale,lintian,bug} "${root:?}"/{bin,sbin,usr/bin,usr/sbin}
  printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' >"$root/etc/passwd"
  printf 'root:x:0:\nnonroot:x:65532:\n' >"$root/etc/group"
  chown 65532:65532 "$root/home/nonroot"
  import "$root" "$1" -c 'USER 65532' -c 'ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt' \
    -c 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
}

make_init() {
  local root=$work/init
  mkdir -p "$root"
  printf '#include <unistd.h>\nint main(int n, char **v) { return n < 2 ? 2 : (execv(v[1], v + 1), 127); }\n' >"$work/init.c"
  "${CC:-cc}" -static -Os -s -o "$root/datadog-init" "$work/init.c"
  import "$root" "$1"
}

# import ROOT IMAGE [CHANGE…]
import() {
  local root=$1 image=$2
  shift 2
  tar -C "$root" --sort=name -cf - . | podman import --quiet "$@" - "${image%:latest}" >&2
}

main "$@"
