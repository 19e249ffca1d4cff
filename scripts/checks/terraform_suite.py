#!/usr/bin/env python3
"""Checks terraform/ as a whole; scripts/checks/terraform.sh runs it beside the stand-in for the provider.

usage: terraform_suite.py check WORK               everything, on a copy in the folder WORK
       terraform_suite.py mutants WORK [WORDS]     seeds the mistakes of terraform_mutants.py (whose names have WORDS)
                                                   one by one in copies
"""

import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

import terraform_policy
from terraform_rehearsal import Failed, rehearse

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENVIRONMENTS = ["environments/dev", "environments/prod"]
IMAGE = "ghcr.io/acme/rag-api@sha256:" + "1" * 64
COMMON = {
    "suffix": "a1b2", "location": "japaneast", "image": IMAGE, "callers": ["203.0.113.0/24"], "github_repository": "acme/rag-api",
    "alert_emails": ["operators@example.com"], "budget": {"amount": 100, "start": "2026-12-01T00:00:00Z"},
}
MODEL = {"model": {"name": "gpt-4o-mini", "version": "2024-07-18"}}
# Plans whose policy is checked: each environment at its smallest, and with all that can be switched on.
SCENARIOS = {
    "dev": ("dev", {}),
    "dev without the server": ("dev", {"app_enabled": False}),
    "dev with keys": ("dev", {"secrets": {"OPENAI_API_KEY": "openai-api-key"}, "settings": {"OPENAI_MODEL": "gpt-4o-mini"}}),
    "prod": ("prod", {}),
    "prod with everything": ("prod", {
        "openai": MODEL, "datadog": {"site": "datadoghq.eu"}, "allowed_ips": ["203.0.113.7"], "shards": 8,
        "documents": {"server": "ragdocuments.file.core.windows.net", "share": "/ragdocuments/handbook"},
        "registry": {"server": "ghcr.io", "username": "puller", "password_secret": "ghcr-token"},
        "secret_officers": ["00000000-0000-0000-0000-0000000000cc"],
    }),
}


class Refused(Exception):
    """A check that found something wrong; the message says what."""


def terraform(folder, *arguments, accept=(0,)):
    command = ["terraform", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    if done.returncode not in accept:
        raise Refused(f"terraform {' '.join(arguments[:2])} in {folder.name}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done


def prepare(work):
    """A copy with every folder initialised; states stay in it, as the backend is replaced."""
    tree = work / "terraform"
    shutil.copytree(ROOT / "terraform", tree, ignore=shutil.ignore_patterns(".terraform", "*.tfstate*", "datadog", ".terraform.lock.hcl"))
    for name in ENVIRONMENTS:
        (tree / name / "backend_override.tf").write_text('terraform {\n  backend "local" {}\n}\n')
    for folder in tested(tree):
        terraform(folder, "init", "-no-color", "-input=false")
    return tree


def tested(tree):
    return sorted(path.parent for path in tree.rglob("tests") if path.is_dir() and ".terraform" not in path.parts)


def formatted(tree):
    terraform(tree, "fmt", "-check", "-recursive", "-diff", "-no-color")
    return "formatted"


def declared(tree):
    """As tflint would: what is declared is used, described and typed."""
    wrong = []
    for folder in {path.parent for path in tree.rglob("*.tf") if ".terraform" not in path.parts}:
        text = "\n".join(path.read_text() for path in sorted(folder.glob("*.tf")))
        for kind, name, body in re.findall(r'^(variable|output) "(\w+)" \{\n(.*?)^\}', text, re.M | re.S):
            if "description" not in body or (kind == "variable" and not re.search(r"^  type +=", body, re.M)):
                wrong.append(f"{folder.name}: {kind} {name} has no description or no type")
            if kind == "variable" and len(re.findall(rf"\bvar\.{name}\b", text)) == len(re.findall(rf"\bvar\.{name}\b", body)):
                wrong.append(f"{folder.name}: variable {name} is not used")
        for body in re.findall(r"^locals \{\n(.*?)^\}", text, re.M | re.S):
            for name in re.findall(r"^  (\w+) +=", body, re.M):
                if not re.search(rf"\blocal\.{name}\b", text):
                    wrong.append(f"{folder.name}: local {name} is not used")
    if wrong:
        raise Refused("\n".join(wrong))
    return "declarations"


def valid(tree):
    for name in ENVIRONMENTS:
        terraform(tree / name, "validate", "-no-color")
    return f"{len(ENVIRONMENTS)} environments valid"


def policy(tree):
    for name, (environment, variables) in SCENARIOS.items():
        folder = tree / "environments" / environment
        wrong = terraform_policy.broken(planned(folder, variables), environment)
        if wrong:
            raise Refused(f"plan {name!r}:\n  " + "\n  ".join(wrong))
    return f"{len(SCENARIOS)} plans keep {len(terraform_policy.RULES)} policies"


def planned(folder, variables):
    (folder / "check.tfvars.json").write_text(json.dumps(COMMON | variables))
    terraform(folder, "plan", "-no-color", "-input=false", "-refresh=false", "-var-file=check.tfvars.json", "-out=check.tfplan")
    return json.loads(terraform(folder, "show", "-json", "check.tfplan").stdout)


def tests(tree):
    folders = tested(tree)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        said = list(pool.map(lambda folder: terraform(folder, "test", "-no-color").stdout, folders))
    passed = sum(int(re.search(r"^Success! (\d+) passed, 0 failed\.", text, re.M)[1]) for text in said)
    return f"{passed} tests in {len(folders)} folders"


def ownership(tree):
    """Applies prod, changes the state as others would in Azure, and asks for a plan: what the pipeline owns must not come back,
    what Terraform owns must."""
    folder = tree / "environments/prod"
    (folder / "check.tfvars.json").write_text(json.dumps(COMMON))
    terraform(folder, "apply", "-auto-approve", "-no-color", "-input=false", "-var-file=check.tfvars.json")
    state = folder / "terraform.tfstate"
    whole = state.read_text()
    if changed := replanned(folder):
        raise Refused(f"a second plan after the apply changes {', '.join(changed)}")

    state.write_text(edited(whole, PIPELINES))
    if changed := replanned(folder):
        raise Refused(f"Terraform would undo a deployment: {', '.join(changed)}")

    state.write_text(edited(whole, TERRAFORMS))
    changed = replanned(folder)
    for kind, path, value in TERRAFORMS:
        if not any(at(change["before"], path) == value != at(change["after"], path) for change in changed.values() if change["kind"] == kind):
            raise Refused(f"Terraform does not undo {kind} {path} = {value}")
    return f"{len(PIPELINES)} changes by the pipeline kept, {len(TERRAFORMS)} by hand undone"


def replanned(folder):
    terraform(folder, "plan", "-no-color", "-input=false", "-refresh=false", "-var-file=check.tfvars.json", "-out=check.tfplan")
    changes = json.loads(terraform(folder, "show", "-json", "check.tfplan").stdout)["resource_changes"]
    return {c["address"]: c["change"] | {"kind": c["type"]} for c in changes if c["change"]["actions"] != ["no-op"]}


def edited(state, edits):
    state = json.loads(state)
    for kind, path, value in edits:
        for resource in state["resources"]:
            for instance in resource["instances"] if resource["type"] == kind else []:
                at(instance["attributes"], path[:-1])[path[-1]] = value
    return json.dumps(state)


def at(value, path):
    for step in path:
        value = value[step] if not isinstance(value, list) or step < len(value) else None
    return value


APP, JOB, SEARCH = "azurerm_container_app", "azurerm_container_app_job", "azurerm_search_service"
CONTAINER = ["template", 0, "container", 0]
WEIGHT = {"latest_revision": False, "revision_suffix": "old", "percentage": 90, "label": "stable"}
# As the pipeline leaves an app behind in the middle of a canary.
PIPELINES = [
    (APP, [*CONTAINER, "image"], IMAGE.replace("1", "2")),
    (APP, [*CONTAINER, "env", 0, "value"], "1.2.3"),
    (APP, [*CONTAINER, "env", 1, "value"], "abc1234"),
    (APP, [*CONTAINER, "env", 2, "value"], "sha-abc1234"),
    (APP, ["template", 0, "revision_suffix"], "abc1234"),
    (APP, ["ingress", 0, "traffic_weight"], [WEIGHT, WEIGHT | {"revision_suffix": "abc1234", "percentage": 10, "label": "candidate"}]),
    (APP, ["tags", "rollout-lock"], "run-1.1234.1790000000"),
    (JOB, [*CONTAINER, "image"], IMAGE.replace("1", "2")),
]
TERRAFORMS = [
    (APP, [*CONTAINER, "cpu"], 4),
    (APP, [*CONTAINER, "memory"], "8Gi"),
    (APP, [*CONTAINER, "env", 4, "value"], "by hand"),
    (APP, [*CONTAINER, "readiness_probe", 0, "path"], "/"),
    (APP, ["template", 0, "max_replicas"], 100),
    (APP, ["revision_mode"], "Single"),
    (APP, ["ingress", 0, "external_enabled"], False),
    (JOB, [*CONTAINER, "args"], ["ingest", "/documents"]),
    (JOB, [*CONTAINER, "env"], []),
    (SEARCH, ["local_authentication_enabled"], True),
    (APP, ["tags", "env"], "dev"),
]


def backend(tree):
    """The real initialisation gets as far as asking for a login, so its arguments are right."""
    without_login = {name: os.environ[name] for name in ["HOME", "TMPDIR", "TF_REATTACH_PROVIDERS"] if name in os.environ}
    # Neither az nor anything else that might hold a login.
    without_login |= {"PATH": str(pathlib.Path(shutil.which("terraform")).parent), "CHECKPOINT_DISABLE": "1"}
    for name in ENVIRONMENTS:
        folder = tree / (name.replace("environments", "backends"))
        shutil.copytree(tree / name, folder, ignore=shutil.ignore_patterns(".terraform", "backend_override.tf", "*.tfstate*"))
        shutil.copy(ROOT / "terraform" / name / "backend.hcl.example", folder / "backend.hcl")
        command = ["terraform", "init", "-no-color", "-input=false", "-backend-config=backend.hcl"]
        done = subprocess.run(command, cwd=folder, env=without_login, capture_output=True, text=True, timeout=120)
        shutil.rmtree(folder)
        if "could not configure AzureCli Authorizer" not in done.stderr:
            raise Refused(f"the backend of {name} does not go by Entra's login: {done.stderr[-1000:]}")
    return "backends ask Entra for a login"


# The quick ones first; mutants end at the first that refuses.
STEPS = [formatted, declared, valid, backend, policy, tests, ownership]


def check(work):
    tree, said = prepare(work), []
    for step in STEPS:
        started = time.monotonic()
        said.append(step(tree))
        print(f"{said[-1]} ({time.monotonic() - started:.1f} s)", file=sys.stderr)
    said.append(rehearsal(tree, work))
    return "terraform: " + "; ".join(said[2:])


def rehearsal(tree, work):
    program = os.environ.get("RAG_API", "")
    if not program:
        return "no rehearsal, as rag-api is not built"
    plan = terraform_policy.Plan(planned(tree / "environments/prod", {}), "prod")
    try:
        return rehearse(program, plan, work / "rehearsal")
    except Failed as failed:
        raise Refused(f"rehearsal: {failed}") from failed


def mutants(work, words=""):
    from terraform_mutants import MUTANTS

    chosen = [mutant for mutant in MUTANTS if words in mutant[0]]
    tree = prepare(work)
    # A mutant that no longer applies would count as found.
    for name, file, old, _ in MUTANTS:
        if (times := (tree / file).read_text().count(old)) != 1:
            raise Refused(f"mutant {name!r}: {old!r} occurs {times} times in {file}")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        caught = list(pool.map(lambda pair: judged(work, tree, *pair), enumerate(chosen)))
    if not caught or not all(caught):
        raise Refused(f"{caught.count(True)} of {len(caught)} seeded mistakes found")
    return f"terraform: {len(caught)} of {len(caught)} seeded mistakes found"


def judged(work, tree, number, mutant):
    name, file, old, new = mutant
    copy = work / f"mutant-{number}"
    shutil.copytree(tree, copy, symlinks=True)
    path = copy / file
    path.write_text(path.read_text().replace(old, new))
    # Not the layout is the mistake.
    subprocess.run(["terraform", "fmt", "-list=false", file], cwd=copy, capture_output=True)
    verdict = "SURVIVED"
    for step in STEPS:
        try:
            step(copy)
        except Refused:
            verdict = step.__name__
            break
    shutil.rmtree(copy)
    print(f"{verdict:<10} {name}", file=sys.stderr, flush=True)
    return verdict != "SURVIVED"


def main():
    commands = {"check": check, "mutants": mutants}
    name, folder, *words = sys.argv[1:] if len(sys.argv) > 2 else ["", ""]
    if name not in commands or len(words) > (name == "mutants"):
        sys.exit(__doc__.strip())
    try:
        print(commands[name](pathlib.Path(folder).resolve(), *words))
    except Refused as refused:
        sys.exit(f"error: {refused}")


if __name__ == "__main__":
    main()
