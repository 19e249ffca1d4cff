#!/usr/bin/env python3
"""Rules of this project's workflows that no linter knows: who may hold which right, and in what order things happen.

usage: check_workflows.py [ROOT]

Prints one line a problem; exit code 1 when there is one. Needs PyYAML.
"""

import pathlib
import re
import sys

import yaml

PIN = re.compile(r"^\s*(?:- )?uses: (?P<action>[\w.-]+/[\w.-]+(?:/[\w./-]+)?)@(?P<commit>[0-9a-f]{40}) # (?P<version>v\d+\.\d+\.\d+)$")
EVENTS = {"push", "pull_request", "schedule", "workflow_dispatch", "workflow_run"}
# Jobs that may ask for an identity: to sign, or to log in to Azure.
IDENTITIES = {("ci", "publish"), ("cd", "staging"), ("cd", "production"), ("rollback", "rollback")}
# Rights that a pull request's run may hold: the second one shows findings and can change nothing else.
HARMLESS = {("contents", "read"), ("security-events", "write"), ("packages", "read")}
ONLY_MAIN = "github.event_name == 'push' && github.ref == 'refs/heads/main'"
SIGNER = ".github/workflows/ci.yml@refs/heads/main"
PROGRAMS = ("cargo deny", "docker pull")
EXPRESSION = re.compile(r"\$\{\{.*?\}\}", re.S)
# What a stranger can choose: titles, bodies, branch names, authors. `head_sha` and `base.sha` are hashes.
FOREIGN = re.compile(
    r"github\.(head_ref|ref_name|event\.(pull_request\.(title|body|head\.(ref|label|repo))|issue|comment|review|commits|head_commit|"
    r"workflow_run\.(head_branch|head_commit|display_title|pull_requests)))"
)


def main(arguments):
    root = pathlib.Path(arguments[0] if arguments else pathlib.Path(__file__).resolve().parents[2])
    found = problems(root)
    for problem in found:
        print(problem)
    return 1 if found else 0


def problems(root):
    files = sorted((root / ".github/workflows").glob("*.y*ml"))
    found = [] if files else [".github/workflows holds no workflow"]
    workflows = {}
    for file in files:
        text = file.read_text(encoding="utf-8")
        workflow = yaml.safe_load(text)
        # YAML 1.1 reads the word `on` as true.
        workflow["on"] = workflow.pop(True, workflow.get("on"))
        workflows[file.stem] = workflow
        found += [f"{file.name}: {problem}" for problem in of_workflow(root, file.stem, workflow)]
    found += pins(files)
    held = {(name, job) for name, w in workflows.items() for job, body in w["jobs"].items() if right(body, "id-token") == "write"}
    found += [f"{name}.yml: {job} may not ask for an identity" for name, job in sorted(held - IDENTITIES)]
    found += [f"{name}.yml: {job} has no right to ask for an identity, and needs one" for name, job in sorted(IDENTITIES - held)]
    for name, rules in (("ci", of_ci), ("cd", of_cd), ("rollback", of_rollback)):
        if name in workflows:
            found += [f"{name}.yml: {problem}" for problem in rules(workflows[name])]
        else:
            found.append(f"there is no {name}.yml")
    return found + list(settings(root, files))


def settings(root, files):
    """What somebody has to set up by hand is listed where they look for it."""
    manual = root / ".github/workflows/README.md"
    listed = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", manual.read_text(encoding="utf-8"))) if manual.is_file() else set()
    used = {name for file in files for name in re.findall(r"(?:vars|secrets)\.([A-Z][A-Z0-9_]+)", file.read_text(encoding="utf-8"))}
    for name in sorted(used ^ listed):
        yield f"{name} is {'used by a workflow and not' if name in used else 'used by no workflow, and'} listed in .github/workflows/README.md"


def pins(files):
    """Each action by commit with its version, and the same one everywhere."""
    seen = {}
    for file in files:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            if not re.match(r"\s*(- )?uses:", line):
                continue
            pin = PIN.match(line)
            if not pin:
                yield f"{file.name}:{number}: pin the action by its 40-digit commit, with its version as a comment: {line.strip()}"
                continue
            owner = "/".join(pin["action"].split("/")[:2])
            now = (pin["commit"], pin["version"])
            if seen.setdefault(owner, now) != now:
                yield f"{file.name}:{number}: {owner} is pinned to another commit or version elsewhere"


def of_workflow(root, name, workflow):
    events = events_of(workflow)
    if set(events) - EVENTS:
        yield f"starts on {', '.join(sorted(set(events) - EVENTS))}, which can run strangers' work with our rights"
    if workflow.get("permissions") != {}:
        yield "must begin with `permissions: {}`; rights belong to jobs"
    if "concurrency" not in workflow:
        yield "says nothing about concurrency"
    open_to_forks = "pull_request" in events
    for job_name, job in workflow["jobs"].items():
        for problem in of_job(name, job, open_to_forks):
            yield f"{job_name}: {problem}"
        for step in job.get("steps", []):
            for problem in of_step(root, step):
                yield f"{job_name}: {problem}"


def of_job(name, job, open_to_forks):
    rights = job.get("permissions")
    if not isinstance(rights, dict) or not rights:
        yield "needs its own map of permissions"
        rights = {}
    if "uses" in job:
        yield "calls another workflow; rights and secrets could not be followed"
    if not isinstance(job.get("timeout-minutes"), int):
        yield "needs timeout-minutes"
    if "-latest" in str(job.get("runs-on")) or "self-hosted" in str(job.get("runs-on")):
        yield f"runs on {job.get('runs-on')}: name the release of a hosted runner"
    if job.get("continue-on-error"):
        yield "continue-on-error hides failures"
    secrets = re.findall(r"secrets\.(\w+)|secrets\[", str(job))
    if secrets and "environment" not in job:
        yield "uses secrets outside of an environment, whose rules about branches protect them"
    if secrets and open_to_forks:
        yield "uses secrets in a workflow that pull requests start"
    if open_to_forks and not {(k, v) for k, v in rights.items()} <= HARMLESS and ONLY_MAIN not in str(job.get("if", "")):
        yield f"holds rights to write and runs for pull requests: guard it by `{ONLY_MAIN}`"
    if open_to_forks and "environment" in job:
        yield "enters an environment in a workflow that pull requests start"
    if right(job, "id-token") == "write" and name != "ci" and "environment" not in job:
        yield "an identity without an environment can log in from any branch"


def of_step(root, step):
    uses = step.get("uses", "")
    inputs = step.get("with", {}) or {}
    if step.get("continue-on-error"):
        yield "continue-on-error hides a step's failure"
    if uses.startswith("actions/checkout@") and inputs.get("persist-credentials") is not False:
        yield "checkout must say persist-credentials: false"
    if uses.startswith("azure/login@"):
        for key in ("client-id", "tenant-id", "subscription-id"):
            if not str(inputs.get(key, "")).startswith("${{ vars."):
                yield f"azure/login takes {key} from a variable; there is no password to keep"
        if set(inputs) - {"client-id", "tenant-id", "subscription-id"}:
            yield "azure/login logs in by federation alone, without further inputs"
    if uses.startswith("taiki-e/install-action@") and inputs.get("fallback") != "none":
        yield "install-action must not fall back to installers without checksums"
    for expression in EXPRESSION.findall(str(step)):
        if FOREIGN.search(expression):
            yield f"{expression} is a stranger's text"
    if "run" in step:
        yield from of_run(root, step)


def of_run(root, step):
    command = step["run"].strip()
    if EXPRESSION.search(command):
        yield f"hand values over by env, not in the text of `{command.splitlines()[0]}`"
    if "\n" in command or re.search(r"[;|&`]|\$\(|>", command):
        yield f"`{command.splitlines()[0]}` does more than call one script: move it into one, so that it can be run by hand"
    if command.startswith(PROGRAMS):
        return
    if not command.startswith("./"):
        yield f"`{command.splitlines()[0]}` calls no script of the project"
        return
    path = root / command.split()[0]
    if not path.is_file() or not path.stat().st_mode & 0o111:
        yield f"{command.split()[0]} does not exist or cannot be run"
        return
    known = "\n".join(f.read_text(encoding="utf-8") for f in [path, *readable(path)])
    for name in step.get("env", {}):
        # Read by programs that scripts call, not by the scripts.
        if name != "GH_TOKEN" and not re.search(rf"\b{name}\b", known):
            yield f"{command.split()[0]} does not know the variable {name}"


def readable(script):
    """Files that a script may take parts from: those beside it, and the folders of the same room."""
    return [f for f in script.parent.rglob("*") if f.is_file() and f.suffix in (".sh", ".py") and "checks" not in f.parts]


def of_ci(workflow):
    jobs = workflow["jobs"]
    steps = jobs["build"]["steps"]
    pushes = index_of(steps, "docker/build-push-action@")
    gate = index_of(steps, "aquasecurity/trivy-action@")
    handed = index_of(steps, "actions/upload-artifact@")
    if not pushes < gate < handed:
        yield "build: the vulnerability gate must stand between the push and the digest that is handed on"
    elif str(steps[gate]["with"].get("exit-code")) != "1" or "steps.build.outputs.digest" not in steps[gate]["with"].get("image-ref", ""):
        yield "build: the vulnerability gate must look at the digest that was built, and fail"
    if any("tags" in (s.get("with") or {}) for s in steps):
        yield "build: what is not checked yet must have no name"
    if "push-by-digest=true" not in str(steps[pushes].get("with")):
        yield "build: push by digest"
    if "quality" not in needs(jobs["build"]) or "build" not in needs(jobs["publish"]):
        yield "quality, build and publish must come in this order"
    order = [s.get("run", s.get("uses", "")).split("@")[0] for s in jobs["publish"]["steps"]]
    wanted = ["./scripts/release/publish.sh", "./scripts/release/sign.sh", "actions/attest-build-provenance", "./scripts/release/promote.sh"]
    if [o for o in order if o in wanted] != wanted or order[-1] != wanted[-1]:
        yield "publish: name, sign, attest, and move latest as the very last step"
    if "cancel-in-progress" not in workflow["concurrency"] or "pull_request" not in str(workflow["concurrency"]["cancel-in-progress"]):
        yield "a run on main must not be cancelled half-way"


def of_cd(workflow):
    jobs = workflow["jobs"]
    trigger = workflow["on"].get("workflow_run") or {}
    if trigger.get("branches") != ["main"] or trigger.get("workflows") != ["ci"]:
        yield "follows ci on main alone"
    guard = str(jobs["verify"].get("if"))
    for part in (
        "github.ref == 'refs/heads/main'",
        "workflow_run.conclusion == 'success'",
        "workflow_run.event == 'push'",
        "workflow_run.head_repository.full_name == github.repository",
        "workflow_run.head_branch == 'main'",
    ):
        if part not in guard:
            yield f"verify: the guard lacks `{part}`"
    verify = next((s for s in jobs["verify"]["steps"] if s.get("run") == "./scripts/release/verify.sh"), {})
    if verify.get("env", {}).get("SIGNER_WORKFLOW") != SIGNER:
        yield f"verify: only {SIGNER} may have signed"
    if "--on origin/main" not in str(jobs["verify"]["steps"]):
        yield "verify: the commit must be on main"
    if any("ref" in s.get("with", {}) for s in jobs["verify"]["steps"]):
        yield "verify: main's own scripts judge the commit"
    if set(needs(jobs["production"])) != {"verify", "staging"} or "verify" not in needs(jobs["staging"]):
        yield "verify, staging and production must come in this order"
    for job, environment in (("staging", "staging"), ("production", "production")):
        if jobs[job].get("environment") != environment:
            yield f"{job}: must enter the environment {environment}"
        if jobs[job].get("concurrency", {}) != {"group": f"deploy-{environment}", "cancel-in-progress": False}:
            yield f"{job}: one rollout at a time, in the group deploy-{environment}"
        images = [s["env"]["IMAGE"] for s in jobs[job]["steps"] if "IMAGE" in s.get("env", {})]
        if images != ["${{ needs.verify.outputs.image }}"]:
            yield f"{job}: must deploy the digest that was verified"
    if "./scripts/deploy_canary.sh" not in str(jobs["production"]["steps"]):
        yield "production: is reached by the canary"
    undo = [s for s in jobs["production"]["steps"] if s.get("run") == "./scripts/deploy_canary.sh --abort"]
    if not undo or undo[0].get("if") != "failure() || cancelled()":
        yield "production: a rollout that was cut short is undone"
    if not str(jobs["record"].get("if", "")).startswith("always()") or "production" not in needs(jobs["record"]):
        yield "record: success and failure of production are both recorded"
    outcomes = {(s.get("run", "").split()[-1], s.get("if")) for s in jobs["record"]["steps"] if "dora" in s.get("run", "")}
    if outcomes != {("success", "needs.production.result == 'success'"), ("failure", "needs.production.result != 'success'")}:
        yield "record: one event for success, another for everything else"
    if "production" not in needs(jobs["catalog"]) or "if" in jobs["catalog"]:
        yield "catalog: follows a production that succeeded"
    yield from no_build(workflow)


def of_rollback(workflow):
    if set(workflow["on"]) != {"workflow_dispatch"}:
        yield "is started by hand alone"
    job = workflow["jobs"]["rollback"]
    if job.get("concurrency") != {"group": "deploy-${{ inputs.environment }}", "cancel-in-progress": True}:
        yield "must stop the rollout that holds deploy-<environment>"
    if "refs/heads/main" not in str(job.get("if")):
        yield "must run main's script"
    guard = str(workflow["jobs"]["record"].get("if", ""))
    if not guard.startswith("always()") or "outputs.commit != needs.rollback.outputs.restored_commit" not in guard:
        yield "record: mark what was undone, also by a run that failed, and nothing else"
    yield from no_build(workflow)


def no_build(workflow):
    for name, job in workflow["jobs"].items():
        if re.search(r"docker/build-push-action|image/build\.sh|cargo |rust-cache", str(job)):
            yield f"{name}: builds; what is deployed was built once, by ci"
        if {"packages": "write"}.items() <= (job.get("permissions") or {}).items():
            yield f"{name}: may not write images"


def events_of(workflow):
    on = workflow["on"]
    return [on] if isinstance(on, str) else list(on)


def right(job, name):
    rights = job.get("permissions")
    return rights.get(name) if isinstance(rights, dict) else rights


def needs(job):
    value = job.get("needs", [])
    return [value] if isinstance(value, str) else value


def index_of(steps, action):
    return next((i for i, s in enumerate(steps) if s.get("uses", "").startswith(action)), len(steps))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
