"""Judges a saved image (docker save, podman save) without running it.

usage: look_inside.py ARCHIVE.tar MAX_MB
Prints one fact a line; exits 1 and names every rule that is broken.
"""

import hashlib
import json
import re
import sys
import tarfile

SHELLS = {"sh", "bash", "dash", "ash", "busybox", "zsh", "perl", "python3", "apt-get", "dpkg", "curl", "wget"}
SOURCE = re.compile(r"(^|/)(Cargo\.(toml|lock)|\.git|\.cargo|target|src)(/|$)|\.rs$")
SECRET_NAME = re.compile(r"(^|/)(\.env(\..*)?|id_(rsa|ed25519)|\.netrc|\.npmrc|\.docker|credentials|.*\.(key|p12|pfx|kdbx))$")
SECRET_TEXT = re.compile(
    rb"-----BEGIN (RSA |EC |OPENSSH )?PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|sk-[A-Za-z0-9]{40}"
)
SECRET_VARIABLE = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)=.", re.I)
# OpenContainers' names; source and created may be blank where the build knew neither.
LABELS = ["title", "description", "licenses", "source", "created", "version", "revision", "ref.name"]
# What an ELF file says of its machine, as OpenContainers name it.
MACHINES = {62: "amd64", 183: "arm64"}
# The pinned files, as src/embedding/fetch.rs has them.
MODEL = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}


def main():
    archive, max_mb = sys.argv[1], float(sys.argv[2])
    with tarfile.open(archive) as saved:
        manifest = json.load(saved.extractfile("manifest.json"))[0]
        image = json.load(saved.extractfile(manifest["Config"]))
        wrong = configuration(image) + contents(saved, manifest["Layers"], image, max_mb)
    for line in wrong:
        print(f"error: {line}", file=sys.stderr)
    sys.exit(1 if wrong else 0)


def configuration(image):
    config = image["config"]
    wrong = []
    user = config.get("User", "")
    if not re.fullmatch(r"[0-9]+(:[0-9]+)?", user) or int(user.split(":")[0]) < 10_000:
        wrong.append(f"the user is {user!r}: a number of 10000 or more is wanted")
    if not config.get("Entrypoint") or config["Entrypoint"][0] == "/bin/sh":
        wrong.append(f"the entrypoint is {config.get('Entrypoint')}: the exec form is wanted, as there is no shell")
    test = (config.get("Healthcheck") or {}).get("Test") or []
    if test[:1] != ["CMD"]:
        wrong.append(f"the health check is {test}: the exec form is wanted, in an image of Docker's format")
    stop = config.get("StopSignal", "")
    if stop not in ("SIGTERM", "15"):
        wrong.append(f"the stop signal is {stop!r}")
    labels = config.get("Labels") or {}
    for label in LABELS:
        name = f"org.opencontainers.image.{label}"
        if name not in labels or (not labels[name] and label not in ("source", "created")):
            wrong.append(f"the label {name} is missing or blank")
    env = dict(entry.split("=", 1) for entry in config.get("Env") or [])
    for name in ("HOST", "PORT", "LOG_FORMAT", "MODEL_DIR", "INDEX_DIR", "APP_VERSION", "BUILD_SHA", "IMAGE_TAG"):
        if not env.get(name):
            wrong.append(f"the variable {name} is missing or blank")
    if image.get("architecture") not in MACHINES.values():
        wrong.append(f"the architecture is {image.get('architecture')!r}: {' or '.join(MACHINES.values())} is wanted")
    history = [step.get("created_by", "") for step in image.get("history") or []]
    for text in [f"{name}={value}" for name, value in env.items()] + history:
        if SECRET_VARIABLE.search(text):
            wrong.append(f"something like a secret stands in the configuration: {text.split('=')[0][:60]}=…")
    print(f"{image.get('os')}/{image.get('architecture')}, user {user}, entrypoint {config.get('Entrypoint')}, version {env.get('APP_VERSION')}, revision {env.get('BUILD_SHA')}")
    return wrong


def contents(saved, layers, image, max_mb):
    wrong, total, files, model, programs = [], 0, {}, {}, 0
    for number, name in enumerate(layers, 1):
        with tarfile.open(fileobj=saved.extractfile(name)) as layer:
            size = 0
            for entry in layer:
                size += entry.size
                path = entry.name.removeprefix("./").rstrip("/")
                files[path] = entry
                wrong += judge(path, entry)
                if entry.isfile():
                    data = layer.extractfile(entry).read()
                    if SECRET_TEXT.search(data):
                        wrong.append(f"/{path} holds something like a secret (layer {number})")
                    if data[:4] == b"\x7fELF":
                        programs += 1
                        machine = int.from_bytes(data[18:20], "little")
                        if MACHINES.get(machine) != image.get("architecture"):
                            name = MACHINES.get(machine, f"machine {machine}")
                            wrong.append(f"/{path} is for {name}, the image for {image.get('architecture')}")
                    if path.split("/")[-1] in MODEL:
                        model[path.split("/")[-1]] = hashlib.sha256(data).hexdigest()
            total += size
            if size > 1_000_000:
                print(f"layer {number}: {size / 1e6:.1f} MB")
    if model != MODEL:
        wrong.append(f"the model is not the pinned one: {model or 'absent'}")
    if not programs:
        wrong.append("there is no program in the image")
    state = files.get("var/lib/rag-api/index")
    user = int(re.match("[0-9]*", image["config"].get("User", "")).group() or 0)
    if state is None or state.uid != user:
        wrong.append("/var/lib/rag-api/index does not belong to the service's user")
    for path, entry in files.items():
        writable = entry.mode & 0o002 and not entry.issym() and not (entry.isdir() and entry.mode & 0o1000)
        # Of root's files this says nothing; that root serves is said elsewhere.
        if writable or (entry.uid == user != 0 and path.split("/")[0] not in ("home", "tmp") and not path.startswith("var/lib/rag-api")):
            wrong.append(f"/{path} can be written by the service")
    print(f"{total / 1e6:.1f} MB in {len(layers)} layers, {len(files)} entries")
    if total > max_mb * 1e6:
        wrong.append(f"the files are {total / 1e6:.1f} MB, more than {max_mb:g} MB")
    return wrong


def judge(path, entry):
    name = path.split("/")[-1]
    if name in SHELLS and not entry.isdir() and path.split("/")[0] != "var" and "/doc/" not in path:
        yield f"/{path} is a shell, an interpreter or a tool that the service does not need"
    if SOURCE.search(path) and not path.startswith(("usr/src", "usr/share")):
        yield f"/{path} looks like source or a build folder"
    if SECRET_NAME.search(path):
        yield f"/{path} has the name of a secret"
    if entry.isfile() and entry.mode & 0o6000:
        yield f"/{path} is setuid or setgid"


if __name__ == "__main__":
    main()
