#!/usr/bin/env bash
# Signs an image and says what is in it; see usage below.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
# shellcheck source=scripts/release/registry.sh
source "$(dirname "${BASH_SOURCE[0]}")/registry.sh"

usage() {
  cat <<'TEXT'
usage: IMAGE=REGISTRY/NAME DIGEST=sha256:… SBOM_DIR=DIR ./scripts/release/sign.sh

Signs the index and each platform in it with Cosign, without a key: in a workflow by the workflow's own identity, by
hand through a browser. For each platform Syft lists what is in it (CycloneDX), and that list is attested to it, since
platforms may differ. The lists stay in SBOM_DIR. Needs cosign, syft, docker with buildx, jq and a login to the registry.

DRY_RUN=1   print the commands that write instead of running them

  IMAGE=ghcr.io/acme/rag-api DIGEST=sha256:2c26…e7ae SBOM_DIR=sbom ./scripts/release/sign.sh

Exit codes: 0 done, 1 something refused, 2 wrong usage.
TEXT
}

main() {
  case ${1:-} in
    '') ;;
    --help | -h) usage && return ;;
    *) die 2 "unknown argument '$1'; see --help" ;;
  esac
  require_variables IMAGE DIGEST SBOM_DIR
  require_image
  require_digest "$DIGEST"
  require_tools cosign syft docker jq
  mkdir -p "$SBOM_DIR"
  local platforms platform child
  platforms=$(platforms_of "$IMAGE@$DIGEST")
  while read -r platform child; do
    list_and_attest "$platform" "$child"
  done <<<"$platforms"
  # The signature comes last: it stands for the lists as well.
  step "signing $IMAGE@$DIGEST"
  run cosign sign --yes --recursive "$IMAGE@$DIGEST" </dev/null
}

# list_and_attest OS/ARCHITECTURE DIGEST
list_and_attest() {
  local platform=$1 child=$2 sbom components
  sbom=$SBOM_DIR/${platform//\//-}.cdx.json
  require_digest "$child"
  step "listing what is in $platform"
  # The loop's list of platforms is on stdin, and no tool may read it away.
  syft scan "registry:$IMAGE@$child" --output "cyclonedx-json=$sbom" </dev/null
  components=$(jq -er '.components | length' "$sbom") || die 1 "$sbom is not a CycloneDX list"
  # The Rust crates are in the binary's own list (cargo-auditable); an image without them was built some other way.
  jq -e 'any(.components[]; (.purl // "") | startswith("pkg:cargo/"))' "$sbom" >/dev/null ||
    die 1 "$sbom names no Rust crate: the binary lacks the list of cargo-auditable"
  note "$components components"
  run cosign attest --yes --type cyclonedx --predicate "$sbom" "$IMAGE@$child" </dev/null
}

main "$@"
