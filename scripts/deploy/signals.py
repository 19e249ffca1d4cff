#!/usr/bin/env python3
"""Error rate and p95 of two revisions, from /metrics or from Datadog, and the verdict on them.

usage: signals.py metrics BEFORE AFTER SINCE [PROBES]    folders of scrapes, epoch seconds, statuses of our own requests
       signals.py body SERVICE ENV VERSION FROM TO        the body of Datadog's scalar query, epoch seconds
       signals.py datadog REPLY [PROBES]                  its reply
       signals.py judge CANDIDATE [STABLE]                files that the first or the third wrote

All write JSON or a line for people to stdout. judge exits 0 when the candidate is as good, 1 when it is worse, 3 when there
is too little to say. Limits: MIN_REQUESTS, MAX_ERROR_RATE, ERROR_RATE_TOLERANCE, MAX_P95_SECONDS, P95_RATIO, P95_SLACK_SECONDS.
"""

import json
import math
import os
import pathlib
import re
import sys

ROUTES = ("/query", "/search")
SAMPLE = re.compile(r'^(\w+)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def limit(name, default):
    return float(os.environ.get(name) or default)


def main(arguments):
    match arguments:
        case ["metrics", before, after, since, *probes] if len(probes) < 2:
            print(json.dumps(with_probes(between(scrapes(before), scrapes(after), float(since)), probes)))
        case ["body", service, env, version, start, end]:
            print(json.dumps(scalar_query(service, env, version, int(start), int(end))))
        case ["datadog", reply, *probes] if len(probes) < 2:
            print(json.dumps(with_probes(scalar_reply(json.loads(pathlib.Path(reply).read_text())), probes)))
        case ["judge", candidate, *stable] if len(stable) < 2:
            read = [json.loads(pathlib.Path(path).read_text()) for path in [candidate, *stable]]
            code, text = judge(read[0], read[1] if stable else None)
            print(text)
            return code
        case _:
            sys.exit(__doc__)
    return 0


def scrapes(folder):
    """Samples by process: behind one address answer several replicas, told apart by when and how fast they started."""
    found = {}
    for path in sorted(pathlib.Path(folder).glob("*.prom")):
        samples = [m.groups() for line in path.read_text().splitlines() if (m := SAMPLE.match(line))]
        identity = tuple(s for s in samples if s[0] in ("process_start_time_seconds", "startup_seconds"))
        if identity:
            # Of two scrapes of one process the later one holds.
            found[identity] = [(name, dict(LABEL.findall(labels or "")), float(value)) for name, labels, value in samples]
    return found


def between(before, after, since):
    """What each process counted in the meantime; one that started in the meantime counted all of it, one that was not
    met before tells nothing."""
    requests, errors, buckets, restarts = 0.0, 0.0, {}, 0
    for identity, samples in after.items():
        earlier = {key(s): s[2] for s in before.get(identity, [])}
        if not earlier:
            started = next(float(s[2]) for s in identity if s[0] == "process_start_time_seconds")
            if started < since:
                continue
            restarts += 1
        for sample in samples:
            name, labels, value = sample
            if labels.get("route") not in ROUTES:
                continue
            grown = value - earlier.get(key(sample), 0.0)
            if name == "http_requests_total":
                requests += grown
                errors += grown if labels["status"].startswith("5") else 0.0
            elif name == "http_request_duration_seconds_bucket":
                edge = math.inf if labels["le"] == "+Inf" else float(labels["le"])
                buckets[edge] = buckets.get(edge, 0.0) + grown
    return {"source": "metrics", "requests": requests, "errors": errors, "p95": quantile(0.95, buckets), "started": restarts}


def key(sample):
    return sample[0], tuple(sorted(sample[1].items()))


def quantile(share, buckets):
    """Linear within the bucket, as Prometheus does; None without observations, the last finite edge beyond it."""
    edges = sorted(buckets)
    total = buckets[edges[-1]] if edges else 0.0
    if total <= 0:
        return None
    rank, lower, below = share * total, 0.0, 0.0
    for edge in edges:
        if buckets[edge] >= rank:
            if math.isinf(edge):
                return lower
            return lower + (edge - lower) * (rank - below) / (buckets[edge] - below)
        lower, below = edge, buckets[edge]
    return lower


def scalar_query(service, env, version, start, end):
    scope = f"{{service:{service},env:{env},version:{version}}}"
    span = "trace.http.server.request"
    queries = [("errors", "sum", f"sum:{span}.errors{scope}.as_count()"), ("hits", "sum", f"sum:{span}.hits{scope}.as_count()"),
               ("p95", "percentile", f"p95:{span}{scope}")]
    return {"data": {"type": "scalar_request", "attributes": {
        "from": start * 1000, "to": end * 1000,
        "queries": [{"data_source": "metrics", "name": n, "aggregator": a, "query": q} for n, a, q in queries],
        "formulas": [{"formula": "default_zero(errors)"}, {"formula": "hits"}, {"formula": "p95"}]}}}


def scalar_reply(reply):
    """Columns come in the order of the formulas; null or an empty list is the absence of data, not zero."""
    columns = ((reply.get("data") or {}).get("attributes") or {}).get("columns") or []
    values = [(column.get("values") or [None])[0] for column in columns] + [None] * 3
    errors, hits, p95 = values[:3]
    return {"source": "datadog", "requests": hits or 0.0, "errors": errors or 0.0, "p95": p95}


def with_probes(measured, probes):
    """A request that the platform refused never reached the process, so only we know of it."""
    statuses = [line.split()[1] for line in pathlib.Path(probes[0]).read_text().splitlines()] if probes and os.path.exists(probes[0]) else []
    return measured | {"probes": len(statuses), "probes_failed": sum(not s.startswith("2") for s in statuses)}


def judge(new, old):
    least = limit("MIN_REQUESTS", 50)
    if new["requests"] < least and not too_many(new["probes"], new["probes_failed"], 0.0):
        return 3, f"only {new['requests']:.0f} requests of the candidate were measured, {least:.0f} are needed"
    if old is not None and old["requests"] < least:
        return 3, f"only {old['requests']:.0f} requests of the stable revision were measured, {least:.0f} are needed"
    base = share(old["errors"], old["requests"]) if old else 0.0
    wrong = []
    if too_many(new["requests"], new["errors"], base):
        wrong.append("the error rate is too high")
    if too_many(new["probes"], new["probes_failed"], share(old["probes_failed"], old["probes"]) if old else 0.0):
        wrong.append(f"{new['probes_failed']} of {new['probes']} probes failed")
    if new["requests"] and new["p95"] is None or old and old["p95"] is None:
        return 3, "there is no latency to compare"
    if new["p95"] is not None:
        allowed = limit("MAX_P95_SECONDS", 10)
        if old:
            allowed = min(allowed, old["p95"] * limit("P95_RATIO", 1.5) + limit("P95_SLACK_SECONDS", 0.1))
        if new["p95"] > allowed:
            wrong.append(f"p95 is above {allowed:.3f} s")
    said = describe("candidate", new) + (f"; {describe('stable', old)}" if old else "; no baseline")
    return (1, f"{', '.join(wrong)} ({said})") if wrong else (0, said)


def too_many(requests, errors, base):
    rate = share(errors, requests)
    return rate > limit("MAX_ERROR_RATE", 0.05) or rate > base + limit("ERROR_RATE_TOLERANCE", 0.01)


def share(part, whole):
    return part / whole if whole else 0.0


def describe(name, side):
    p95 = "no p95" if side["p95"] is None else f"p95 {side['p95']:.3f} s"
    return f"{name}: {side['requests']:.0f} requests, {share(side['errors'], side['requests']):.2%} errors, {p95}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
