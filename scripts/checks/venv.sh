# shellcheck shell=bash
# Python tools of the checks, each set in a place of its own below target; sourced, never run.

# use_venv NAME: puts the tools of NAME.txt, pinned by hash, first on PATH; ends with 3 where they cannot be installed.
use_venv() {
  local wanted=scripts/checks/$1.txt folder mark
  folder=$(realpath -m "${CARGO_TARGET_DIR:-target}")/tools/$1
  mark=$folder/installed.txt
  if ! cmp -s "$wanted" "$mark"; then
    step "installing what checks the $1 into $folder"
    { rm -rf "$folder" &&
      python3 -m venv "$folder" &&
      "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes --requirement "$wanted" &&
      cp "$wanted" "$mark"; } >&2 || absent "the tools of $wanted could not be installed"
  fi
  PATH=$folder/bin:$PATH
}

absent() {
  echo "$1" >&2
  exit 3
}
