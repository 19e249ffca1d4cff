# shellcheck shell=bash disable=SC2034,SC2153,SC2154 # variables are shared with the script that sources this
# One call of Datadog's API; sourced, never run. Keys go to curl by a file descriptor: arguments can be read by others.

: "${DD_SITE:=datadoghq.com}" "${DD_TRIES:=4}"

# datadog METHOD PATH BODY_FILE REPLY_FILE: tries again what may pass; a refusal is final and told in datadog_error.
datadog() {
  local try=1 status
  [[ $DD_SITE =~ ^[a-z0-9.-]+$ ]] || die 2 "DD_SITE is '$DD_SITE': a name such as datadoghq.eu is wanted"
  while true; do
    : >"$4"
    status=$(curl -sS --max-time 30 --request "$1" --config <(datadog_headers) --data-binary "@$3" --output "$4" \
      --write-out '%{http_code}' "https://api.$DD_SITE$2" 2>"$work/curl.err") || true
    case $status in
      2??) return 0 ;;
      000) datadog_error=$(head -n 1 "$work/curl.err") ;;
      *) datadog_error="$1 $2 was answered $status: $(head -c 300 "$4")" ;;
    esac
    if ((try >= DD_TRIES)) || [[ $status == 4?? && $status != 408 && $status != 429 ]]; then
      return 1
    fi
    sleep "$((try * 5))"
    try=$((try + 1))
  done
}

datadog_headers() {
  printf 'header = "content-type: application/json"\nheader = "DD-API-KEY: %s"\n' "$DD_API_KEY"
  [[ -z ${DD_APP_KEY:-} ]] || printf 'header = "DD-APPLICATION-KEY: %s"\n' "$DD_APP_KEY"
}
