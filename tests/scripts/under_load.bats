#!/usr/bin/env bats
# No request fails while traffic moves: real servers, a real front that follows the weights, questions without a pause.
bats_require_minimum_version 1.5.0
load helpers

setup_file() {
  local root=$BATS_TEST_DIRNAME/../..
  local binary=${RAG_API_BINARY:-${CARGO_TARGET_DIR:-$root/target}/release/rag-api} model=${MODEL_DIR:-$root/model}
  # A skip in here would fail the tear-down of the file: each test skips by itself.
  export ABSENT=
  [[ -x $binary ]] || ABSENT="SKIPPED: no rag-api binary at $binary (RAG_API_BINARY)"
  [[ -f $model/model.safetensors ]] || ABSENT="SKIPPED: no model at $model (MODEL_DIR)"
  [[ -x /usr/sbin/nginx ]] || command -v nginx >/dev/null || ABSENT="SKIPPED: nginx is not installed"
  [[ -z $ABSENT ]] || return 0
  start_fake_app
  MODEL_DIR=$model INDEX_DIR=$BATS_FILE_TMPDIR/index "$binary" ingest "$BATS_TEST_DIRNAME/../../data" 2>"$BATS_FILE_TMPDIR/ingest.log"
  jq -n --arg binary "$(realpath "$binary")" --arg model "$(realpath "$model")" --arg index "$BATS_FILE_TMPDIR/index" \
    --argjson http "$(free_port)" --argjson tls "$(free_port)" '$ARGS.named' >"$BATS_FILE_TMPDIR/front.json"
}
teardown_file() { [[ ! -f $BATS_FILE_TMPDIR/app/pid ]] || stop_fake_app; }

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

setup() {
  [[ -z $ABSENT ]] || skip "$ABSENT"
  fresh_azure
  cp "$BATS_FILE_TMPDIR/front.json" "$APP_FOLDER/cert.pem" "$APP_FOLDER/key.pem" "$AZ_STUB/"
  azure_state '.app.properties.configuration.ingress.traffic = [{revisionName: "rag--v1", weight: 100}]'
  jq '{forward: .tls}' "$AZ_STUB/front.json" >"$AZ_STUB/app.json"
  # Time is real here: servers need it to drain.
  mkdir "$AZ_STUB/bin"
  ln -s "$BATS_TEST_DIRNAME/bin/az" "$AZ_STUB/bin/az"
  PATH=$AZ_STUB/bin:$(sed "s|$BATS_TEST_DIRNAME/bin:||" <<<"$PATH")
  export AZ_STUB_AFTER=$BATS_TEST_DIRNAME/front.py DRAIN_SECONDS=2 BAKE_SECONDS=1 WATCH_SECONDS=1 READY_SECONDS=1 VERIFY_SECONDS=1
  export LOCK_SETTLE_SECONDS=0 MIN_REQUESTS=20 P95_SLACK_SECONDS=5 READY_TRIES=20 SMOKE_STREAM=auto GOLDEN_DIR=$ROOT/tests/golden
  unset GOLDEN_FOREIGN
  python3 "$AZ_STUB_AFTER" "$AZ_STUB"
  python3 "$BATS_TEST_DIRNAME/load.py" "$(jq .http "$AZ_STUB/front.json")" "$AZ_STUB" 3 3>&- &
  load=$!
}

teardown() {
  [[ -z $ABSENT ]] || return 0
  touch "$AZ_STUB/stop"
  wait "$load" || true
  python3 "$AZ_STUB_AFTER" "$AZ_STUB" stop
}

@test "canary, rollback, a refused canary, blue-green there and back: no request fails" {
  canary
  [ "$status" -eq 0 ]
  "$ROOT/scripts/rollback.sh"
  mkdir "$AZ_STUB/hooks"
  printf '#!/bin/sh\n[ "$ROLLOUT_WEIGHT" != 50 ]\n' >"$AZ_STUB/hooks/rollout"
  chmod +x "$AZ_STUB/hooks/rollout"
  HOOKS_DIR=$AZ_STUB/hooks REVISION_SUFFIX=v3 canary
  [ "$status" -eq 1 ]
  REVISION_SUFFIX=v4 "$ROOT/scripts/deploy_blue_green.sh"
  "$ROOT/scripts/deploy_blue_green.sh" --switch
  weights_were 'v1=100 | v1=90 v2=10 | v1=50 v2=50 | v2=100 | v1=100 | v1=90 v3=10 | v1=50 v3=50 | v1=100 | v4=100 | v1=100'
  state_is "previous:v4 stable:v1" "v1 v4"
  touch "$AZ_STUB/stop"
  wait "$load"
  echo "# failed $(jq '.failed | length' "$AZ_STUB/load.json") of $(jq .requests "$AZ_STUB/load.json") requests, served by $(jq '.served | length' "$AZ_STUB/load.json") revisions" >&3
  jq . "$AZ_STUB/load.json"
  [ "$(jq '.failed | length' "$AZ_STUB/load.json")" -eq 0 ]
  [ "$(jq '.served | length' "$AZ_STUB/load.json")" -eq 4 ]
  [ "$(jq '.requests' "$AZ_STUB/load.json")" -gt 200 ]
}
