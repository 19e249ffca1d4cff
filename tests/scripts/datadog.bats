#!/usr/bin/env bats
# What Datadog is told: requests as they arrive, against its own typed client where that is installed.
bats_require_minimum_version 1.5.0
load helpers

setup_file() { start_fake_app; }
teardown_file() { stop_fake_app; }
setup() {
  fresh_azure
  settings
}

settings() {
  export DD_API_KEY=key-of-the-api DD_SERVICE=rag-api DD_ENV=prod BUILD_SHA=0123456789abcdef0123456789abcdef01234567
  export REPOSITORY_URL=https://github.com/acme/rag-api STARTED_AT=1790000000 FINISHED_AT=1790000600
}

dora() { run --separate-stderr "$ROOT/scripts/send_datadog_dora_deployment.sh" "$@"; }
sent() { jq -sc "$1" "$AZ_STUB/datadog.log"; }

# typed MODEL BODY: what Datadog's client refuses, Datadog would refuse.
typed() {
  local packages=${DATADOG_PACKAGES:-$ROOT/target/tools/datadog/packages}
  [[ -d $packages/datadog_api_client ]] || { echo "# SKIPPED: datadog-api-client is not installed at $packages" >&3 && return 0; }
  PYTHONPATH=$packages python3 - "$@" <<'PYTHON'
import importlib, json, re, sys
from datadog_api_client.configuration import Configuration
from datadog_api_client.model_utils import validate_and_convert_types
name, body = sys.argv[1], json.loads(sys.argv[2])
module = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower().replace("d_o_r_a", "dora")
model = getattr(importlib.import_module(f"datadog_api_client.v2.model.{module}"), name)
def unparsed(value):
    if getattr(value, "_unparsed", False): raise SystemExit(f"not understood: {value}")
    for part in getattr(value, "_data_store", {}).values():
        for item in part if isinstance(part, list) else [part]: unparsed(item)
unparsed(validate_and_convert_types(body, (model,), ["body"], True, True, Configuration()))
PYTHON
}

@test "success: one deployment, the same id when sent again" {
  dora success
  [ "$status" -eq 0 ]
  first=$output
  dora success
  [ "$output" = "$first" ]
  [[ $first =~ ^[0-9a-f]{32}$ ]]
  [ "$(sent '[.[] | .method + " " + .path] | unique')" = '["POST /api/v2/dora/deployment"]' ]
  [ "$(sent '.[0].body.data.attributes | [.service, .env, .version, .started_at, .finished_at, .git.repository_url]')" = \
    '["rag-api","prod","2.0.0",1790000000000,1790000600000,"https://github.com/acme/rag-api"]' ]
  typed DORADeploymentRequest "$(sent '.[0].body')"
}

@test "failure: the deployment, then that it failed; rollback marks an earlier one" {
  RESTORED_VERSION=1.0.0 dora failure
  [ "$status" -eq 0 ]
  [ "$(sent '[.[] | .method + " " + .path]')" = "[\"POST /api/v2/dora/deployment\",\"PATCH /api/v2/dora/deployments/$output\"]" ]
  [ "$(sent '.[1].body.data.attributes')" = '{"change_failure":true,"remediation":{"type":"rollback","version":"1.0.0"}}' ]
  typed DORADeploymentPatchRequest "$(sent '.[1].body')"
  first=$output
  unset STARTED_AT FINISHED_AT REPOSITORY_URL
  dora rollback
  [ "$output" = "$first" ]
  [ "$(sent '.[2] | [.method, .body.data.attributes]')" = '["PATCH",{"change_failure":true}]' ]
}

@test "DORA: refusals, repetition and wrong settings" {
  app_fault '.datadog = {"/api/v2/dora/deployment": [[503, {}], [429, {}], [200, {}]]}'
  dora success
  [ "$status" -eq 0 ]
  [ "$(sent length)" = 3 ]
  fresh_azure && settings
  app_fault '.datadog = {"/api/v2/dora/deployment": [[403, {errors: ["Forbidden"]}]]}'
  dora success
  [ "$status" -eq 1 ]
  [[ $stderr == *"answered 403"* && $stderr != *key-of* ]]
  [ "$(sent length)" = 1 ]
  BUILD_SHA=abc dora success
  [ "$status" -eq 2 ]
  STARTED_AT=1790000600 FINISHED_AT=1790000000 dora success
  [ "$status" -eq 2 ]
  DD_SITE=evil/host dora success
  [ "$status" -eq 2 ]
}

@test "catalog: the file as it is, both keys; another service or schema is refused" {
  python3 -c 'import yaml' || skip "SKIPPED: PyYAML is not installed"
  export DD_APP_KEY=key-of-the-app
  run --separate-stderr "$ROOT/scripts/sync_datadog_catalog.sh"
  [ "$status" -eq 0 ]
  [ "$(sent '.[0] | [.method, .path, .app_key, .body.metadata.name, .body.apiVersion]')" = \
    '["POST","/api/v2/catalog/entity","key-of-the-app","rag-api","v3"]' ]
  typed EntityV3 "$(sent '.[0].body')"
  DD_SERVICE=other run "$ROOT/scripts/sync_datadog_catalog.sh"
  [ "$status" -eq 1 ]
  echo 'schema-version: v2.2' >"$AZ_STUB/old.yaml"
  run "$ROOT/scripts/sync_datadog_catalog.sh" "$AZ_STUB/old.yaml"
  [ "$status" -eq 1 ]
  [ "$(sent length)" = 1 ]
}

@test "the query of the canary is one that Datadog's client knows" {
  body=$(python3 "$ROOT/scripts/deploy/signals.py" body rag-api prod 2.0.0 1790000000 1790000600)
  typed ScalarFormulaQueryRequest "$body"
  [ "$(jq -r '.data.attributes.queries[1].query' <<<"$body")" = 'sum:trace.http.server.request.hits{service:rag-api,env:prod,version:2.0.0}.as_count()' ]
}
