#!/usr/bin/env python3
"""Golden questions for two revisions: writes the requests, scores the replies, compares them question by question.

usage: golden.py requests URL GOLDEN_DIR FOREIGN_FILE OUT    curl's configuration to ask each question, to stdout
       golden.py probes URL GOLDEN_DIR COUNT OUT QUESTION    the same for COUNT questions without a score
       golden.py compare GOLDEN_DIR FOREIGN_FILE CANDIDATE [STABLE]

compare reads what the requests left and exits 0 when the candidate is as good, 1 when it is worse, 3 when there is nothing to
compare. Limits: GOLDEN_TOLERANCE (largest mean drop, 0.05), GOLDEN_MIN_RECALL (0.5), GOLDEN_TOP_K (10).
"""

import json
import os
import pathlib
import statistics
import sys

TOP_K = int(os.environ.get("GOLDEN_TOP_K", "10"))
TOLERANCE = float(os.environ.get("GOLDEN_TOLERANCE", "0.05"))
MIN_RECALL = float(os.environ.get("GOLDEN_MIN_RECALL", "0.5"))
METRICS = ["recall", "abstention", "citations"]


def main(arguments):
    match arguments:
        case ["requests", url, golden, foreign, out]:
            requests(url, questions(golden, foreign), pathlib.Path(out), TOP_K)
        case ["probes", url, golden, count, out, fallback]:
            requests(url, probes(golden, int(count), fallback), pathlib.Path(out), None)
        case ["compare", golden, foreign, candidate, *stable] if len(stable) < 2:
            return compare(golden, foreign, pathlib.Path(candidate), pathlib.Path(stable[0]) if stable else None)
        case _:
            sys.exit(__doc__)
    return 0


def requests(url, asked, out, top_k):
    """A curl configuration for one process, which keeps its connections, with a status line for each question."""
    parts = []
    for key, text in asked.items():
        (out / f"{key}.request").write_text(json.dumps({"question": text} | ({"top_k": top_k} if top_k else {})))
        parts.append("\n".join([
            f"url = {json.dumps(url + '/query')}", 'header = "content-type: application/json"', "max-time = 60",
            f"data-binary = {json.dumps(f'@{out}/{key}.request')}", f"output = {json.dumps(f'{out}/{key}.json')}",
            f'write-out = "{key} %{{http_code}} %{{time_total}}\\n"']))
    print("\nnext\n".join(parts))


def questions(golden, foreign):
    """A question that no document answers is in the set too: to stay silent there is part of the quality."""
    asked = {f"golden-{number}": query["text"] for number, query in enumerate(lines(golden))}
    unanswerable = pathlib.Path(foreign)
    texts = [text for text in unanswerable.read_text().splitlines() if text.strip()] if unanswerable.is_file() else []
    return asked | {f"foreign-{number}": text for number, text in enumerate(texts)}


def probes(golden, count, fallback):
    texts = [query["text"] for query in lines(golden)] or [fallback]
    return {f"probe-{number}": texts[number % len(texts)] for number in range(count)}


def lines(golden):
    path = pathlib.Path(golden) / "queries.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()] if path.is_file() else []


def relevant(golden):
    """Rows `query-id, corpus-id, score`, the corpus id with #page=N where only that page answers."""
    rows = {}
    for line in (pathlib.Path(golden) / "qrels.tsv").read_text().splitlines()[1:]:
        query, document, score = line.split("\t")
        if int(score) > 0:
            rows.setdefault(query, set()).add(document)
    return rows


def compare(golden, foreign, candidate, stable):
    asked = questions(golden, foreign)
    if not any(key.startswith("golden") for key in asked):
        print(f"{golden} has no questions")
        return 3
    wanted = {f"golden-{number}": relevant(golden).get(query["_id"], set()) for number, query in enumerate(lines(golden))}
    new = {key: score(key, candidate, wanted) for key in asked}
    if all(part["status"] != 200 for part in new.values()):
        print("the candidate answered no golden question")
        return 1
    recall = mean(new, "recall")
    if stable is None:
        print(f"without a baseline: {describe(new)}, recall must be {MIN_RECALL:.2f}")
        return 0 if recall >= MIN_RECALL else 1
    old = {key: score(key, stable, wanted) for key in asked}
    if mean(old, "recall") < MIN_RECALL:
        print(f"the stable revision finds {mean(old, 'recall'):.2f} of the golden passages, below {MIN_RECALL:.2f}: the questions "
              "do not fit its index, so they measure nothing. Set GOLDEN_DIR to a set of your own, or GOLDEN_DIR=none.")
        return 3
    worse = False
    for metric in METRICS:
        drops = [old[key][metric] - new[key][metric] for key in asked if None not in (old[key][metric], new[key][metric])]
        drop = statistics.fmean(drops) if drops else 0.0
        lost, won = sum(d > 0 for d in drops), sum(d < 0 for d in drops)
        worse |= drop > TOLERANCE
        print(f"{metric}: {mean(new, metric):.3f}, stable {mean(old, metric):.3f}; paired difference {-drop:+.3f} on {len(drops)} "
              f"questions ({lost} worse, {won} better), tolerance {TOLERANCE:.3f}{': TOO LOW' if drop > TOLERANCE else ''}")
    return 1 if worse else 0


def score(key, folder, wanted):
    """Recall@k and citation support of one reply, and whether answering (or not) was right; None where it does not apply."""
    status, reply = read(folder, key)
    ours = key.startswith("golden")
    if status != 200:
        return {"status": status, "recall": 0.0 if ours else None, "abstention": 0.0, "citations": None}
    citations = reply.get("citations") or []
    silent = not (reply.get("metadata") or {}).get("grounded") and not citations
    found = set()
    for hit in (reply.get("contexts") or [])[:TOP_K]:
        found |= {hit.get("source"), f"{hit.get('source')}#page={hit.get('page_number')}"}
    recall = len(wanted[key] & found) / len(wanted[key]) if ours and wanted[key] else None
    support = sum(c.get("verdict") == "supported" for c in citations) / len(citations) if citations else 0.0
    # A golden question without a relevant row belongs to those that nothing answers.
    answerable = ours and bool(wanted[key])
    return {"status": status, "recall": recall, "abstention": float(silent != answerable), "citations": None if silent else support}


def read(folder, key):
    status = 0
    for line in (folder / "statuses").read_text().splitlines():
        name, code, _ = line.split()
        status = int(code) if name == key else status
    try:
        reply = json.loads((folder / f"{key}.json").read_text())
    except (OSError, ValueError):
        return 0, {}
    return (status, reply) if isinstance(reply, dict) else (0, {})


def mean(scores, metric):
    values = [part[metric] for part in scores.values() if part[metric] is not None]
    return statistics.fmean(values) if values else 0.0


def describe(scores):
    return ", ".join(f"{metric} {mean(scores, metric):.3f}" for metric in METRICS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
