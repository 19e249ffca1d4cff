#!/usr/bin/env python3
"""The schema of a Terraform provider's release, from the typed bindings that are published for it.

usage: provider_schema.py PROVIDER BINDINGS.whl OUT.json     PROVIDER: the source, as in hashicorp/azurerm

Takes the resources and data sources that terraform/ names, and checks that every versions.tf admits this release.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__.strip())
    source, bindings, out = sys.argv[1:]
    short = source.split("/")[1].lower()
    with tempfile.TemporaryDirectory() as folder:
        document = extract(bindings, wanted(short), pathlib.Path(folder))
    (provider,) = document["provider_schemas"].values()
    document["provider_schemas"] = {f"registry.terraform.io/{source.lower()}": provider}
    document.pop("enums", None)
    pathlib.Path(out).write_text(json.dumps(document))

    release = document["provider_version"]
    wrong = [str(path.relative_to(ROOT)) for path in not_admitting(source, release)]
    if wrong:
        sys.exit(f"error: these do not pin {source} {release}: {', '.join(wrong)}")
    count = len(provider["resource_schemas"]) + len(provider["data_source_schemas"])
    print(f"the schema of provider {release}: {count} types")


def wanted(short):
    """Folders of the bindings: one a resource, named without the provider; data sources have data- and its name in front."""
    folders = {"provider"}
    for path in (ROOT / "terraform").rglob("*.tf"):
        for kind, name in re.findall(rf'^(resource|data) "{short}_(\w+)"', path.read_text(), re.M):
            folder = name.replace("_", "-")
            folders.add(folder if kind == "resource" else f"data-{short}-{folder}")
    return folders


def extract(bindings, folders, folder):
    wheel = zipfile.ZipFile(bindings)
    inner = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
    starts = tuple(f"package/lib/{name}/" for name in folders)
    with tarfile.open(fileobj=wheel.open(inner)) as archive:
        archive.extractall(folder, [member for member in archive if member.name.startswith(starts)], filter="data")
    raw = folder / "schema.json"
    shared = pathlib.Path(os.environ.get("RAG_SHARED", ROOT / "../shared"))
    tool = shared / "infra/tools/terraform/extract_schema.py"
    subprocess.run([sys.executable, tool, folder / "package/lib", raw, "ALL"], check=True, stdout=subprocess.DEVNULL)
    return json.loads(raw.read_text())


def not_admitting(source, release):
    pins = {f'"{release}"', f'"~> {".".join(release.split(".")[:2])}"'}
    for path in sorted((ROOT / "terraform").rglob("versions.tf")):
        if ".terraform" in path.parts:
            continue
        for version in re.findall(rf'source\s*=\s*"{source}"\s*version\s*=\s*("[^"]*")', path.read_text()):
            if version not in pins:
                yield path


if __name__ == "__main__":
    main()
