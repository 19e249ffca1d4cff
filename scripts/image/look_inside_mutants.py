"""Proves look_inside.py: builds a sound image, seeds one mistake after the other, and wants each one named.

usage: look_inside_mutants.py    prints how many were found, and exits 1 if one was not
"""

import contextlib
import hashlib
import io
import json
import struct
import sys
import tarfile
import tempfile
from pathlib import Path

import look_inside

USER = 65532


def main():
    wrong = []
    if said := judge():
        wrong.append(f"a sound image is blamed: {said}")
    for name, mistake, wanted in MISTAKES:
        said = judge(mistake)
        if not any(wanted in line for line in said):
            wrong.append(f"{name}: nothing says {wanted!r}, but {said}")
    print(f"{len(MISTAKES) - len(wrong)} of {len(MISTAKES)} spoiled images found out")
    print("\n".join(wrong))
    sys.exit(1 if wrong else 0)


def judge(mistake=lambda image, files: None):
    image, files = sound()
    look_inside.MODEL = {name: hashlib.sha256(b"weights").hexdigest() for name in look_inside.MODEL}
    mistake(image, files)
    with tempfile.TemporaryDirectory() as work:
        archive = Path(work) / "image.tar"
        save(archive, image, files)
        errors = io.StringIO()
        sys.argv = ["look_inside.py", str(archive), "1"]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors), contextlib.suppress(SystemExit):
            look_inside.main()
    return errors.getvalue().splitlines()


def sound():
    labels = {f"org.opencontainers.image.{label}": "x" for label in look_inside.LABELS}
    variables = ("HOST", "PORT", "LOG_FORMAT", "MODEL_DIR", "INDEX_DIR", "APP_VERSION", "BUILD_SHA", "IMAGE_TAG")
    config = {
        "User": f"{USER}:{USER}",
        "Entrypoint": ["/usr/local/bin/rag-api"],
        "Healthcheck": {"Test": ["CMD", "/usr/local/bin/rag-api", "healthcheck"]},
        "StopSignal": "SIGTERM",
        "Labels": labels,
        "Env": [f"{name}=x" for name in variables],
    }
    files = {
        "usr/local/bin/rag-api": (elf(183), 0o555, 0),
        "usr/lib/libc.so.6": (elf(183), 0o644, 0),
        "usr/share/rag-api/model/model.safetensors": (b"weights", 0o444, 0),
        "usr/share/rag-api/model/tokenizer.json": (b"weights", 0o444, 0),
        "var/lib/rag-api/index": (None, 0o700, USER),
    }
    return {"os": "linux", "architecture": "arm64", "config": config}, files


def elf(machine):
    return b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 3, machine) + bytes(44)


def save(archive, image, files):
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as layers:
        for path, (data, mode, user) in files.items():
            add(layers, path, data, mode, user)
    with tarfile.open(archive, "w") as saved:
        manifest = [{"Config": "config.json", "Layers": ["layer.tar"]}]
        for path, data in (("manifest.json", json.dumps(manifest).encode()), ("config.json", json.dumps(image).encode()), ("layer.tar", layer.getvalue())):
            add(saved, path, data, 0o644, 0)


def add(archive, path, data, mode, user):
    entry = tarfile.TarInfo(path)
    entry.mode, entry.uid = mode, user
    if data is None:
        entry.type = tarfile.DIRTYPE
    else:
        entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data or b""))


def put(path, data=b"x", mode=0o644, user=0):
    return lambda image, files: files.update({path: (data, mode, user)})


def set_config(**values):
    return lambda image, files: image["config"].update(values)


# What happened, how it is done, and what must be said of it.
MISTAKES = [
    ("the builder's own binary", put("usr/local/bin/rag-api", elf(62), 0o555), "rag-api is for amd64, the image for arm64"),
    ("the builder's own C library", put("usr/lib/libc.so.6", elf(62)), "libc.so.6 is for amd64"),
    ("a library for something else", put("usr/lib/libm.so.6", elf(243)), "libm.so.6 is for machine 243"),
    ("the builder's architecture in the label", lambda image, files: image.update(architecture="amd64"), "the image for amd64"),
    ("no architecture", lambda image, files: image.pop("architecture"), "the architecture is None"),
    ("no program", lambda image, files: [files.pop(path) for path in list(files) if files[path][0] == elf(183)], "no program"),
    ("root", set_config(User="0"), "the user is '0'"),
    ("a shell as entrypoint", set_config(Entrypoint=["/bin/sh", "-c", "rag-api"]), "the exec form is wanted"),
    ("no health check", set_config(Healthcheck=None), "the health check is []"),
    ("another stop signal", set_config(StopSignal="SIGKILL"), "the stop signal is"),
    ("no labels", set_config(Labels={}), "is missing or blank"),
    ("no variables", set_config(Env=[]), "the variable HOST is missing"),
    ("a secret in the environment", lambda image, files: image["config"]["Env"].append("DD_API_KEY=abc"), "DD_API_KEY=…"),
    ("a secret in a step", lambda image, files: image.update(history=[{"created_by": "ENV API_TOKEN=abc"}]), "something like a secret"),
    ("a shell", put("bin/sh"), "is a shell"),
    ("source", put("src/main.rs"), "looks like source"),
    ("settings", put("srv/.env"), "the name of a secret"),
    ("a key", put("srv/notes", b"AKIA" + b"A" * 16), "holds something like a secret"),
    ("setuid", put("usr/bin/x", b"x", 0o4755), "is setuid"),
    ("a file that the service can write", put("usr/share/x", b"x", 0o644, USER), "can be written by the service"),
    ("a file that all can write", put("usr/share/x", b"x", 0o666), "can be written by the service"),
    ("another model", put("usr/share/rag-api/model/model.safetensors"), "the model is not the pinned one"),
    ("an index folder of root's", put("var/lib/rag-api/index", None, 0o755), "does not belong to the service's user"),
    ("too much of it", put("usr/share/x", bytes(1_000_001)), "more than 1 MB"),
]


if __name__ == "__main__":
    main()
