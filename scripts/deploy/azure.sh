# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with the script that sources this
# The container app: read, changed, read back; sourced, never run.
# The caller sets `work` (a folder), AZURE_RESOURCE_GROUP and CONTAINER_APP_NAME. What was read lies in $work/app.json and
# $work/revisions.json. jq reads it, as it tells an absent field from an empty one.

: "${AZ_TRIES:=4}" "${AZ_RETRY_SECONDS:=5}" "${AZ_TIMEOUT_SECONDS:=300}" "${VERIFY_TRIES:=30}" "${VERIFY_SECONDS:=4}"
readonly API_VERSION=2025-07-01 LOCK_TAG=rollout-lock

# azure ARGUMENTS…: one az call, repeated where it may help; its output is left in $work/az.out.
azure() {
  local try=1 code
  while true; do
    code=0
    timeout --kill-after=10 "$AZ_TIMEOUT_SECONDS" az "$@" --only-show-errors >"$work/az.out" 2>"$work/az.err" || code=$?
    ((code)) || return 0
    # 2 is az's "wrong arguments", which no repetition mends.
    if ((code == 2 || try >= AZ_TRIES)); then
      note "az ${*:1:3} failed after $try tries ($code): $(az_error)"
      return 1
    fi
    pause "$((try * AZ_RETRY_SECONDS))"
    try=$((try + 1))
  done
}

az_error() { { grep -m 1 ERROR "$work/az.err" || tail -n 1 "$work/az.err"; } | cut -c 1-300; }

# A signal ends `wait` at once, while bash would let a plain sleep run to its end before it obeys.
pause() {
  sleep "$1" >/dev/null 2>&1 3>&- &
  wait $!
}

of_app() { azure "$@" --name "$CONTAINER_APP_NAME" --resource-group "$AZURE_RESOURCE_GROUP" --output json; }

read_app() {
  of_app containerapp show || return 1
  mv "$work/az.out" "$work/app.json"
  jq -e '.id and .properties.configuration.ingress.fqdn' "$work/app.json" >/dev/null ||
    { note "$CONTAINER_APP_NAME has no ingress: it cannot share traffic between revisions" && return 1; }
}

read_revisions() {
  of_app containerapp revision list --all || return 1
  mv "$work/az.out" "$work/revisions.json"
}

read_all() { read_app && read_revisions; }

app() { jq -r "$1 // empty" "$work/app.json"; }
# revision NAME FILTER: of the list that was read last.
revision() { jq -r --arg name "$1" ".[] | select(.name == \$name) | $2 // empty" "$work/revisions.json"; }

# One object a revision: its weights summed, as one revision may have several entries, "latest" by its name.
# shellcheck disable=SC2016 # the variables are jq's
readonly SHARES='
  (.properties.latestReadyRevisionName // .properties.latestRevisionName) as $latest
  | [.properties.configuration.ingress.traffic // [] | .[]
     | {revision: (if .latestRevision then $latest else .revisionName end), weight: (.weight // 0), label: (.label // null)}]
  | group_by(.revision)
  | map({revision: .[0].revision, weight: (map(.weight) | add), labels: (map(.label // empty) | sort)})'

shares() { jq -c "$SHARES" "$work/app.json"; }
# labelled LABEL: the revision that carries it.
labelled() { shares | jq -r --arg name "$1" '.[] | select(.labels | index($name)) | .revision'; }

# table REVISION=WEIGHT[:LABEL]…: the traffic table as ARM takes it. Labels that the script does not move stay, without traffic,
# as long as those are active; "latest" is never in it, or a revision made elsewhere would receive users.
table() {
  jq -c --arg moved "$moved_label" --slurpfile revisions "$work/revisions.json" "$SHARES"'
    | ($revisions[0] | map(select(.properties.active).name)) as $active
    | ($ARGS.positional | map(capture("^(?<revisionName>[^=]+)=(?<weight>[0-9]+)(:(?<label>.+))?$") | .weight |= tonumber
        | if .label == null then del(.label) else . end)) as $wanted
    | $wanted + [.[] | . as $share | $share.labels[] | select(IN("stable", "previous", $moved) | not)
        | {revisionName: $share.revision, weight: 0, label: .} | select(.revisionName | IN($active[]))]
  ' "$work/app.json" --args "$@"
}

# patch BODY: of the app itself, so that the right to write the app is enough.
patch() { azure rest --method patch --url "$app_id?api-version=$API_VERSION" --body "$1" --output none; }

# put_traffic TABLE: in one request, so that weights and labels change together, and read back.
# `az containerapp ingress traffic set` would rescale what is not named and keep entries of old revisions.
put_traffic() { patch "$(jq -c '{properties: {configuration: {ingress: {traffic: .}}}}' <<<"$1")" && traffic_is "$1"; }

# traffic_is TABLE: ARM answers before it has done what it was asked.
traffic_is() {
  local wanted found try
  wanted=$(jq -c '{properties: {configuration: {ingress: {traffic: .}}}}' <<<"$1" | jq -cS "$SHARES | sort_by(.revision)")
  for ((try = 0; try < VERIFY_TRIES; try++)); do
    read_app || return 1
    found=$(jq -cS "$SHARES | map(select(.weight > 0 or (.labels | length > 0))) | sort_by(.revision)" "$work/app.json")
    if [[ $found == "$wanted" && $(app .properties.provisioningState) != InProgress ]]; then
      return 0
    fi
    pause "$VERIFY_SECONDS"
  done
  note "traffic should be $wanted and is $found"
  return 1
}

# set_activity activate|deactivate REVISION: what counts is what the revision then says, not what az made of the reply.
set_activity() {
  local try wanted
  wanted=$([[ $1 == activate ]] && echo true || echo false)
  for ((try = 1; try <= AZ_TRIES; try++)); do
    AZ_TRIES=1 of_app containerapp revision "$1" --revision "$2" || true
    if read_revisions && [[ $(revision "$2" '.properties.active | tostring') == "$wanted" ]]; then
      return 0
    fi
    pause "$((try * AZ_RETRY_SECONDS))"
  done
  return 1
}

# Its last requests may still be at work, and the platform may need a moment until no new one reaches it.
deactivate() {
  pause "${DRAIN_SECONDS:-20}"
  set_activity deactivate "$1"
}
activate() { set_activity activate "$1"; }

# wait_for_revision NAME: provisioned and not failing. One that is scaled to zero reports no health; its URL wakes it.
wait_for_revision() {
  local try state
  for ((try = 0; try < ${REVISION_TRIES:-60}; try++)); do
    read_revisions || return 1
    state=$(revision "$1" '.properties | "\(.active) \(.provisioningState) \(.healthState) \(.runningState)"')
    case $state in
      *Failed* | *Degraded*)
        note "$1: $state: $(revision "$1" .properties.provisioningError)"
        return 1
        ;;
      "true Provisioned Healthy"* | "true Provisioned None"*) return 0 ;;
    esac
    pause "${REVISION_SECONDS:-5}"
  done
  note "$1 is not healthy: ${state:-it does not exist}"
  return 1
}

# The lock is a tag of the app: Azure offers no compare-and-set there, so it is written, left to settle and read again;
# of two that start together at most one finds its own name. GITHUB_RUN_ID makes a re-run the same owner.
take_lock() {
  local held owner until
  owner=${GITHUB_RUN_ID:-${HOSTNAME:-local}-$$}
  held=$(app ".tags[\"$LOCK_TAG\"]")
  until=${held##*.}
  if [[ -n $held && ${held%.*.*} != "$owner" && ${TAKE_OVER:-0} != 1 && $until =~ ^[0-9]+$ ]] && ((until > $(date +%s))); then
    reason="another rollout (${held%.*.*}) holds it until $(date -u -d "@$until" +%H:%M) UTC; stop that one, or set TAKE_OVER=1"
    return 1
  fi
  lock=$owner.$RANDOM$RANDOM.$(($(date +%s) + ${LOCK_MINUTES:-120} * 60))
  put_lock "$lock" || { lock='' reason="the tag could not be written: $(az_error)" && return 1; }
  pause "${LOCK_SETTLE_SECONDS:-5}"
  if ! read_app || ! holds_lock; then
    lock='' reason="another rollout took it at the same moment"
    return 1
  fi
  started=1
}

holds_lock() { [[ $(app ".tags[\"$LOCK_TAG\"]") == "$lock" ]]; }

# All tags are sent, whether Azure merges them or replaces them.
put_lock() { patch "$(jq -c --arg tag "$LOCK_TAG" --arg value "$1" '{tags: ((.tags // {}) + {($tag): $value})}' "$work/app.json")"; }

release_lock() {
  [[ -z ${lock:-} ]] || { read_app && holds_lock && put_lock free; } ||
    note "the lock could not be given back: it expires, or the next run sets TAKE_OVER=1"
}
