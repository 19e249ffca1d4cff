#!/usr/bin/env python3
"""Real servers behind a real front, as the az stub's state wants them: one `rag-api serve` a revision, nginx by weights.

usage: front.py FOLDER         start and stop servers, write nginx's configuration, reload it
       front.py FOLDER stop    stop everything

FOLDER holds state.json of the stub, cert.pem, key.pem and front.json: {"binary", "model", "index", "http", "tls"}.
"""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.request

FOLDER = pathlib.Path(sys.argv[1])


def main():
    settings = json.loads((FOLDER / "front.json").read_text())
    state = json.loads((FOLDER / "state.json").read_text())
    servers = json.loads((FOLDER / "servers.json").read_text()) if (FOLDER / "servers.json").exists() else {}
    if sys.argv[2:] == ["stop"]:
        for server in servers.values():
            stop(server)
        stop({"pid": int((FOLDER / "nginx.pid").read_text())}, signal.SIGQUIT)
        return
    active = {r["name"]: r["properties"]["env"] for r in state["revisions"] if r["properties"]["active"]}
    for name, env in active.items():
        if name not in servers:
            servers[name] = start(name, env, settings)
    reload_front(state, {name: servers[name] for name in active}, settings)
    for name in set(servers) - set(active):
        stop(servers.pop(name))
    (FOLDER / "servers.json").write_text(json.dumps(servers))


def start(name, env, settings):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {"PATH": os.environ["PATH"], "HOST": "127.0.0.1", "PORT": str(port), "MODEL_DIR": settings["model"],
                   "INDEX_DIR": settings["index"], "RUST_LOG": "warn", "EMBEDDING_THREADS": "1"} | env
    log = open(FOLDER / f"{name}.log", "w")
    process = subprocess.Popen([settings["binary"], "serve"], env=environment, stdout=log, stderr=log, start_new_session=True)
    # The platform sends nobody to a replica before its probe succeeds.
    for _ in range(600):
        try:
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://127.0.0.1:{port}/ready", timeout=1).close()
            return {"pid": process.pid, "port": port}
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"{name} did not become ready: {(FOLDER / f'{name}.log').read_text()[-500:]}")


def stop(server, how=signal.SIGTERM):
    try:
        os.kill(server["pid"], how)
    except ProcessLookupError:
        pass


def reload_front(state, servers, settings):
    entries = [e for e in state["app"]["properties"]["configuration"]["ingress"]["traffic"] if e.get("revisionName") in servers]
    parts = [block("rag.env.example.azurecontainerapps.io", [(servers[e["revisionName"]]["port"], e["weight"]) for e in entries if e["weight"]], settings)]
    parts += [block(f"rag---{e['label']}.env.example.azurecontainerapps.io", [(servers[e["revisionName"]]["port"], 1)], settings) for e in entries if e.get("label")]
    parts += [block(f"{name}.env.example.azurecontainerapps.io", [(server["port"], 1)], settings) for name, server in servers.items()]
    (FOLDER / "nginx.conf").write_text(f"""
worker_processes 1; pid {FOLDER}/nginx.pid; error_log {FOLDER}/nginx.log warn; daemon on;
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path {FOLDER}/body; proxy_temp_path {FOLDER}/proxy; fastcgi_temp_path {FOLDER}/f;
  uwsgi_temp_path {FOLDER}/u; scgi_temp_path {FOLDER}/s; proxy_next_upstream off; server_names_hash_bucket_size 128;
  ssl_certificate {FOLDER}/cert.pem; ssl_certificate_key {FOLDER}/key.pem;
  {''.join(parts)}
}}""")
    running = (FOLDER / "nginx.pid").exists()
    nginx = next(p for p in ("/usr/sbin/nginx", "/usr/local/sbin/nginx", "nginx") if "/" not in p or os.path.exists(p))
    subprocess.run([nginx, "-c", FOLDER / "nginx.conf", "-e", FOLDER / "nginx.log", *(["-s", "reload"] if running else [])], check=True)


def block(name, targets, settings):
    key = "u" + "".join(c if c.isalnum() else "_" for c in name)
    servers = "".join(f"server 127.0.0.1:{port} weight={weight} max_fails=0;" for port, weight in targets)
    if not targets:
        return ""
    return f"""
  upstream {key} {{ {servers} }}
  server {{ listen 127.0.0.1:{settings['http']}; listen 127.0.0.1:{settings['tls']} ssl; server_name {name};
    location / {{ proxy_pass http://{key}; proxy_read_timeout 30s; add_header x-upstream $upstream_addr always; }} }}"""


main()
