#!/usr/bin/env bash
# What must exist before Terraform can run: a place for its state, and who may use it; see usage below.
set -euo pipefail

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'TEXT'
usage: setup-azure.sh    as often as you like: what is there already is left or brought to the same state

Needed: az logged in as somebody who may assign roles on the subscription, LOCATION, STATE_ACCOUNT (3 to 24 of a-z 0-9, unique
in all of Azure). With GITHUB_REPOSITORY=OWNER/NAME it also makes an identity by which Terraform may run in GitHub Actions:
Entra trusts runs of the environments GITHUB_ENVIRONMENTS="infrastructure" of that repository, and no password exists anywhere.

  resource group STATE_GROUP=rag-tfstate-rg, storage account (no access keys, no public blobs, versions kept 30 days),
  container tfstate; you and the identity may write it
  the identity may create resources in the subscription, and assign those roles only that terraform/ assigns

The identity that deploys images is not made here but by terraform/, with far fewer rights.
DRY_RUN=1 prints the commands that would change something.

Example: LOCATION=japaneast STATE_ACCOUNT=acmeragstate GITHUB_REPOSITORY=acme/rag-api ./scripts/setup-azure.sh
Exit codes: 0 done, 1 Azure refused something (run it again after mending that), 2 wrong usage.
TEXT
}

: "${STATE_GROUP:=rag-tfstate-rg}" "${GITHUB_ENVIRONMENTS:=infrastructure}" "${IDENTITY_NAME:=rag-terraform}"
readonly CONTAINER=tfstate
# The roles that terraform/ assigns; a test compares.
readonly ROLES=("Search Index Data Reader" "Search Index Data Contributor" "Search Service Contributor" "Key Vault Secrets User"
  "Key Vault Secrets Officer" "Cognitive Services OpenAI User" "AcrPull" "Container Apps Contributor" "Container Apps Jobs Contributor"
  "Managed Identity Operator")

main() {
  case ${1:-} in
    '') ;;
    --help | -h) usage && return ;;
    *) die 2 "unknown argument '$1'; see --help" ;;
  esac
  require_tools az jq
  require_variables LOCATION STATE_ACCOUNT
  [[ $STATE_ACCOUNT =~ ^[a-z0-9]{3,24}$ ]] || die 2 "STATE_ACCOUNT is '$STATE_ACCOUNT': 3 to 24 of a-z and 0-9"
  [[ -z ${GITHUB_REPOSITORY:-} || $GITHUB_REPOSITORY =~ ^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$ ]] || die 2 "GITHUB_REPOSITORY is OWNER/NAME"
  read_account
  step "the place for Terraform's state"
  make_state
  if [[ -n ${GITHUB_REPOSITORY:-} ]]; then
    step "the identity for GitHub Actions"
    make_identity
  fi
  tell
}

read_account() {
  ask account show || die 1 "az is not logged in: run 'az login'"
  subscription=$(jq -r .id <<<"$reply")
  tenant=$(jq -r .tenantId <<<"$reply")
  # A service principal has no signed-in user; it is then named by STATE_WRITER.
  writer=${STATE_WRITER:-}
  [[ -n $writer ]] || { ask ad signed-in-user show && writer=$(jq -r .id <<<"$reply"); } ||
    die 1 "who may write the state is unknown: set STATE_WRITER to an object id"
}

make_state() {
  local account="/subscriptions/$subscription/resourceGroups/$STATE_GROUP/providers/Microsoft.Storage/storageAccounts/$STATE_ACCOUNT"
  do_it group create --name "$STATE_GROUP" --location "$LOCATION"
  do_it storage account create --name "$STATE_ACCOUNT" --resource-group "$STATE_GROUP" --location "$LOCATION" --sku Standard_ZRS \
    --kind StorageV2 --min-tls-version TLS1_2 --allow-shared-key-access false --allow-blob-public-access false --https-only true
  do_it storage account blob-service-properties update --account-name "$STATE_ACCOUNT" --resource-group "$STATE_GROUP" \
    --enable-versioning true --enable-delete-retention true --delete-retention-days 30
  # By Resource Manager, as the right to the data that the next line gives needs minutes to be known everywhere.
  do_it storage container-rm create --name "$CONTAINER" --storage-account "$STATE_ACCOUNT" --resource-group "$STATE_GROUP"
  state_scope=$account/blobServices/default/containers/$CONTAINER
  assign "$writer" "" "Storage Blob Data Contributor" "$state_scope"
}

make_identity() {
  local principal environment
  do_it identity create --name "$IDENTITY_NAME" --resource-group "$STATE_GROUP" --location "$LOCATION"
  if ask identity show --name "$IDENTITY_NAME" --resource-group "$STATE_GROUP"; then
    principal=$(jq -r .principalId <<<"$reply")
    client=$(jq -r .clientId <<<"$reply")
  elif [[ ${DRY_RUN:-0} == 1 ]]; then
    principal=PRINCIPAL client=CLIENT
  else
    die 1 "the identity $IDENTITY_NAME cannot be read"
  fi
  for environment in $GITHUB_ENVIRONMENTS; do
    do_it identity federated-credential create --name "github-$environment" --identity-name "$IDENTITY_NAME" \
      --resource-group "$STATE_GROUP" --issuer https://token.actions.githubusercontent.com \
      --subject "repo:$GITHUB_REPOSITORY:environment:$environment" --audiences api://AzureADTokenExchange
  done
  assign "$principal" ServicePrincipal "Storage Blob Data Contributor" "$state_scope"
  assign "$principal" ServicePrincipal "Contributor" "/subscriptions/$subscription"
  assign "$principal" ServicePrincipal "Role Based Access Control Administrator" "/subscriptions/$subscription" "$(only_these_roles)"
}

# assign PRINCIPAL TYPE ROLE SCOPE [CONDITION]: az answers with the assignment that exists already.
assign() {
  local more=()
  [[ -z $2 ]] || more+=(--assignee-principal-type "$2")
  [[ -z ${5:-} ]] || more+=(--condition "$5" --condition-version 2.0)
  do_it role assignment create --assignee-object-id "$1" "${more[@]}" --role "$3" --scope "$4"
}

# Whoever may assign any role may take any; so the identity may give and take these alone.
only_these_roles() {
  local role ids=() list part
  for role in "${ROLES[@]}"; do
    ask role definition list --name "$role" || die 1 "the role $role cannot be read"
    ids+=("$(jq -er '.[0].name' <<<"$reply")") || die 1 "there is no role $role"
  done
  list=$(IFS=, && echo "${ids[*]}")
  for part in write:Request delete:Resource; do
    printf "%s((!(ActionMatches{'Microsoft.Authorization/roleAssignments/%s'})) OR (@%s[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {%s}))" \
      "$([[ $part == write* ]] || echo ' AND ')" "${part%:*}" "${part#*:}" "$list"
  done
}

# ask …: a call that changes nothing, its output in $reply.
ask() { reply=$(az "$@" --only-show-errors --output json); }

do_it() {
  if [[ ${DRY_RUN:-0} == 1 ]]; then
    printf 'would run: az%s\n' "$(printf ' %q' "$@")" >&2
    return
  fi
  note "az ${*:1:3}"
  az "$@" --only-show-errors --output none || die 1 "az ${*:1:3} failed; mend what it says and run this again"
}

tell() {
  cat <<TEXT

terraform/environments/*/backend.hcl:
  storage_account_name = "$STATE_ACCOUNT"
  container_name       = "$CONTAINER"
TEXT
  [[ -z ${GITHUB_REPOSITORY:-} ]] || cat <<TEXT

Variables (not secrets) of the GitHub environments $GITHUB_ENVIRONMENTS:
  AZURE_CLIENT_ID=$client
  AZURE_TENANT_ID=$tenant
  AZURE_SUBSCRIPTION_ID=$subscription
TEXT
}

main "$@"
