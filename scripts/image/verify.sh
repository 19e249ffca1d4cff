#!/usr/bin/env bash
# Runs an image as strictly as a platform would, and checks what comes of it; see usage below.
set -euo pipefail

# shellcheck source=scripts/image/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'TEXT'
usage: ./scripts/image/verify.sh IMAGE

       ./scripts/image/verify.sh rag-api:dev
       SBOM=sbom.json ./scripts/image/verify.sh rag-api:dev
       sudo EMULATE=1 ./scripts/image/verify.sh rag-api:dev-arm64

Looks inside (size, user, labels, no shell, no source, no secret, the pinned model), then lets the image ingest data/
without a network, serve the index with a read-only root, no capabilities, no new privileges and little memory, answer
/health, /ready and /query, and stop while a request is under way. Containers and volume are removed at the end.

An image of another architecture runs where the kernel has an emulator for it. What is measured then is the emulator's:
its times and its memory say nothing of the image. Ingesting data/ alone may take ten minutes so.

ENGINE   podman or docker: the first that has the image
MAX_MB   largest size of all files: 140
MEMORY   memory limit of the container: 512m
PORT     on 127.0.0.1, of this machine's network: 18080
SBOM     write the CycloneDX list of components here; needs syft
SYFT     syft, where it is not on PATH
PATIENCE  this many times the usual time limits, a whole number: 1, for an image of another architecture 20
EMULATE=1  lend the kernel qemu-user-static meanwhile, where it has no emulator for the image; needs root
DRY_RUN=1  print the commands that would run containers

Needs Linux, python3, curl. The last line of stdout holds the figures.
Exit codes: 0 all holds, 1 something does not, 2 wrong usage or something is missing.
TEXT
}

readonly QUESTION='{"question": "How many characters may a question have?"}'

main() {
  [[ ${1:-} != --help && ${1:-} != -h ]] || { usage && return; }
  [[ $# -eq 1 ]] || die 2 "name one image; see --help"
  image=$1 port=${PORT:-18080}
  cd "$(dirname "${BASH_SOURCE[0]}")/../.."
  local tool
  for tool in python3 curl; do
    have "$tool" || die 2 "$tool was not found: install it, as with 'apt-get install $tool'"
  done
  work=$(mktemp -d)
  name=rag-api-verify-$$ volume=rag-api-verify-$$
  trap clean EXIT
  trap 'exit 130' INT TERM
  prepare_podman
  engine=$(choose_engine)
  architecture=$("$engine" image inspect --format '{{.Architecture}}' "$image")
  own=$(architecture_of '')
  patience=${PATIENCE:-$([[ $architecture == "$own" ]] && echo 1 || echo 20)}
  [[ $patience =~ ^[1-9][0-9]*$ ]] || die 2 "PATIENCE is '$patience': say a whole number from 1"
  flags
  if [[ -n ${DRY_RUN:-} ]]; then
    run "$engine" run "${strict[@]}" --network none "${mounts[@]}" "$image" ingest /data
    run "$engine" run "${strict[@]}" "${serving[@]}" "$image"
    return
  fi
  ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || die 2 "port $port is in use: choose another with PORT"

  step "looking inside $image"
  save "$work/image.tar"
  python3 scripts/image/look_inside.py "$work/image.tar" "${MAX_MB:-140}" | tee "$work/facts" >&2
  components=$(list_components)
  runnable
  step "ingesting data/ without a network"
  "$engine" volume create "$volume" >/dev/null
  "$engine" run --rm "${strict[@]}" --network none "${mounts[@]}" "$image" ingest /data >&2
  step "serving"
  serve_until_ready
  ask
  confined
  resolve
  drain
  summary
}

choose_engine() {
  local candidate
  for candidate in ${ENGINE:-podman docker}; do
    if have "$candidate" && "$candidate" image inspect "$image" >/dev/null 2>&1; then
      echo "$candidate"
      return
    fi
  done
  die 2 "no image $image was found with ${ENGINE:-podman or docker}: build it with ./scripts/image/build.sh"
}

flags() {
  strict=(--read-only --cap-drop=all --security-opt no-new-privileges --memory "${MEMORY:-512m}" --pids-limit 128)
  # Podman would mount writable folders of its own; the image must do without.
  [[ $engine != podman ]] || strict+=(--read-only-tmpfs=false)
  # Where there is no systemd, there are no timers for health checks, and limits cannot be raised.
  [[ $engine != podman || -d /run/systemd/system ]] || strict+=(--ulimit host --no-healthcheck)
  mounts=(-v "$volume:/var/lib/rag-api" -v "$PWD/data:/data:ro")
  serving=(-d --name "$name" --network host -e HOST=127.0.0.1 -e "PORT=$port" -v "$volume:/var/lib/rag-api")
}

# Asks the image itself, as an emulator may come from anywhere.
runnable() {
  [[ $architecture != "$own" ]] || return 0
  ! starts || return 0
  [[ -n ${EMULATE:-} ]] || die 2 "this $own machine does not run $architecture programs: set EMULATE=1, or install qemu-user-static and binfmt-support"
  step "lending the kernel an emulator for $architecture"
  emulate "$architecture" || die 2 "the kernel takes no emulator for $architecture: that needs root, qemu-user-static and binfmt_misc"
  starts || die 2 "$architecture programs do not start here even with an emulator: $("$engine" run --rm "${strict[@]}" "$image" --version 2>&1 | tail -n 2)"
}

starts() { "$engine" run --rm "${strict[@]}" "$image" --version >/dev/null 2>&1; }

save() {
  if [[ $engine == podman ]]; then
    podman save --quiet --format docker-archive -o "$1" "$image" 2>/dev/null
  else
    docker save -o "$1" "$image"
  fi
}

list_components() {
  local syft=${SYFT:-syft}
  if ! have "$syft"; then
    [[ -z ${SBOM:-} ]] || die 2 "SBOM needs syft: install it, or name it with SYFT"
    echo "unknown (no syft)"
    return
  fi
  SYFT_CHECK_FOR_APP_UPDATE=false "$syft" scan --quiet "docker-archive:$work/image.tar" -o cyclonedx-json >"$work/sbom.json"
  [[ -z ${SBOM:-} ]] || cp "$work/sbom.json" "$SBOM"
  python3 - "$work/sbom.json" <<'PYTHON'
import json, sys
from collections import Counter
parts = [c for c in json.load(open(sys.argv[1]))["components"] if c.get("purl")]
kinds = Counter(c["purl"].split(":")[1].split("/")[0] for c in parts)
if kinds["cargo"] < 100 or not kinds["deb"]:
    sys.exit(f"error: the image's crates or system packages cannot be seen from outside: {dict(kinds)}")
print(f"{len(parts)} ({kinds['cargo']} crates, {kinds['deb']} system packages)")
PYTHON
}

serve_until_ready() {
  local begin
  begin=$(now)
  "$engine" run "${strict[@]}" "${serving[@]}" "$image" >/dev/null
  until curl -sf --max-time $((2 * patience)) -o "$work/health" "http://127.0.0.1:$port/health"; do starting "$begin"; done
  healthy=$(($(now) - begin))
  until curl -sf --max-time $((2 * patience)) -o "$work/ready" "http://127.0.0.1:$port/ready"; do starting "$begin"; done
  ready=$(($(now) - begin))
  "$engine" exec "$name" /usr/local/bin/rag-api healthcheck || die 1 "the health check fails on a healthy server"
  ! "$engine" exec -e PORT=1 "$name" /usr/local/bin/rag-api healthcheck 2>/dev/null ||
    die 1 "the health check succeeds where nothing listens"
  pid=$("$engine" inspect --format '{{.State.Pid}}' "$name")
  resting=$(memory VmRSS)
}

starting() {
  [[ $("$engine" inspect --format '{{.State.Running}}' "$name") == true ]] || die 1 "the server ended: $("$engine" logs "$name" 2>&1 | tail -n 5)"
  (($(now) - $1 < 60000 * patience)) || die 1 "the server is not ready after $((60 * patience)) s: $("$engine" logs "$name" 2>&1 | tail -n 5)"
  sleep 0.02
}

ask() {
  local sha
  sha=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["build_sha"])' "$work/health")
  grep -q "revision $sha\$" "$work/facts" || die 1 "/health says build_sha $sha, the image's variables another"
  curl -sS --fail-with-body --max-time $((30 * patience)) "http://127.0.0.1:$port/query" -H 'content-type: application/json' -d "$QUESTION" \
    >"$work/answer" || die 1 "the question was refused: $(<"$work/answer")"
  python3 - "$work/answer" <<'PYTHON' >&2
import json, sys
reply = json.load(open(sys.argv[1]))
assert reply["metadata"]["grounded"] and "4,000" in reply["answer"], reply["answer"]
print("        ", reply["answer"].splitlines()[0][:110])
PYTHON
  step "asking 400 questions, 8 at a time"
  seq 400 | xargs -P 8 -I '{}' curl -sf --max-time $((30 * patience)) -o /dev/null "http://127.0.0.1:$port/query" \
    -H 'content-type: application/json' -d '{"question": "What does variable number {} change, and what is its limit?", "top_k": 10}' ||
    die 1 "some of 400 questions failed: $("$engine" logs "$name" 2>&1 | tail -n 5)"
  peak=$(memory VmHWM)
}

# What the kernel says of the process, not what was asked for.
confined() {
  local wanted status=/proc/$pid/status
  for wanted in 'CapEff:[[:space:]]0+$' 'CapBnd:[[:space:]]0+$' 'NoNewPrivs:[[:space:]]1$' 'Seccomp:[[:space:]]2$' 'Uid:[[:space:]][1-9][0-9]{4,}[[:space:]]'; do
    grep -qE "^$wanted" "$status" || die 1 "the process is less confined than it should be: $(grep "^${wanted%%:*}" "$status")"
  done
  ! "$engine" exec "$name" /bin/sh -c true 2>/dev/null || die 1 "there is a shell in the image"
}

# With a C library cut to the bone, looking up names is what breaks first. The server itself plays the upstream.
resolve() {
  local said
  said=$("$engine" run --rm "${strict[@]}" --network host --add-host upstream.test:127.0.0.1 \
    -e "OPENAI_BASE_URL=http://upstream.test:$port/v1" -e OPENAI_MODEL=m -v "$volume:/var/lib/rag-api" "$image" check 2>&1) ||
    die 1 "names are not resolved, or the image's own configuration is wrong: $said"
}

drain() {
  local code
  step "stopping with a request under way"
  python3 scripts/image/drain.py "$port" "$patience" "$engine" stop -t $((30 * patience)) "$name" >&2
  code=$("$engine" inspect --format '{{.State.ExitCode}}' "$name")
  [[ $code == 0 ]] || die 1 "the server ended with exit code $code on SIGTERM"
  [[ $("$engine" inspect --format '{{.State.OOMKilled}}' "$name") == false ]] || die 1 "the container ran out of memory"
}

summary() {
  local emulated=''
  [[ $architecture == "$own" ]] || emulated=" emulated on $own"
  printf '%s: %s%s, %s; healthy after %d ms, ready after %d ms; %d MB resident at rest, %d MB at most under 400 questions (limit %s); components: %s\n' \
    "$image" "$architecture" "$emulated" "$(grep -E ' MB in [0-9]+ layers' "$work/facts" | cut -d, -f1)" "$healthy" "$ready" "$resting" "$peak" "${MEMORY:-512m}" "$components"
}

now() { date +%s%3N; }
memory() { awk -v name="$1:" '$1 == name { print int($2 / 1000) }' "/proc/$pid/status"; }

clean() {
  local code=$?
  trap - EXIT INT TERM
  if [[ -n ${engine:-} && -z ${DRY_RUN:-} ]]; then
    "$engine" rm -f "$name" >/dev/null 2>&1 || true
    "$engine" volume rm -f "$volume" >/dev/null 2>&1 || true
  fi
  rm -rf "$work"
  forget_podman
  forget_emulator
  exit "$code"
}

main "$@"
