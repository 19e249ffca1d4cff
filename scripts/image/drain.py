"""Holds a request half sent while the server is told to stop, and wants it answered all the same.

usage: drain.py PORT PATIENCE COMMAND…    COMMAND tells the server to stop and returns once it has;
                                          PATIENCE times the usual limits are waited
"""

import json
import socket
import subprocess
import sys
import time

BODY = json.dumps({"question": "How many characters may a question have?"}).encode()
HEAD = (
    "POST /query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    f"Content-Length: {len(BODY)}\r\nConnection: close\r\n\r\n"
).encode()


def main():
    port, patience, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    request = socket.create_connection(("127.0.0.1", port), timeout=20 * patience)
    request.sendall(HEAD + BODY[:10])
    time.sleep(0.3)
    stopping = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    wait_until_refused(port, 10 * patience)
    if stopping.poll() is not None:
        sys.exit("error: the server ended with a request under way")
    request.sendall(BODY[10:])
    reply = b""
    while part := request.recv(65536):
        reply += part
    if not reply.startswith(b"HTTP/1.1 200 "):
        sys.exit(f"error: the request under way was answered with {reply[:80]!r}")
    answer = json.loads(reply.split(b"\r\n\r\n", 1)[1])["answer"]
    if stopping.wait(timeout=30 * patience) != 0 or not answer:
        sys.exit("error: the command that stops the server failed")
    print("a request under way at SIGTERM was answered, new connections were refused")


def wait_until_refused(port, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return
        time.sleep(0.05)
    sys.exit(f"error: the server still takes connections {seconds} s after SIGTERM")


if __name__ == "__main__":
    main()
