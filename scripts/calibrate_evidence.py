#!/usr/bin/env python3
"""Fits the score that decides whether there is evidence, and measures it.

Each collection is indexed once by `rag-api evaluate --held-out --foreign …`, which asks three kinds of questions:
its own (they should be answered), those of the other collections, and its own once more as if the documents
that answer them were not there (both should be refused). From the reports this prints

- coefficients for src/generation/evidence.rs,
- what a collection gets from coefficients and threshold that were chosen without it, beside the plain cosine,
- the shares answered with the coefficients, which --write keeps as a file. A test compares them with the binary's.

Examples:
  scripts/calibrate_evidence.py tests/golden ../shared/eval/{cranfield,cisi,contoso-handbook-pdf,aws-docs-md,jsquad-ja,cmrc2018-zh}
  scripts/calibrate_evidence.py --write tests/abstention/curve.json tests/golden …

Needs the model in MODEL_DIR. Reports are kept in --reports; remove them when the binary finds or cuts words differently.
"""

import argparse
import json
import math
import subprocess
from pathlib import Path

# The share of own questions that may be refused, as a mean over collections, where the threshold is set.
REFUSED = 0.03
# A threshold's false answers say nothing of a set with fewer questions.
FEWEST = 20
DEFAULT_THRESHOLD = 0.3
# Of a long question no passage holds all words: more than these are not asked for.
ENOUGH_TERMS = 10
# Missing words lower the cosine by no more, as an answer may use other words.
MOST_LOWERED = 0.25


class Family:
    """Questions of one kind of script, with a formula of their own."""

    def __init__(self, name, unspaced, features, held_out):
        self.name, self.unspaced, self.features = name, unspaced, features
        # The weight of held-out questions beside foreign ones in the fit. None where a text is judged
        # relevant while others answer as well: there they would teach that good evidence is none.
        self.weights = {"own": 1.0, "foreign": 1.0 - held_out, "held_out": held_out}


def spaced(cosine, found, terms):
    return (1.0, cosine, min(1.0, found / min(terms, ENOUGH_TERMS)))


def unspaced(cosine, found, terms):
    return (1.0, cosine, found / terms)


FAMILIES = [Family("spaced", False, spaced, 0.0), Family("unspaced", True, unspaced, 0.5)]


def main():
    arguments = parse()
    dirs = [Path(name) for name in arguments.collections]
    reports = {}
    for directory in dirs:
        name = directory.resolve().name
        reports[name] = report(arguments, directory, [other for other in dirs if other != directory])
    fits = {family.name: calibrate(family, reports) for family in FAMILIES}
    coefficients = scaled(*(fit for fit, _ in fits.values()))
    print(f"\n{constants(*coefficients)}")
    fits = {name: rows for name, (_, rows) in fits.items()}
    curve = measured(reports, *coefficients)
    show(curve)
    if arguments.write:
        known = {"threshold": DEFAULT_THRESHOLD, "without_the_collection": fits, "answered": curve}
        Path(arguments.write).write_text(compact(known))


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collections", nargs="+", metavar="DIR", help="test collections, as `rag-api evaluate` reads them")
    parser.add_argument("--binary", default="target/release/rag-api")
    parser.add_argument("--reports", default="target/evidence", help="folder of the reports (default %(default)s)")
    parser.add_argument("--foreign", default="tests/abstention", help="further questions that no collection answers")
    parser.add_argument("--write", metavar="FILE.json", help="keep the shares answered")
    return parser.parse_args()


def report(arguments, directory, others):
    path = Path(arguments.reports) / f"{directory.resolve().name}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        command = [arguments.binary, "evaluate", str(directory), "--held-out", "--report", str(path)]
        for other in [*others, arguments.foreign]:
            command += ["--foreign", str(other)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return json.loads(path.read_text())["abstention"]["questions"]


def calibrate(family, reports):
    """Prints the coefficients of all collections together, and how those do that leave one out."""
    asked = {
        name: [question for question in questions if question["unspaced"] == family.unspaced and question["hits"]]
        for name, questions in reports.items()
    }
    # A collection that asks few questions of its own in this script is not worth a fit or a figure.
    asked = {name: questions for name, questions in asked.items() if sum(q["kind"] == "own" for q in questions) >= FEWEST}
    weights = fit(family, asked.values())
    threshold = highest(asked.values(), lambda question: score(family, weights, question))
    print(f"\n{family.name}: log-odds {[round(weight, 3) for weight in weights]}, threshold {threshold:.3f}")
    return (weights, threshold), leave_one_out(family, asked)


def scaled(spaced_fit, unspaced_fit):
    """Log-odds on the scale of the cosine, the threshold at its default, rounded as evidence.rs has them."""
    scale = spaced_fit[0][1]

    def on_scale(fit):
        (base, *others), threshold = fit
        return [round(v, 3) for v in (DEFAULT_THRESHOLD + (base - threshold) / scale, *(o / scale for o in others))]

    base, _, share = on_scale(spaced_fit)
    return [base, share], on_scale(unspaced_fit)


def constants(spaced_weights, unspaced_weights):
    lists = {"SPACED: [f32; 2]": spaced_weights, "UNSPACED: [f32; 3]": unspaced_weights}
    lines = [f"const {name} = [{', '.join(f'{value:.3f}' for value in values)}];" for name, values in lists.items()]
    return "\n".join([*lines, f"const ENOUGH_TERMS: f32 = {ENOUGH_TERMS:.1f};", f"const MOST_LOWERED: f32 = {MOST_LOWERED};"])


def evidence(question, spaced_weights, unspaced_weights):
    """As evidence.rs computes it."""
    terms = question["terms"] or 1

    def strength(cosine, found):
        if question["unspaced"]:
            return dot(unspaced_weights, unspaced(cosine, found, terms))
        base, share = spaced_weights
        return cosine + max(-MOST_LOWERED, base + share * spaced(cosine, found, terms)[2])

    return max((max(-1.0, min(1.0, strength(*hit))) for hit in question["hits"]), default=-1.0)


def leave_one_out(family, asked):
    rows = {}
    print(f"{'left out':22} {'score: refused':>15} {'foreign':>8} {'held out':>8}   {'cosine: refused':>15} {'foreign':>8} {'held out':>8}")
    for name, questions in asked.items():
        rest = [other for key, other in asked.items() if key != name]
        weights = fit(family, rest)
        ours = lambda question: score(family, weights, question)
        rows[name] = [*outcome(questions, ours, highest(rest, ours)), *outcome(questions, plain, highest(rest, plain))]
    rows["mean"] = [sum(column) / len(column) for column in zip(*rows.values())]
    for name, row in rows.items():
        ours, theirs = ("{:15.1%} {:8.1%} {:8.1%}".format(*part) for part in (row[:3], row[3:]))
        print(f"{name:22} {ours}   {theirs}")
    return {name: [round(share, 4) for share in row] for name, row in rows.items()}


def plain(question):
    """The rule that this score has replaced."""
    fits = [cosine for cosine, found in question["hits"] if not question["unspaced"] or found >= 0.3 * question["terms"]]
    return max(fits, default=-1.0) * (2.0 if question["unspaced"] else 1.0)


def score(family, weights, question):
    # What is evidence whatever its words, at the threshold, is so at every threshold that is tried.
    if not family.unspaced and max(cosine for cosine, _ in question["hits"]) >= DEFAULT_THRESHOLD + MOST_LOWERED:
        return math.inf
    return max(dot(weights, vector) for vector in vectors(family, question))


def vectors(family, question):
    return [family.features(cosine, found, question["terms"] or 1) for cosine, found in question["hits"]]


def dot(one, other):
    return sum(a * b for a, b in zip(one, other))


def highest(collections, score_of):
    """The highest threshold that refuses no more than REFUSED of the own questions."""
    owns = [[score_of(question) for question in questions if question["kind"] == "own"] for questions in collections]
    refused = lambda threshold: sum(sum(s < threshold for s in own) / len(own) for own in owns) / len(owns)
    candidates = sorted(set(s for own in owns for s in own))
    low, high = 0, len(candidates) - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if refused(candidates[middle]) <= REFUSED else (low, middle - 1)
    return candidates[low]


def outcome(questions, score_of, threshold):
    """Shares of own questions refused, foreign ones answered (a mean over their sets), held-out ones answered."""
    answered = {}
    for question in questions:
        key = (question["kind"], question["set"] if question["kind"] == "foreign" else "")
        answered.setdefault(key, []).append(score_of(question) >= threshold)
    share = lambda all: sum(all) / len(all)
    foreign = [share(all) for (kind, _), all in answered.items() if kind == "foreign" and len(all) >= FEWEST]
    return 1 - share(answered["own", ""]), share(foreign), share(answered["held_out", ""])


def fit(family, collections):
    """Logistic regression on the strongest passage of each question, which depends on the weights: fitted and
    chosen in turns. Each collection, kind and foreign set counts alike, however many questions it has."""
    rows = []
    for questions in collections:
        groups = {}
        for question in questions:
            groups.setdefault((question["kind"], question["set"]), []).append(question)
        for (kind, _), group in groups.items():
            sets = sum(1 for other, _ in groups if other == kind)
            weight = family.weights[kind] / len(group) / sets
            if weight > 0:
                rows += [(vectors(family, question), kind == "own", weight) for question in group]
    weights = [-3.0, 5.0, 3.0]
    for _ in range(10):
        before = weights
        chosen = [(max(all, key=lambda vector: dot(weights, vector)), own, weight) for all, own, weight in rows]
        weights = regress(chosen, weights)
        if max(abs(a - b) for a, b in zip(weights, before)) < 1e-3:
            break
    return weights


def regress(rows, weights, ridge=1e-3):
    """Newton's method with halved steps where a whole one would overshoot."""
    total = sum(weight for _, _, weight in rows)
    size = range(len(weights))

    def loss(weights):
        sum_of = 0.0
        for vector, own, weight in rows:
            margin = dot(weights, vector) * (1 if own else -1)
            sum_of += weight * (math.log1p(math.exp(-margin)) if margin > -30 else -margin)
        return sum_of / total + ridge * dot(weights[1:], weights[1:]) / 2

    at = loss(weights)
    for _ in range(40):
        gradient = [-ridge * weights[i] if i else 0.0 for i in size]
        hessian = [[(ridge if i else 0.0) * (i == j) + 1e-9 * (i == j) for j in size] for i in size]
        for vector, own, weight in rows:
            odds = 1 / (1 + math.exp(-max(-30.0, min(30.0, dot(weights, vector)))))
            error, curvature = weight / total * (own - odds), weight / total * odds * (1 - odds)
            for i in size:
                gradient[i] += error * vector[i]
                for j in size:
                    hessian[i][j] += curvature * vector[i] * vector[j]
        step = solve(hessian, gradient)
        length = 1.0
        while length > 1e-6:
            moved = [a + length * b for a, b in zip(weights, step)]
            now = loss(moved)
            if now <= at:
                break
            length /= 2
        weights, gain, at = moved, at - now, now
        if gain < 1e-10:
            break
    return weights


def solve(matrix, vector):
    rows = [row[:] + [value] for row, value in zip(matrix, vector)]
    for i in range(len(rows)):
        pivot = max(range(i, len(rows)), key=lambda r: abs(rows[r][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for r in range(len(rows)):
            if r != i:
                factor = rows[r][i] / rows[i][i]
                rows[r] = [a - factor * b for a, b in zip(rows[r], rows[i])]
    return [row[-1] / row[i] for i, row in enumerate(rows)]


def measured(reports, *coefficients):
    """By collection: the share of each kind of question that is answered at each threshold."""
    thresholds = [round(step * 0.05, 2) for step in range(-4, 17)]
    curves = {"thresholds": thresholds}
    for name, questions in reports.items():
        groups = {}
        for question in questions:
            groups.setdefault((question["kind"], question["set"]), []).append(evidence(question, *coefficients))
        curves[name] = {"questions": {}}
        for (kind, foreign), all in groups.items():
            key = f"foreign {foreign}" if kind == "foreign" else kind
            curves[name]["questions"][key] = len(all)
            curves[name][key] = [round(sum(e >= t for e in all) / len(all), 4) for t in thresholds]
    return curves


def show(curves):
    at = curves["thresholds"].index(DEFAULT_THRESHOLD)
    print(f"\nat {DEFAULT_THRESHOLD}: own questions refused, then questions answered")
    for name, curve in curves.items():
        if name != "thresholds":
            foreign = ", ".join(f"{key[8:]} {all[at]:.1%}" for key, all in curve.items() if key.startswith("foreign"))
            print(f"{name:22} {1 - curve['own'][at]:6.1%}  held out {curve['held_out'][at]:6.1%}  foreign: {foreign}")


def compact(value):
    """JSON with one list a line."""
    text = json.dumps(value, indent=1)
    out, depth = [], 0
    for line in text.splitlines():
        bare = line.strip()
        out.append((" " if depth and not bare.startswith("]") else "") + bare if depth else line)
        opens = bare.endswith("[")
        depth += opens
        depth -= bare.rstrip(",") == "]"
        if not depth:
            out.append("\n")
    return "".join(out).rstrip("\n") + "\n"


if __name__ == "__main__":
    main()
