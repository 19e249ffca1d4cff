# shellcheck shell=bash
# Runs the real terraform against a stand-in that serves the schema of a provider's release; sourced after lib.sh.
# Terraform asks a provider of its own kind for schema and plans, over its own protocol; no account is used.

absent() {
  echo "$1" >&2
  exit 3
}

# stand_in_prepare: what every stand-in needs, or exit code 3. Sets tools_dir and stand_in.
stand_in_prepare() {
  local shared=${RAG_SHARED:-../shared}
  have terraform || absent "terraform is not installed"
  have python3 || absent "python3 is not installed"
  [[ -f $shared/infra/tools/terraform/stub_provider.py ]] || absent "$shared has no stand-in for providers"
  RAG_SHARED=$(realpath "$shared")
  stand_in=$RAG_SHARED/infra/tools/terraform
  mkdir -p "${CARGO_TARGET_DIR:-target}/tools"
  tools_dir=$(realpath "${CARGO_TARGET_DIR:-target}/tools")
  stand_in_packages stand-in grpcio==1.85.1 msgpack==1.2.4
  export RAG_SHARED CHECKPOINT_DISABLE=1 PYTHONDONTWRITEBYTECODE=1
  # Neither a mirror, a cache nor an account of this machine may stand in for the stand-in.
  unset TF_CLI_CONFIG_FILE TF_PLUGIN_CACHE_DIR TF_DATA_DIR TF_WORKSPACE TF_CLI_ARGS "${!TF_VAR_@}" "${!ARM_@}"
}

# stand_in_packages FOLDER PACKAGE…: Python packages, kept below target and put on PYTHONPATH.
stand_in_packages() {
  local folder=$tools_dir/$1 mark
  shift
  mark=$folder/ready-$(cksum <<<"$*" | cut -d ' ' -f 1)
  if [[ ! -f $mark ]]; then
    PIP_ROOT_USER_ACTION=ignore python3 -m pip --quiet --disable-pip-version-check install --upgrade --target "$folder" "$@" >&2 ||
      absent "the Python packages could not be installed: $*"
    touch "$mark"
  fi
  export PYTHONPATH=$folder${PYTHONPATH:+:$PYTHONPATH}
}

# stand_in_schema PROVIDER BINDINGS VERSION OUT: the schema of the resources that terraform/ names.
stand_in_schema() {
  local provider=$1 bindings=$2 version=$3 out=$4 wheel
  wheel=$tools_dir/wheels/${bindings//-/_}-$version-py3-none-any.whl
  [[ -f $wheel ]] ||
    python3 -m pip --quiet --disable-pip-version-check download --no-deps --dest "$tools_dir/wheels" "$bindings==$version" >&2 ||
    absent "the bindings $bindings $version could not be fetched"
  python3 scripts/checks/provider_schema.py "$provider" "$wheel" "$out"
}

# with_stand_in SCHEMA COMMAND…
with_stand_in() {
  local schema=$1
  shift
  python3 "$stand_in/stub_provider.py" "$schema" -- "$@"
}
