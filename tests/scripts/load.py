#!/usr/bin/env python3
"""Asks one question after another until FOLDER/stop appears, and writes what failed to FOLDER/load.json.

usage: load.py PORT FOLDER THREADS
"""

import collections
import http.client
import json
import pathlib
import sys
import threading
import time

PORT, FOLDER, THREADS = int(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3])
BODY = json.dumps({"question": "Which exit code means wrong usage?"})
LOCK, SERVED, FAILED = threading.Lock(), collections.Counter(), []


def users():
    while not (FOLDER / "stop").exists():
        time.sleep(0.02)
        started = time.time()
        try:
            connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
            connection.request("POST", "/query", BODY, {"host": "rag.env.example.azurecontainerapps.io", "content-type": "application/json"})
            reply = connection.getresponse()
            answer = json.loads(reply.read()) if reply.status == 200 else {}
            with LOCK:
                if answer.get("metadata", {}).get("grounded"):
                    SERVED[reply.headers["x-upstream"]] += 1
                else:
                    FAILED.append(f"{started:.3f} {reply.status} from {reply.headers['x-upstream']}")
            connection.close()
        except (OSError, http.client.HTTPException, ValueError) as error:
            with LOCK:
                FAILED.append(f"{started:.3f} {error!r}")


threads = [threading.Thread(target=users) for _ in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
(FOLDER / "load.json").write_text(json.dumps({"requests": sum(SERVED.values()) + len(FAILED), "failed": FAILED, "served": SERVED}))
