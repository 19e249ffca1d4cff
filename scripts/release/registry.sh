# shellcheck shell=bash
# What the release scripts share; sourced, never run.

require_image() { [[ $IMAGE =~ ^[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)+$ ]] || die 2 "IMAGE '$IMAGE' is not REGISTRY/NAME without tag and digest"; }
require_digest() { [[ $1 =~ ^sha256:[0-9a-f]{64}$ ]] || die 2 "'$1' is not a digest (sha256: and 64 lower-case digits)"; }
require_tag() { [[ $1 =~ ^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$ ]] || die 2 "'$1' is not a tag"; }

# run COMMAND…: with DRY_RUN set it is printed instead.
run() {
  if [[ -n ${DRY_RUN:-} ]]; then
    printf 'would run:' && printf ' %q' "$@" && printf '\n'
  else
    "$@"
  fi
}

# output NAME VALUE: to people, and to the steps that follow.
output() {
  printf '%s=%s\n' "$1" "$2"
  if [[ -n ${GITHUB_OUTPUT:-} ]]; then
    printf '%s=%s\n' "$1" "$2" >>"$GITHUB_OUTPUT"
  fi
}

# digest_of IMAGE:TAG: of the index, as the registry has it now.
digest_of() {
  local resolved
  resolved=$(docker buildx imagetools inspect --format '{{json .Manifest}}' "$1" | jq -er .digest) ||
    die 1 "the registry has no $1; was it built, and are you logged in?"
  require_digest "$resolved"
  printf '%s' "$resolved"
}

# platforms_of IMAGE@DIGEST: one line "OS/ARCHITECTURE DIGEST" a platform; attestations in the index are none.
platforms_of() {
  docker buildx imagetools inspect --raw "$1" | jq -er '
    [.manifests[]? | select(.platform.os != "unknown") | "\(.platform.os)/\(.platform.architecture) \(.digest)"]
    | if length == 0 then error("no platforms") else .[] end' ||
    die 1 "$1 is not an index of platforms"
}
