#!/usr/bin/env python3
"""Compares two reports of `rag-api evaluate --report`: what is merged into, and what would be merged.

usage: quality_gate.py --head HEAD.json [--base BASE.json] [--markdown FILE] [--min MODE:FIGURE=X]... [--tolerance FIGURE=X]...

Fails when a figure of the head is below its threshold, or below the base by more than its tolerance. Without --base only
the thresholds count. Latencies are shown and never judged: shared machines are too noisy. Reports of different
collections are refused, since their difference says nothing.

  quality_gate.py --base base.json --head head.json --markdown summary.md
  quality_gate.py --head head.json --min hybrid:ndcg@10=0.9 --tolerance mrr@10=0.03

Exit codes: 0 no drop, 1 a drop, 2 the reports cannot be compared or the usage is wrong.
"""

import argparse
import json
import math
import pathlib
import sys

MODES = ("hybrid", "vector", "keyword")
FIGURES = ("ndcg@10", "recall@10", "recall@100", "mrr@10")
# The lowest of the golden collection at which answers are still good; the service answers in hybrid mode by default.
THRESHOLDS = {("hybrid", "ndcg@10"): 0.85, ("hybrid", "recall@10"): 0.95}
# Less than what one question lost from the first ten costs among 35 (0.029), more than the last digits differ by.
TOLERANCES = {"ndcg@10": 0.01, "recall@10": 0.01, "recall@100": 0.01, "mrr@10": 0.02}


class Unusable(Exception):
    """A report that cannot be judged."""


def main(arguments=None):
    options = parse(arguments)
    try:
        head = read(options.head)
        base = read(options.base) if options.base else None
        rows, problems = judge(head, base, THRESHOLDS | dict(options.min), TOLERANCES | dict(options.tolerance))
    except Unusable as unusable:
        print(f"error: {unusable}", file=sys.stderr)
        return 2
    text = markdown(head, base, rows, problems)
    if options.markdown:
        with options.markdown.open("a", encoding="utf-8") as file:
            file.write(text)
    print(text)
    return 1 if problems else 0


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage="see below")
    parser.add_argument("--head", required=True, type=pathlib.Path)
    parser.add_argument("--base", type=pathlib.Path)
    parser.add_argument("--markdown", type=pathlib.Path)
    parser.add_argument("--min", action="append", default=[], type=threshold, metavar="MODE:FIGURE=X")
    parser.add_argument("--tolerance", action="append", default=[], type=tolerance, metavar="FIGURE=X")
    return parser.parse_args(arguments)


def threshold(text):
    name, _, value = text.partition("=")
    mode, _, figure = name.partition(":")
    if mode not in MODES or figure not in FIGURES:
        raise argparse.ArgumentTypeError(f"'{name}' is not one of {', '.join(MODES)} with one of {', '.join(FIGURES)}")
    return (mode, figure), share(value)


def tolerance(text):
    figure, _, value = text.partition("=")
    if figure not in FIGURES:
        raise argparse.ArgumentTypeError(f"'{figure}' is not one of {', '.join(FIGURES)}")
    return figure, share(value)


def share(text):
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number between 0 and 1")
    return value


def read(path):
    """The report at `path`, every figure of it a number between 0 and 1."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Unusable(f"{path} cannot be read as a report: {error}") from error
    if not isinstance(report, dict) or not isinstance(report.get("modes"), dict):
        raise Unusable(f"{path} is no report of `rag-api evaluate`: it has no modes")
    if not isinstance(report.get("queries"), int) or report["queries"] < 1:
        raise Unusable(f"{path} counts no queries: nothing was measured")
    for mode in MODES:
        figures = report["modes"].get(mode)
        for figure in FIGURES:
            value = figures.get(figure) if isinstance(figures, dict) else None
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
                raise Unusable(f"{path}: {figure} of {mode} is {value!r}, not a number between 0 and 1")
    return report


def judge(head, base, thresholds, tolerances):
    """One row for each mode and figure, and a sentence for each that is too low."""
    if base:
        for key in ("dataset", "documents", "queries"):
            if head.get(key) != base.get(key):
                raise Unusable(f"the reports are of different collections: {key} is {base.get(key)!r} and {head.get(key)!r}")
    rows, problems = [], []
    for mode in MODES:
        for figure in FIGURES:
            now = head["modes"][mode][figure]
            before = base["modes"][mode][figure] if base else None
            floor = thresholds.get((mode, figure))
            found = []
            if floor is not None and now < floor:
                found.append(f"{mode} {figure} is {now:.4f}, below the threshold {floor:g}")
            # A millionth for the sums' last digits, so that a drop of exactly the tolerance passes.
            if before is not None and before - now > tolerances[figure] + 1e-6:
                found.append(f"{mode} {figure} fell from {before:.4f} to {now:.4f}, more than {tolerances[figure]:g}")
            rows.append((mode, figure, before, now, floor, not found))
            problems += found
    return rows, problems


def markdown(head, base, rows, problems):
    lines = [f"## Retrieval: {'a figure fell' if problems else 'no figure fell'}", ""]
    lines.append(f"{plain(head.get('dataset'))}: {plain(head.get('documents'))} documents, {head['queries']} queries.")
    if not base:
        lines.append("There was no base to compare with: only the thresholds were checked.")
    lines += ["", "| mode | figure | base | head | change | threshold | |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for mode, figure, before, now, floor, good in rows:
        change = "–" if before is None else f"{now - before:+.4f}"
        lines.append(
            f"| {mode} | {figure} | {number(before)} | {now:.4f} | {change} | {'–' if floor is None else f'{floor:g}'} |"
            f" {'' if good else '**too low**'} |"
        )
    lines += ["", "| mode | p50 ms, base | p50 ms, head | p99 ms, base | p99 ms, head |", "| --- | --- | --- | --- | --- |"]
    for mode in MODES:
        cells = [number(latency(report, mode, name)) for name in ("p50", "p99") for report in (base, head)]
        lines.append(f"| {mode} | {' | '.join(cells)} |")
    lines += ["", *(f"- {problem}" for problem in problems), ""]
    return "\n".join(lines)


def latency(report, mode, name):
    value = ((report or {}).get("modes", {}).get(mode, {}).get("latency_ms") or {}).get(name)
    return value if isinstance(value, (int, float)) else None


def number(value):
    return "–" if value is None else f"{value:.4f}"


def plain(value):
    """A report comes from the change under test: nothing in it may become markup of the summary."""
    return "".join(c for c in str(value)[:60] if c.isalnum() or c in " ._-")


if __name__ == "__main__":
    sys.exit(main())
