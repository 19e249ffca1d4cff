#!/usr/bin/env bash
# Finds out whether an image may be deployed; see usage below.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
# shellcheck source=scripts/release/registry.sh
source "$(dirname "${BASH_SOURCE[0]}")/registry.sh"

usage() {
  cat <<'TEXT'
usage: IMAGE=REGISTRY/NAME TAG=sha-1a2b3c4 COMMIT=HASH REPOSITORY=OWNER/NAME ./scripts/release/verify.sh

Resolves the tag once and checks that digest, so that nobody can move the tag in between: the signature and the
provenance of the index, signature and SBOM of each platform in it. All must come from the workflow SIGNER_WORKFLOW of REPOSITORY,
through GitHub's issuer, for exactly this commit. Prints image=IMAGE@DIGEST (to $GITHUB_OUTPUT too).
Needs cosign, gh 2.67 or newer with GH_TOKEN, docker with buildx, jq and a login to the registry. Writes nothing.

SIGNER_WORKFLOW  default .github/workflows/ci.yml@refs/heads/main

  IMAGE=ghcr.io/acme/rag-api TAG=sha-1a2b3c4 COMMIT=$(git rev-parse HEAD) REPOSITORY=acme/rag-api ./scripts/release/verify.sh

Exit codes: 0 may be deployed, 1 may not, 2 wrong usage.
TEXT
}

readonly ISSUER=https://token.actions.githubusercontent.com

main() {
  case ${1:-} in
    '') ;;
    --help | -h) usage && return ;;
    *) die 2 "unknown argument '$1'; see --help" ;;
  esac
  require_variables IMAGE TAG COMMIT REPOSITORY
  require_image
  require_tag "$TAG"
  [[ $COMMIT =~ ^[0-9a-f]{40}$ ]] || die 2 "COMMIT '$COMMIT' is not a full hash of 40 lower-case digits"
  require_tools cosign gh docker jq
  local workflow=${SIGNER_WORKFLOW:-.github/workflows/ci.yml@refs/heads/main}
  identity=https://github.com/$REPOSITORY/$workflow
  local signer=(
    --certificate-identity "$identity" --certificate-oidc-issuer "$ISSUER"
    --certificate-github-workflow-repository "$REPOSITORY" --certificate-github-workflow-sha "$COMMIT"
  )
  local index platforms platform child
  index=$(digest_of "$IMAGE:$TAG")
  platforms=$(platforms_of "$IMAGE@$index")

  step "signature of $IMAGE@$index"
  cosign verify "${signer[@]}" "$IMAGE@$index" >/dev/null </dev/null || refused "has no valid signature"
  step "provenance"
  gh attestation verify "oci://$IMAGE@$index" --repo "$REPOSITORY" --cert-identity "$identity" --cert-oidc-issuer "$ISSUER" \
    --source-digest "$COMMIT" --source-ref "${workflow#*@}" --deny-self-hosted-runners >&2 </dev/null || refused "has no valid provenance"
  while read -r platform child; do
    step "signature and SBOM of $platform"
    cosign verify "${signer[@]}" "$IMAGE@$child" >/dev/null </dev/null || refused "has no valid signature for $platform"
    cosign verify-attestation --type cyclonedx "${signer[@]}" "$IMAGE@$child" >/dev/null </dev/null ||
      refused "has no valid SBOM for $platform"
  done <<<"$platforms"
  output image "$IMAGE@$index"
}

refused() { die 1 "$IMAGE:$TAG $1 by $identity for $COMMIT; it is not deployed"; }

main "$@"
