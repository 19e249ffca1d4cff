#!/usr/bin/env bats
# Every command of RUNBOOK.md is executed, in its order and in one shell, so that none is only written; and the bootstrap.
bats_require_minimum_version 1.5.0
load helpers

setup_file() { start_fake_app; }
teardown_file() { stop_fake_app; }
setup() { fresh_azure; }

commands() { awk '/^```/ { inside = !inside && $0 == "```sh"; next } inside' "$ROOT/RUNBOOK.md"; }

# rag-api parses the command's arguments and prints its help instead of doing it; without a binary those lines are told.
rag_api_that_only_parses() {
  local binary=${RAG_API_BINARY:-${CARGO_TARGET_DIR:-$ROOT/target}/release/rag-api}
  mkdir "$AZ_STUB/bin"
  if [[ -x $binary ]]; then
    printf '#!/bin/sh\nexec "%s" "$@" --help\n' "$(realpath "$binary")" >"$AZ_STUB/bin/rag-api"
  else
    printf '#!/bin/sh\necho "not checked: rag-api $*" >>"%s"\n' "$AZ_STUB/not-checked" >"$AZ_STUB/bin/rag-api"
  fi
  chmod +x "$AZ_STUB/bin/rag-api"
  export PATH=$AZ_STUB/bin:$PATH
}

@test "the runbook's commands work" {
  local command number=0
  rag_api_that_only_parses
  [ "$(commands | grep -c .)" -ge 25 ]
  # The state that the runbook speaks of: v2 serves, v1 is the version before.
  "$ROOT/scripts/deploy_blue_green.sh"
  unset REVISION_SUFFIX
  export SMOKE_QUESTION="Where is the manual?"
  cd "$ROOT"
  while IFS= read -r command; do
    [[ -n $command ]] || continue
    echo "\$ $command"
    # Going back by name needs something to go back from, and what is to sleep must not serve.
    eval "$command" </dev/null || { echo "failed ($?): $command" && return 1; }
    number=$((number + 1))
  done < <(commands)
  [ "$number" -eq "$(commands | grep -c .)" ]
  [[ ! -e $AZ_STUB/not-checked ]] || echo "# SKIPPED: no rag-api binary: $(grep -c . "$AZ_STUB/not-checked") commands not parsed" >&3
  echo "# $number commands of the runbook executed" >&3
}

@test "setup-azure: state without keys, an identity that may assign named roles alone; again the same" {
  export LOCATION=japaneast STATE_ACCOUNT=acmeragstate GITHUB_REPOSITORY=acme/rag-api
  run --separate-stderr "$ROOT/scripts/setup-azure.sh"
  echo "$output$stderr"
  [ "$status" -eq 0 ]
  [[ $output == *"AZURE_CLIENT_ID=client-1"* ]]
  made=$(jq -r 'select(.[0:2] != ["account", "show"]) | join(" ")' "$AZ_STUB/calls.log")
  [[ $made == *"--allow-shared-key-access false --allow-blob-public-access false"* ]]
  [[ $made == *"--subject repo:acme/rag-api:environment:infrastructure --audiences api://AzureADTokenExchange"* ]]
  [ "$(grep -c 'role assignment create' <<<"$made")" -eq 4 ]
  [[ $made != *"--role Owner"* && $made != *password* ]]
  administrator=$(grep 'Role Based Access Control Administrator' <<<"$made")
  [[ $administrator == *"GuidEquals {guid-of-search-index-data-reader,"*"guid-of-managed-identity-operator})"*"--condition-version 2.0"* ]]
  run "$ROOT/scripts/setup-azure.sh"
  [ "$status" -eq 0 ]
  STATE_ACCOUNT=No-Such run "$ROOT/scripts/setup-azure.sh"
  [ "$status" -eq 2 ]
  azure_fault '{match: "storage account create", message: "(StorageAccountAlreadyTaken)"}'
  run "$ROOT/scripts/setup-azure.sh"
  [ "$status" -eq 1 ]
}

@test "setup-azure knows every role that terraform assigns" {
  local role roles
  roles=$(grep -rhoE '(role_definition_name|role) *= *"[A-Z][A-Za-z ]+"' "$ROOT/terraform" --include='*.tf' | sed -E 's/.*"(.*)"/\1/' | sort -u)
  while IFS= read -r role; do
    [[ -z $role ]] || grep -qF "\"$role\"" "$ROOT/scripts/setup-azure.sh" || { echo "$role is not in setup-azure.sh" && return 1; }
  done <<<"$roles"
}
