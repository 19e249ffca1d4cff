"""Runs what the plan of prod would run, on this machine: its ingestion jobs side by side, then its server.

Arguments, variables, probes and port are the plan's. Replaced are only what does not exist here: the search service (by
`rag-api emulate`, which knows no Entra tokens and no semantic ranker), the folder of the documents, and the port's number.
"""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Failed(Exception):
    """A process that did not do what the plan relies on; the message says what."""


def rehearse(program, plan, work):
    """Returns the sentence for the summary."""
    (app,) = plan.values("azurerm_container_app")
    jobs = plan.values("azurerm_container_app_job")
    documents = ROOT / "data"
    work.mkdir()
    with emulator(program, work) as endpoint:
        here = {"AZURE_SEARCH_ENDPOINT": endpoint, "AZURE_SEARCH_AUTH": "key", "AZURE_SEARCH_API_KEY": "k", "AZURE_SEARCH_SEMANTIC": "off"}
        first = ingest(program, jobs, here, documents, work)
        # --prune of one shard must leave alone what the others hold.
        second = ingest(program, jobs, here, documents, work)
        expected = sorted(path.name for path in documents.iterdir() if not path.name.startswith("."))
        if [file["source"] for file in first] != expected:
            raise Failed(f"the shards together indexed {[file['source'] for file in first]}, not {expected}")
        if [file["source"] for file in second if file["unchanged"]] != expected:
            raise Failed("a second run found documents missing")
        serve(program, app, here)
    return f"{len(jobs)} planned jobs indexed {len(expected)} files once each, the planned server answered"


def ingest(program, jobs, here, documents, work):
    """All jobs at once, as their schedule starts them; the entries of their reports."""
    reports = [work / f"shard-{number}.json" for number in range(len(jobs))]
    running = [start(program, job, here, documents, report) for job, report in zip(jobs, reports)]
    for job, process in zip(jobs, running):
        said = process.communicate(timeout=300)[1]
        if process.returncode:
            raise Failed(f"{job['name']} ended with {process.returncode}: {said[-800:]}")
    return sorted((file for path in reports for file in json.loads(path.read_text())["files"]), key=lambda file: file["source"])


def variables(container, here):
    """As the container has them: nothing of this shell's but where the model lies."""
    planned = {env["name"]: env.get("value") or "" for env in container["env"] if not env.get("secret_name")}
    return planned | here | {"MODEL_DIR": os.environ.get("MODEL_DIR", str(ROOT / "model")), "PATH": os.environ["PATH"]}


def start(program, job, here, documents, report):
    container = job["template"][0]["container"][0]
    arguments = [str(documents) if word.startswith("/") else word for word in container["args"]]
    command = [program, *arguments, "--report", report]
    return subprocess.Popen(command, env=variables(container, here), cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


@contextlib.contextmanager
def emulator(program, work):
    env = {"INDEX_DIR": str(work / "index"), "AZURE_SEARCH_API_KEY": "k", "PATH": os.environ["PATH"]}
    process = subprocess.Popen([program, "emulate", "--port", "0"], env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.wait(timeout=30)


def serve(program, app, here):
    container = app["template"][0]["container"][0]
    port = free_port()
    process = subprocess.Popen(
        [program, "serve"], env=variables(container, here) | {"HOST": "127.0.0.1", "PORT": str(port)}, cwd="/",
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        base = f"http://127.0.0.1:{port}"
        for kind in ["startup_probe", "liveness_probe", "readiness_probe"]:
            wait_for(base + container[kind][0]["path"], process)
        answer = ask(base + "/query", {"question": "How are documents ingested?"})
        if not answer["contexts"] or not answer["metadata"]["grounded"]:
            raise Failed(f"the server answered without evidence: {str(answer)[:300]}")
        if ask(base + "/health")["env"] != "prod":
            raise Failed("the server does not know that it is prod")
        process.send_signal(signal.SIGTERM)
        if process.wait(timeout=app["template"][0]["termination_grace_period_seconds"]):
            raise Failed(f"the server ended with {process.returncode} at SIGTERM")
    finally:
        process.kill()
        process.wait()


def wait_for(url, process):
    for _ in range(120):
        with contextlib.suppress(OSError):
            ask(url)
            return
        if process.poll() is not None:
            raise Failed(f"the server ended with {process.returncode}: {process.stderr.read()[-800:]}")
        time.sleep(0.25)
    raise Failed(f"{url} did not answer 200 in 30 seconds")


def ask(url, body=None):
    request = urllib.request.Request(url, json.dumps(body).encode() if body else None, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.load(reply)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
