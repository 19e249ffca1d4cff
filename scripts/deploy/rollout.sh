# shellcheck shell=bash
# What canary and blue-green share: beginning, candidate, checks, undoing, end; sourced, never run.
# A script ends by `fail REASON` or by returning from main; `finish` runs in every case and leaves the app in a known state.

deploy_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=scripts/lib.sh
source "$deploy_root/scripts/lib.sh"
# shellcheck source=scripts/deploy/azure.sh
source "$deploy_root/scripts/deploy/azure.sh"
# shellcheck source=scripts/deploy/requests.sh
source "$deploy_root/scripts/deploy/requests.sh"
# shellcheck source=scripts/deploy/datadog.sh
source "$deploy_root/scripts/deploy/datadog.sh"
# shellcheck source=scripts/deploy/signals.sh
source "$deploy_root/scripts/deploy/signals.sh"

# The label by which the new version is reached, and the one of these scripts that this one moves beside stable and previous.
candidate_label=candidate moved_label=candidate
stable='' stable_version='' candidate='' baseline='' reason='' lock='' weight=0 app_id='' fqdn=''
started=0 changed=0 promoted=0 kept_label='' outcome='' next_weight=0 weights=() undone=not-needed

begin() {
  require_tools az curl jq python3 timeout
  require_numbers AZ_TRIES AZ_RETRY_SECONDS AZ_TIMEOUT_SECONDS VERIFY_TRIES MIN_REQUESTS METRICS_SCRAPES
  [[ $BASELINE =~ ^(auto|none|required)$ ]] || die 2 "BASELINE is '$BASELINE': auto, required or none"
  cd "$deploy_root" || exit 1
  work=$(mktemp -d)
  trap finish EXIT
  trap 'stopped_by INT 130' INT
  trap 'stopped_by TERM 143' TERM
  trap 'stopped_by HUP 129' HUP
  read_all || fail "the app could not be read; is it there, and is az logged in?"
  app_id=$(app .id)
  fqdn=$(app .properties.configuration.ingress.fqdn)
}

fail() {
  reason=$*
  exit 1
}

stopped_by() {
  reason="stopped by SIG$1"
  exit "$2"
}

require_image() {
  require_variables AZURE_RESOURCE_GROUP CONTAINER_APP_NAME IMAGE APP_VERSION BUILD_SHA IMAGE_TAG
  [[ $IMAGE =~ ^[a-z0-9][a-zA-Z0-9._:/-]*@sha256:[0-9a-f]{64}$ ]] ||
    die 2 "IMAGE is '$IMAGE': name it by digest, REGISTRY/NAME@sha256:…, as a tag may point elsewhere tomorrow"
  local name
  for name in APP_VERSION BUILD_SHA IMAGE_TAG; do
    [[ ${!name} =~ ^[A-Za-z0-9._+-]{1,128}$ ]] || die 2 "$name is '${!name}': letters, digits and . _ + - only"
  done
}

# The revision to go back to. One that carries `candidate` beside another with traffic is a half-done rollout's; when it has
# everything but `stable` still points elsewhere, it was never confirmed.
find_stable() {
  local serving
  serving=$(shares | jq -r '.[] | select(.weight > 0 and (.labels | index("candidate") | not)) | .revision')
  if [[ $(grep -c . <<<"$serving") -gt 1 ]]; then
    fail "traffic is split between ${serving//$'\n'/ and }: give one of them all of it, then run this again"
  fi
  stable=$serving
  if [[ -z $stable ]]; then
    stable=$(labelled stable)
    [[ -n $stable && $(revision "$stable" .properties.active) == true ]] || stable=$(shares | jq -r '.[] | select(.weight > 0) | .revision')
  fi
}

# Pins traffic to the stable revision by name, so that the new one gets none by being the latest; a half-done rollout ends here.
prepare_app() {
  local left_over
  left_over=$(labelled "$1")
  changed=1
  if [[ $(app .properties.configuration.activeRevisionsMode | tr '[:upper:]' '[:lower:]') != multiple ]]; then
    note "revision mode becomes multiple"
    of_app containerapp revision set-mode --mode multiple || fail "the revision mode could not be changed"
    read_all || fail "the app could not be read"
  fi
  [[ -n $stable ]] || return 0
  shift_traffic 0 || fail "traffic could not be pinned to $stable"
  if [[ -n $left_over && $left_over != "$stable" ]]; then
    note "undoing what an earlier run left: $left_over"
    deactivate "$left_over" || fail "$left_over could not be deactivated"
  fi
}

# shift_traffic WEIGHT: of the candidate, the rest stays with the stable revision.
shift_traffic() {
  local rows=() previous
  [[ -z $stable ]] || rows+=("$stable=$((100 - $1)):stable")
  [[ -z $candidate ]] || rows+=("$candidate=$1:$candidate_label")
  previous=$(labelled previous)
  if [[ -n $previous && $previous != "$stable" && $previous != "$candidate" && $(revision "$previous" .properties.active) == true ]]; then
    rows+=("$previous=0:previous")
  fi
  put_traffic "$(table "${rows[@]}")" || return 1
  weight=$1
  [[ -z $candidate ]] || weights+=("$1")
  [[ -z $lock ]] || holds_lock || { lock='' changed=0 && fail "another rollout took the lock: nothing more is touched"; }
}

create_candidate() {
  local suffix=${REVISION_SUFFIX:-} container arguments
  [[ -n $suffix ]] || suffix="r$(sed -E 's/.*@sha256:(.{8}).*/\1/' <<<"$IMAGE")-$(date -u +%y%m%d%H%M%S)"
  [[ $suffix =~ ^[a-z]([a-z0-9-]*[a-z0-9])?$ && $suffix != *--* && $((${#CONTAINER_APP_NAME} + ${#suffix})) -le 52 ]] ||
    fail "REVISION_SUFFIX is '$suffix': lower-case letters, digits and single dashes, at most $((52 - ${#CONTAINER_APP_NAME})) characters"
  candidate=$CONTAINER_APP_NAME--$suffix
  [[ $candidate != "$stable" ]] || { candidate='' && fail "$stable already has all traffic; choose another REVISION_SUFFIX"; }
  # A name that is not there would make az add a second container.
  container=$(app ".properties.template.containers | map(.name) | map(select(. == \"${ROLLOUT_CONTAINER:-}\")) + (if length == 1 then . else [] end) | .[0]")
  [[ -n $container ]] || fail "the app has several containers: set ROLLOUT_CONTAINER to the name of the one to change"
  arguments=(--container-name "$container" --image "$IMAGE" --revision-suffix "$suffix"
    --set-env-vars "APP_VERSION=$APP_VERSION" "BUILD_SHA=$BUILD_SHA" "IMAGE_TAG=$IMAGE_TAG")
  if [[ -n $(revision "$candidate" .name) ]]; then
    reuse_candidate
  elif ! of_app containerapp update "${arguments[@]}"; then
    # The answer may have been lost while the revision was made.
    reason="the revision could not be created: $(az_error)"
    { read_revisions && [[ -n $(revision "$candidate" .name) ]]; } || fail "$reason"
    reason=
  fi
  wait_for_revision "$candidate" || fail "the revision $candidate does not run"
  [[ $(revision "$candidate" '[.properties.template.containers[].image] | join(" ")') == *"$IMAGE"* ]] ||
    fail "$candidate runs another image than $IMAGE"
}

reuse_candidate() {
  note "$candidate exists already"
  [[ $(revision "$candidate" .properties.active) == true ]] || activate "$candidate" || fail "$candidate could not be activated"
}

# A stable revision that does not answer as this service does (a placeholder, or one that is down) gives nothing to compare with.
find_baseline() {
  baseline=''
  if [[ $BASELINE != none && -n $stable ]] && is_ours "$(label_url stable)"; then
    baseline=1
    stable_version=$(jq -r .version "$work/health.json")
  elif [[ $BASELINE == required ]]; then
    fail "the stable revision ${stable:-(there is none)} does not answer, and BASELINE=required"
  else
    note "no baseline: ${stable:+$stable does not answer as this service does, }absolute limits decide"
  fi
  choose_source
}

# check_step BAKE_SECONDS: everything that is looked at before more traffic may come.
check_step() {
  local url folder=$work/step-$weight
  mkdir -p "$folder"
  url=$(label_url "$candidate_label")
  hook rollout || fail "the hook rollout refused at $weight %"
  healthy "$url" "$APP_VERSION" "$IMAGE_TAG" || fail "the candidate is not healthy at $weight %"
  ready "$url" || fail "the candidate is not ready at $weight %"
  warm "$url" || fail "the candidate does not warm up at $weight %"
  smoke "$url" || fail "the smoke questions failed at $weight %: $(tail -n 1 "$work/smoke")"
  compare_golden "$folder" || fail "$reason at $weight %"
  watch "$1" "$folder" || fail "$reason at $weight %"
}

# hook POINT: an executable of that name in HOOKS_DIR may refuse by its exit code; `event` hears of every point.
hook() {
  local file
  [[ -n ${HOOKS_DIR:-} ]] || return 0
  for file in "$HOOKS_DIR/$1" "$HOOKS_DIR/event"; do
    [[ -e $file && ($file != */event || $1 != event) ]] || continue
    [[ -x $file ]] || { note "the hook $file is not executable" && return 1; }
    ROLLOUT_POINT=$1 ROLLOUT_APP=$CONTAINER_APP_NAME ROLLOUT_CANDIDATE=$candidate ROLLOUT_STABLE=$stable ROLLOUT_WEIGHT=$weight \
      ROLLOUT_NEXT_WEIGHT=$next_weight ROLLOUT_REASON=$reason timeout --kill-after=10 "${HOOK_TIMEOUT_SECONDS:-600}" "$file" >&2 || [[ $file == */event ]] || return 1
  done
}

# The new revision becomes `stable`, the old one stays active as `previous`; what was `previous` is put to sleep.
promote() {
  local retired
  retired=$(labelled previous)
  put_traffic "$(table "$candidate=100:stable" ${stable:+"$stable=0:previous"})" || fail "the labels could not be moved"
  promoted=1
  if [[ -n $retired && $retired != "$stable" && $retired != "$candidate" && -z $(shares | jq -r --arg r "$retired" '.[] | select(.revision == $r).revision') ]]; then
    deactivate "$retired" || note "$retired could not be deactivated: do it by hand"
  fi
}

# Traffic first: whoever cancels a job leaves only seconds. Nothing is touched once somebody else took over.
undo() {
  local bad=$candidate
  next_weight=0
  step "going back to ${stable:-nothing: there is no earlier revision}"
  undone=no
  [[ -n $stable ]] || return 1
  if read_app && [[ -n $lock ]] && ! holds_lock; then
    note "another rollout took the lock: traffic is left to it"
    return 1
  fi
  # What served before this run keeps its label; what this run made loses it.
  if [[ -n $kept_label ]]; then
    candidate_label=$kept_label
  else
    candidate=''
  fi
  if shift_traffic 0; then
    undone=yes
    [[ -n $kept_label ]] || weights+=(0)
  fi
  candidate=$bad
  [[ $undone == yes ]] || return 1
  if [[ -z $kept_label && -n $bad ]] && read_revisions && [[ -n $(revision "$bad" .name) ]]; then
    deactivate "$bad" || note "$bad could not be deactivated: do it by hand"
  fi
}

finish() {
  local code=$?
  trap '' INT TERM HUP
  trap - EXIT
  set +e
  ((code == 0)) || reason=${reason:-"the script ended unexpectedly ($code)"}
  if ((changed && ! promoted)); then
    VERIFY_TRIES=$((VERIFY_TRIES * 2))
    undo || code=4
    hook rollback || note "the hook rollback failed"
  fi
  release_lock
  ((! started)) || hook post-rollout || note "the hook post-rollout failed"
  ((code != 0 && promoted)) && code=0
  summarize "$code"
  rm -rf "$work"
  exit "$code"
}

# For people in the summary of the job, for programs one line of JSON on stdout.
summarize() {
  local result=refused text
  if [[ -n $outcome ]]; then
    result=$outcome
  elif ((promoted)); then
    result=promoted
  elif ((changed)); then
    result=$([[ $undone == yes ]] && echo rolled-back || echo UNKNOWN-ACT-BY-HAND)
  elif (($1 == 0)); then
    result=unchanged
  fi
  text="$result: $CONTAINER_APP_NAME, ${IMAGE_TAG:-} ${candidate:+as $candidate }(stable: ${stable:-none})${reason:+: $reason}"
  note "$text"
  if [[ -n ${GITHUB_STEP_SUMMARY:-} ]]; then
    printf '### Rollout %s\n\n%s\n\nWeights of the new revision: %s\n' "$result" "$text" "${weights[*]:-none}" >>"$GITHUB_STEP_SUMMARY"
  fi
  jq -nc --arg result "$result" --arg revision "$candidate" --arg stable "$stable" --arg stable_version "$stable_version" \
    --arg reason "$reason" '{result: $result, revision: $revision, stable: $stable, stable_version: $stable_version,
      reason: $reason, weights: ($ARGS.positional | map(tonumber))}' --args "${weights[@]}"
}
