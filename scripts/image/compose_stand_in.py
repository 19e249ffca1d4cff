"""Runs inside the stand-ins for compose.yaml's foreign images.

usage: compose_stand_in.py llm ARGUMENTS    llama.cpp's server, with the arguments its own image takes
       compose_stand_in.py agent            Datadog's test agent in the Agent's place
       compose_stand_in.py get URL          what is seen there from inside the container
"""

import argparse
import os
import signal
import sys
import threading
import urllib.request


def main():
    command, *rest = sys.argv[1:]
    {"llm": llm, "agent": agent, "get": get}[command](rest)


def llm(rest):
    import xllamacpp

    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("--model", "--alias", "--host"):
        parser.add_argument(name, required=True)
    for name in ("--port", "--ctx-size"):
        parser.add_argument(name, required=True, type=int)
    wanted = parser.parse_args(rest)
    settings = xllamacpp.CommonParams()
    settings.model.path = wanted.model
    settings.model_alias = {wanted.alias}
    settings.hostnames = [wanted.host]
    settings.port = wanted.port
    settings.n_ctx = wanted.ctx_size
    settings.offline = True
    settings.ui = False
    # The server ends with this variable.
    server = xllamacpp.Server(settings)
    print("listening", server.listening_address, flush=True)
    end = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: end.set())
    end.wait()


def agent(_):
    from ddapm_test_agent.agent import main as serve

    sys.argv = ["ddapm-test-agent", "-p", "8126", "--disable-llmobs-data-forwarding", "--web-ui-port", "0"]
    # Like the Agent, it hears other hosts only when told to.
    if os.environ.get("DD_APM_NON_LOCAL_TRAFFIC") == "true":
        sys.argv += ["--host", "0.0.0.0"]
    serve()


def get(rest):
    sys.stdout.write(urllib.request.urlopen(rest[0], timeout=10).read().decode())


main()
