#!/usr/bin/env python3
"""The revisions of a container app, and Datadog's API, for tests of the scripts: an HTTPS proxy that is its own target.

usage: fake_app.py FOLDER    FOLDER holds cert.pem, key.pem; the port is written to FOLDER/port

The scripts do not know of it: https_proxy leads every request here, whatever its host. Each test has a folder of its own, named
by the user of the proxy's address: the az stub's state.json says which revision a label means, ticks how many seconds passed, app.json what goes wrong:
{"revision": "rag--v2", "at": 50, "path": "/query", "fault": "down | 503 | errors | slow | empty | wrong | unsupported |
chatty | silent | events | plain | lenient"}; `at` is the candidate's weight, absent: always. "users" is how many questions come in a second.
"""

import base64
import http.server
import json
import os
import pathlib
import select
import socket
import ssl
import sys
import threading
import urllib.parse

CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
LOCK, COUNTS, SEEN = threading.Lock(), {}, {}
EDGES = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]
RELEVANT = {"Where is the manual?": ("manual.pdf", 2), "Who may enter?": ("rules.md", None), "When is it open?": ("hours.md", None)}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_CONNECT(self):
        user = base64.b64decode(self.headers["proxy-authorization"].split()[1]).decode()
        self.folder = pathlib.Path(urllib.parse.unquote(user.rstrip(":")))
        self.send_response(200)
        self.end_headers()
        if "forward" in (settings := read(self.folder / "app.json", {})):
            return self.tunnel(settings["forward"])
        self.connection = CONTEXT.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
        self.close_connection = False

    def tunnel(self, port):
        """To a real front, byte by byte."""
        self.close_connection = True
        with socket.create_connection(("127.0.0.1", port)) as target:
            pair = {self.connection: target, target: self.connection}
            while True:
                for ready in select.select(pair, [], [])[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    pair[ready].sendall(data)

    def do_GET(self):
        self.answer(None)

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers.get("content-length") or 0)))

    do_PATCH = do_POST

    def answer(self, body):
        self.settings = read(self.folder / "app.json", {})
        host = self.headers["host"]
        if host.startswith("api."):
            return self.datadog(body)
        self.state = read(self.folder / "state.json", {})
        first = host.split(".")[0]
        label = first.partition("---")[2]
        entries = self.state["app"]["properties"]["configuration"]["ingress"]["traffic"]
        name = next((e["revisionName"] for e in entries if e.get("label") == label), None) if label else first
        revision = next((r for r in self.state["revisions"] if r["name"] == name and r["properties"]["active"]), None)
        if revision is None:
            return self.send(404, {"error": f"no revision behind {host}"})
        self.revision, self.fault = name, self.find_fault(name)
        with LOCK:
            self.users_ask(entries)
        if self.fault == "down":
            return self.send(502, {"error": "upstream connect error"})
        if self.fault == "503":
            return self.send(503, {"status": "not_ready", "missing": ["index"]})
        self.route(body, revision["properties"].get("env", {}))

    def find_fault(self, name):
        weight = sum(e["weight"] for e in self.state["app"]["properties"]["configuration"]["ingress"]["traffic"] if e["revisionName"] == name)
        for fault in self.settings.get("faults", []):
            if fault["revision"] == name and fault.get("at", weight) == weight and fault.get("path", self.path) == self.path:
                return fault["fault"]
        return None

    def counts(self, name):
        return COUNTS.setdefault((str(self.folder), name), {"ok": 0, "bad": 0, "buckets": [0] * (len(EDGES) + 1)})

    def count(self, name, number, fault):
        """Of the questions to a revision with errors every fifth counts as failed; a slow one as two seconds long."""
        mine = self.counts(name)
        bad = (mine["ok"] + mine["bad"] + number) // 5 - (mine["ok"] + mine["bad"]) // 5 if fault == "errors" else 0
        mine["ok"], mine["bad"] = mine["ok"] + number - bad, mine["bad"] + bad
        mine["buckets"][5 if fault == "slow" else 0] += number

    def users_ask(self, entries):
        ticks = self.folder / "ticks"
        seconds = sum(float(line) for line in ticks.read_text().split()) if ticks.exists() else 0.0
        passed = seconds - SEEN.get(str(self.folder), 0.0)
        SEEN[str(self.folder)] = seconds
        for entry in entries:
            asked = int(passed * self.settings.get("users", 10) * entry["weight"] / 100)
            self.path, path = "/metrics", self.path
            self.count(entry["revisionName"], asked, self.find_fault(entry["revisionName"]))
            self.path = path

    def route(self, body, env):
        match self.path:
            case "/health":
                self.send(200, {"status": "ok", "service": "rag-api", "version": env.get("APP_VERSION"), "image_tag": env.get("IMAGE_TAG")})
            case "/ready":
                self.send(200, {"status": "ready"})
            case "/warmup":
                self.send(200, {"status": "warm", "ms": 1.0})
            case "/metrics":
                self.send(200, self.exposition(), "text/plain; version=0.0.4")
            case "/query":
                self.query(body)
            case _:
                self.problem(404, "not_found")

    def query(self, body):
        try:
            asked = json.loads(body)
            question = asked["question"].strip()
        except (ValueError, KeyError):
            return self.problem(422, "invalid_request")
        if self.fault == "lenient":
            question = question or "Where is the manual?"
        elif not question or set(asked) - {"question", "top_k", "stream"}:
            return self.problem(422, "invalid_request")
        with LOCK:
            self.count(self.revision, 1, self.fault)
        contexts, citations, answer = [], [], "There is not enough evidence."
        known = RELEVANT.get(question)
        if known and self.fault != "silent" or self.fault == "chatty":
            source, page = known or ("rules.md", None)
            contexts = [{"id": "c1", "source": "elsewhere.md" if self.fault == "wrong" else source, "page_number": page, "content": "Text."}]
            citations = [{"number": 1, "context_id": "c1", "verdict": "unsupported" if self.fault == "unsupported" else "supported"}]
            answer = "" if self.fault == "empty" else "Text. [1]"
        metadata = {"grounded": bool(citations), "trace_id": "0" * 32}
        if self.fault == "events":
            return self.send(200, "event: contexts\ndata: {}\n\n", "text/event-stream") if asked.get("stream") else self.send(
                200, {"answer": answer, "contexts": contexts, "citations": citations, "metadata": metadata})
        if not asked.get("stream") or self.fault == "plain":
            return self.send(200, {"answer": answer, "contexts": contexts, "citations": citations, "metadata": metadata})
        events = [("contexts", {"contexts": contexts}), ("delta", {"text": answer}), ("done", {"citations": citations, "metadata": metadata})]
        self.send(200, "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events), "text/event-stream")

    def exposition(self):
        with LOCK:
            mine = json.loads(json.dumps(self.counts(self.revision)))
        lines = [f"process_start_time_seconds {abs(hash(self.revision)) % 10**6}",
                 f'http_requests_total{{method="POST",route="/query",status="200"}} {mine["ok"]}',
                 f'http_requests_total{{method="POST",route="/query",status="500"}} {mine["bad"]}',
                 'http_requests_total{method="GET",route="/health",status="503"} 9999']
        total = 0
        for edge, number in zip([*EDGES, "+Inf"], mine["buckets"]):
            total += number
            lines.append(f'http_request_duration_seconds_bucket{{route="/query",le="{edge}"}} {total}')
        return "\n".join(lines) + "\n"

    def datadog(self, body):
        with open(self.folder / "datadog.log", "a") as log:
            log.write(json.dumps({"method": self.command, "path": self.path, "key": self.headers["dd-api-key"],
                                  "app_key": self.headers["dd-application-key"], "body": json.loads(body)}) + "\n")
        planned = self.settings.get("datadog", {}).get(self.path, [])
        number = sum(json.loads(line)["path"] == self.path for line in (self.folder / "datadog.log").read_text().splitlines())
        status, reply = planned[min(number, len(planned)) - 1] if planned else (202, {})
        if isinstance(reply, dict) and "by_version" in reply:
            query = json.loads(body)["data"]["attributes"]["queries"][0]["query"]
            values = next(values for version, values in reply["by_version"].items() if f"version:{version}" in query)
            reply = {"data": {"attributes": {"columns": [{"values": [] if v is None else [v]} for v in values]}}}
        self.send(status, reply)

    def problem(self, status, code):
        self.send(status, {"type": "about:blank", "status": status, "code": code, "trace_id": "0" * 32}, "application/problem+json")

    def send(self, status, content, kind="application/json"):
        data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def read(path, default):
    return json.loads(path.read_text()) if path.exists() else default


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        pass


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    server = Server(("127.0.0.1", 0), Handler)
    CONTEXT.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    (folder / "port.new").write_text(str(server.server_address[1]))
    os.replace(folder / "port.new", folder / "port")
    server.serve_forever()
