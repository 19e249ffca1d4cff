"""Holds Dockerfile, .dockerignore and compose.yaml to their rules; needs PyYAML.

usage: check_files.py FOLDER    prints what is broken, one a line, and exits 1
       check_files.py --mutants FOLDER    seeds mistakes into copies and wants each one found
"""

import re
import shutil
import sys
import tempfile
from pathlib import Path

import yaml

PINNED = re.compile(r"(?:[a-z0-9.-]+\.[a-z]+/)[a-z0-9._/-]+:[A-Za-z0-9._-]+@sha256:[0-9a-f]{64}")
CONTEXT = {"Cargo.toml", "Cargo.lock", "LICENSE", "src"}
SECRET = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)")
# Datadog's Agent writes into its own folders as root; for the others nothing speaks against it.
UNCONFINED = {"datadog"}
FILES = ["Dockerfile", ".dockerignore", "compose.yaml", "Cargo.toml", ".env.example"]


def main():
    if sys.argv[1] == "--mutants":
        sys.exit(mutants(Path(sys.argv[2])))
    wrong = broken(Path(sys.argv[1]))
    print("\n".join(wrong))
    sys.exit(1 if wrong else 0)


def broken(folder):
    text = {name: (folder / name).read_text(encoding="utf-8") for name in FILES}
    return dockerfile(text) + dockerignore(text[".dockerignore"]) + compose(text)


def dockerfile(text):
    wrong, stages = [], {}
    # Which stages are of the builder's own architecture; all others are of the image's.
    own, references = set(), {}
    source = re.sub(r"^\s*#.*\n", "", text["Dockerfile"], flags=re.M).replace("\\\n", " ")
    stage = None
    for line in source.splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            base, _, name = rest.removeprefix("--platform=$BUILDPLATFORM ").partition(" AS ")
            if base in own or base != rest.partition(" AS ")[0]:
                own.add(name)
            if references.setdefault(base.partition(":")[0], base) != base:
                wrong.append(f"Dockerfile: {base.partition(':')[0]} stands there in two versions: their compilers and C libraries may not fit")
            if base not in stages and not PINNED.fullmatch(base):
                wrong.append(f"Dockerfile: {base} is no stage and not pinned as REGISTRY/NAME:TAG@sha256:DIGEST")
            stage = stages.setdefault(name, [])
            stage += stages.get(base, []) if base in stages else [("BASE", base)]
        elif word:
            stage.append((word, rest))
            wrong += architecture(name, word, rest, stages[name], own)
            if word == "ADD":
                wrong.append("Dockerfile: ADD fetches and unpacks unasked; use COPY")
            if word == "COPY" and re.search(r"(^| )\.\.?/? ", rest):
                wrong.append("Dockerfile: COPY of a whole folder brings in what nobody looked at; name files")
            if (from_ := re.search(r"--from=(\S+)", rest)) and word == "COPY" and from_[1] not in stages:
                wrong.append(f"Dockerfile: COPY --from={from_[1]} is no stage, so Dependabot does not see it")
            if "<<" in rest or "--link" in rest:
                wrong.append(f"Dockerfile: buildah of Debian 12 cannot read: {word} {rest[:60]}")
            if word in ("ENV", "ARG") and SECRET.search(rest):
                wrong.append(f"Dockerfile: a secret must not be an {word}, which everybody can read in the image")
    if list(stages)[-1] != "production":
        wrong.append("Dockerfile: production must be the last stage, which is what `docker build` takes unasked")
    for name in ("production", "datadog", "development"):
        if name in own:
            wrong.append(f"Dockerfile: {name} would be of the builder's architecture, whatever image was asked for")
        users = [rest for word, rest in stages.get(name, []) if word == "USER"]
        if not users or not re.fullmatch(r"[0-9]{5,}(:[0-9]{5,})?", users[-1]):
            wrong.append(f"Dockerfile: {name} must run as a user of number 10000 or more")
    for name in ("production", "datadog"):
        steps = stages.get(name, [])
        words = {word: rest for word, rest in steps}
        if words.get("STOPSIGNAL") != "SIGTERM":
            wrong.append(f"Dockerfile: {name} must be stopped by SIGTERM")
        if '["/usr/local/bin/rag-api", "healthcheck"]' not in words.get("HEALTHCHECK", ""):
            wrong.append(f"Dockerfile: {name} needs a HEALTHCHECK that asks rag-api itself")
        if not words.get("ENTRYPOINT", "").startswith("["):
            wrong.append(f"Dockerfile: {name} needs an ENTRYPOINT in exec form, as it has no shell")
        starts = [(word, rest) for word, rest in steps if word in ("ENTRYPOINT", "CMD")]
        if starts[-1:] != [("CMD", '["serve"]')]:
            wrong.append(f"Dockerfile: {name} must end in CMD [\"serve\"], as an ENTRYPOINT takes away the CMD before it")
        if any(word == "RUN" for word, _ in steps):
            wrong.append(f"Dockerfile: {name} has no shell for RUN")
        arguments = {rest.split("=")[0] for word, rest in steps if word == "ARG"}
        if missing := {"APP_VERSION", "BUILD_SHA", "IMAGE_TAG"} - arguments:
            wrong.append(f"Dockerfile: {name} lacks the build arguments {sorted(missing)}")
        environment = " ".join(rest for word, rest in steps if word == "ENV")
        for variable in ("HOST=0.0.0.0", f"PORT={default(text, 'PORT')}", "LOG_FORMAT=json", "MODEL_DIR=/", "INDEX_DIR=/"):
            if variable not in environment:
                wrong.append(f"Dockerfile: {name} must set {variable}")
    rust = re.search(r"^rust-version = \"(.*)\"", text["Cargo.toml"], re.M)[1]
    if set(re.findall(r"/rust:([^-@ ]*)", source)) != {rust}:
        wrong.append(f"Dockerfile: the toolchain is not Rust {rust} of Cargo.toml")
    return wrong


def architecture(name, word, rest, steps, own):
    """An image for another architecture: compiled here, with that architecture's C library, and nothing emulated unasked."""
    if word != "RUN":
        return
    if name not in own and name != "development":
        yield f"Dockerfile: {name} is of the image's architecture: RUN would be emulated, or fail"
    if "cargo auditable" in rest and not any(step == "ARG" and text.startswith("TARGETARCH") for step, text in steps):
        yield f"Dockerfile: {name} compiles without ARG TARGETARCH, so for the builder's architecture"
    for mount in re.findall(r"--mount=(\S*from=\S*)", rest):
        if re.search(r"from=([^,\s]+)", mount)[1] in own:
            yield f"Dockerfile: {name} takes files of the builder's architecture for the image: {mount}"


def default(text, name):
    return re.search(rf"^{name}=(.*)$", text[".env.example"], re.M)[1]


def dockerignore(text):
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    wrong = []
    if not lines or lines[0] != "*":
        wrong.append(".dockerignore: the first rule must be '*', so that only what is named comes in")
    named = {line[1:] for line in lines if line.startswith("!")}
    if named != CONTEXT:
        wrong.append(f".dockerignore: {sorted(named ^ CONTEXT)} should not be there, or is missing")
    return wrong


def compose(text):
    wrong = []
    services = yaml.safe_load(text["compose.yaml"])["services"]
    for name, service in services.items():
        image = re.sub(r"^\$\{[A-Z_]+:-(.*)\}$", r"\1", service.get("image", ""))
        if image != "rag-api:dev" and not PINNED.fullmatch(image):
            wrong.append(f"compose.yaml: {name}: {image} is not pinned by digest")
        if "no-new-privileges:true" not in service.get("security_opt", []):
            wrong.append(f"compose.yaml: {name} may gain privileges")
        if not service.get("mem_limit"):
            wrong.append(f"compose.yaml: {name} has no memory limit")
        if name not in UNCONFINED and not (service.get("read_only") and service.get("cap_drop") == ["ALL"] and service.get("pids_limit")):
            wrong.append(f"compose.yaml: {name} needs read_only, cap_drop: [ALL] and pids_limit")
        if service.get("privileged") or any("docker.sock" in str(v) for v in service.get("volumes", [])):
            wrong.append(f"compose.yaml: {name} has power over the machine")
        if str(service.get("network_mode", "")).startswith(("service:", "container:")):
            wrong.append(f"compose.yaml: {name} loses its network when the owner of that network is started anew")
        for port in service.get("ports", []):
            if not str(port).startswith("127.0.0.1:"):
                wrong.append(f"compose.yaml: {name} can be reached from outside: {port}")
        for key, value in (service.get("environment") or {}).items():
            if SECRET.search(key) and value:
                wrong.append(f"compose.yaml: {name}: the value of {key} must come from the environment")
        if name != "rag-api" and not service.get("profiles"):
            wrong.append(f"compose.yaml: {name} starts unasked; give it a profile")
    if f":{default(text, 'PORT')}" not in services["rag-api"]["ports"][0]:
        wrong.append("compose.yaml: the port is not the one of .env.example")
    grace = int(default(text, "SHUTDOWN_GRACE_SECONDS"))
    if int(services["rag-api"]["stop_grace_period"].removesuffix("s")) <= grace:
        wrong.append(f"compose.yaml: stop_grace_period must be longer than SHUTDOWN_GRACE_SECONDS, {grace} s")
    return wrong


# File, pattern, replacement: mistakes as people make them.
MISTAKES = [
    ("Dockerfile", r"(FROM gcr\S+)@sha256:[0-9a-f]+", r"\1"),
    ("Dockerfile", r"(FROM docker\.io/library/rust):\S+@", r"\1@"),
    ("Dockerfile", r"USER 65532:65532", "USER root"),
    ("Dockerfile", r"USER 65532:65532", "USER 1000"),
    ("Dockerfile", r"USER 10001:10001\n", ""),
    ("Dockerfile", r"rust:1\.\d+", "rust:1.80"),
    ("Dockerfile", r"FROM runtime AS production\n", ""),
    ("Dockerfile", r"STOPSIGNAL SIGTERM", "STOPSIGNAL SIGKILL"),
    ("Dockerfile", r"HEALTHCHECK [^\n]*", "HEALTHCHECK CMD curl -f http://localhost:8000/health"),
    ("Dockerfile", r"PORT=8000 \\", r"PORT=8080 \\"),
    ("Dockerfile", r"COPY src src", "COPY . ."),
    ("Dockerfile", r"ARG BUILD_SHA=unknown\n", ""),
    ("Dockerfile", r'ENTRYPOINT \["/usr/local/bin/rag-api"\]', "ENTRYPOINT /usr/local/bin/rag-api"),
    ("Dockerfile", r"ENV DD_TRACE_ENABLED=true", "ENV DD_TRACE_ENABLED=true DD_API_KEY=0123"),
    ("Dockerfile", r'(datadog-init", [^\n]*)\n#[^\n]*\nCMD \["serve"\]', r"\1"),
    ("Dockerfile", r"--from=datadog-init", "--from=datadog/serverless-init:1"),
    ("Dockerfile", r"\nWORKDIR /\n", "\nRUN useradd rag\nWORKDIR /\n"),
    ("Dockerfile", r"--platform=\$BUILDPLATFORM ", ""),
    ("Dockerfile", r"FROM (docker\.io/library/rust)", r"FROM --platform=$BUILDPLATFORM \1"),
    ("Dockerfile", r"FROM (gcr)", r"FROM --platform=$BUILDPLATFORM \1"),
    ("Dockerfile", r"FROM platform AS development", "FROM toolchain AS development"),
    ("Dockerfile", r"(BUILDPLATFORM docker\.io/library/rust:[^@]*@sha256:)[0-9a-f]{4}", r"\g<1>0123"),
    ("Dockerfile", r"ARG TARGETARCH\n", ""),
    ("Dockerfile", r"from=platform", "from=toolchain"),
    ("Dockerfile", r"FROM toolchain AS dependencies", "FROM platform AS dependencies"),
    (".dockerignore", r"\n\*\n", "\n"),
    (".dockerignore", r"!LICENSE", "!.env\n!LICENSE"),
    ("compose.yaml", r"127\.0\.0\.1:\$\{PORT", "${PORT"),
    ("compose.yaml", r"(agent:7[0-9.]+)@sha256:[0-9a-f]+", r"\1"),
    ("compose.yaml", r"read_only: true", "read_only: false"),
    ("compose.yaml", r"DD_API_KEY:\n", "DD_API_KEY: abc\n"),
    ("compose.yaml", r"stop_grace_period: 30s", "stop_grace_period: 10s"),
    ("compose.yaml", r"    profiles: \[llm\]\n", ""),
    ("compose.yaml", r"mem_limit: 512m\n", "\n"),
    ("compose.yaml", r"(    profiles: \[datadog\]\n)", r"\1    network_mode: service:rag-api\n"),
]


def mutants(folder):
    missed = []
    for name, pattern, replacement in MISTAKES:
        with tempfile.TemporaryDirectory() as work:
            for file in FILES:
                shutil.copy(folder / file, work)
            path = Path(work) / name
            before = path.read_text(encoding="utf-8")
            after = re.sub(pattern, replacement, before, count=1)
            path.write_text(after, encoding="utf-8")
            if before == after or not broken(Path(work)):
                missed.append(f"{name}: {pattern} -> {replacement!r}" + (" (nothing to change)" if before == after else ""))
    print(f"{len(MISTAKES) - len(missed)} of {len(MISTAKES)} seeded mistakes found")
    print("\n".join(missed))
    return 1 if missed else 0


if __name__ == "__main__":
    main()
