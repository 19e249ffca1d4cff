#!/usr/bin/env python3
"""Writes data/operations-guide.pdf, the PDF among the sample documents.

Needs the standard library only, and gives the same bytes on every machine. `--check` writes nothing and
fails when the committed file differs from what this script would write.
"""

import hashlib
import pathlib
import sys

TARGET = pathlib.Path(__file__).resolve().parent.parent / "data" / "operations-guide.pdf"
TITLE = "rag-api Operations Guide"

WIDTH, HEIGHT = 595, 842  # A4 in points
LEFT, RIGHT, TOP, BOTTOM = 64, 531, 770, 70
INK, ACCENT, GREY, FILL = "0.13 0.15 0.18", "0.06 0.32 0.52", "0.45 0.48 0.52", "0.92 0.95 0.98"

# Advance widths of the standard fonts for the characters from space to tilde, in thousandths of the size.
HELVETICA = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556,
    556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667,
    556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556, 333, 556,
    556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722,
    500, 500, 500, 334, 260, 334, 584,
]
BOLD = [
    278, 333, 474, 556, 556, 889, 722, 238, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556,
    556, 556, 556, 556, 333, 333, 584, 584, 584, 611, 975, 722, 722, 722, 722, 667, 611, 778, 722, 278, 556, 722,
    611, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 333, 278, 333, 584, 556, 333, 556,
    611, 556, 611, 556, 333, 611, 611, 278, 278, 556, 278, 889, 611, 611, 611, 611, 389, 556, 333, 611, 556, 778,
    556, 556, 500, 389, 280, 389, 584,
]
ADVANCES = {"F1": HELVETICA, "F2": BOLD, "F3": [600] * 95}
FONTS = {"F1": "Helvetica", "F2": "Helvetica-Bold", "F3": "Courier"}

# Each page is a list of blocks: ("h1" | "h2" | "p", text), ("code", lines) or ("table", shares, rows).
# Words between backticks are set in Courier.
PAGES = [
    [
        ("h1", "rag-api Operations Guide"),
        ("lead", "How to run the service, what it refuses and why, and what to do when something is wrong."),
        ("h2", "1  Starting the service"),
        ("p", "The command `rag-api serve` starts the HTTP server. It listens on `0.0.0.0`, port 8000, unless the "
              "variables `HOST` and `PORT` say otherwise. It answers as soon as the model is loaded and warmed, and it "
              "is ready when there is an index that fits the model. Without the model it does not start."),
        ("p", "Before the first start, fetch the model and ingest the documents:"),
        ("code", ["rag-api model fetch", "rag-api ingest data/", "rag-api serve"]),
        ("p", "Settings come from the environment and from a file `.env` in the working directory. The real "
              "environment wins over the file. All mistakes in the configuration are reported at once, each with the "
              "name of its variable, and the command exits with code 2. The value of a secret is never printed."),
        ("h2", "1.1  Stopping the service"),
        ("p", "On SIGTERM or Ctrl-C the server stops accepting requests and lets those at work finish. After SIGTERM "
              "requests may take 25 seconds to finish; `SHUTDOWN_GRACE_SECONDS` changes that. A container platform should wait a little "
              "longer than this before it kills the process."),
        ("h2", "1.2  Exit codes"),
        ("table", [0.14, 0.86], [
            ("Code", "Meaning"),
            ("0", "Done."),
            ("1", "The work failed; the message says what failed and what was kept."),
            ("2", "Wrong usage or wrong configuration; nothing was done."),
        ]),
        ("p", "Exit code 2 means wrong usage, exit code 1 means that the work failed: a script can tell a typing error "
              "from trouble."),
        ("p", "Results are written to the standard output and everything else to the standard error, so output can "
              "be piped. The server's result is its log: see 4.3."),
    ],
    [
        ("h1", "2  Limits"),
        ("p", "Every input has a limit, so that no single request or file can exhaust the service. Limits of a "
              "request that depend on its content are fixed; the others are variables."),
        ("h2", "2.1  Limits of a request"),
        ("table", [0.34, 0.22, 0.44], [
            ("What", "Limit", "Beyond it"),
            ("Characters of a question", "4,000", "422 invalid_request"),
            ("Passages, `top_k`", "1 to 50, default 3", "422 invalid_request"),
            ("Turns of the history", "20", "422 invalid_request"),
            ("Characters of the history", "20,000", "422 invalid_request"),
            ("Values of a filter", "100", "422 invalid_request"),
            ("Vector weight", "0 to 10", "422 invalid_request"),
        ]),
        ("h2", "2.2  Limits of the server"),
        ("table", [0.43, 0.17, 0.40], [
            ("Variable", "Default", "Beyond it"),
            ("`MAX_BODY_BYTES`", "262144", "413 payload_too_large"),
            ("`MAX_CONCURRENT_REQUESTS`", "128", "503 overloaded"),
            ("`EMBEDDING_QUEUE_CAPACITY`", "256", "503 overloaded"),
            ("`REQUEST_TIMEOUT_SECONDS`", "60", "504 timeout"),
        ]),
        ("h2", "2.3  What happens under load"),
        ("p", "The service sheds load before work starts. When the queue of the embedding model is full, a request is "
              "answered at once with status 503 and the code `overloaded`; nothing was computed for it. The reply "
              "carries the header `Retry-After` with the number of seconds to wait. A client that honours it "
              "loses nothing, because a request that was shed had no effect."),
        ("p", "`rag-api ingest` is a process of its own: on the same machine it competes with the server for the "
              "processor, but it takes no place in the server's queue."),
    ],
    [
        ("h1", "3  Errors"),
        ("p", "Errors have the type `application/problem+json`. The field `code` is stable and made for programs; "
              "`detail` is made for people and may change. Quote the `trace_id` when you report a problem: the log "
              "line with the same trace id holds the cause."),
        ("table", [0.32, 0.12, 0.56], [
            ("Code", "Status", "What to do"),
            ("`invalid_request`", "422", "Correct the field that `detail` names."),
            ("`payload_too_large`", "413", "Send a smaller body or raise `MAX_BODY_BYTES`."),
            ("`not_found`", "404", "Check the path of the request."),
            ("`method_not_allowed`", "405", "Use a method that the header `Allow` names."),
            ("`overloaded`", "503", "Wait as long as `Retry-After` says, then try again."),
            ("`not_ready`", "503", "Only from `/ready`: `missing` names what is missing."),
            ("`embedding_unavailable`", "503", "The model failed; if it stays so, restart the server."),
            ("`retrieval_unavailable`", "503", "The index is missing or cannot be read; run `rag-api ingest`."),
            ("`generation_failed`", "502", "Reserved: this version answers with sentences instead."),
            ("`timeout`", "504", "The request took too long; ask for fewer passages."),
            ("`internal`", "500", "A fault of the service; report it with the trace id."),
        ]),
        ("h2", "3.1  When the language model fails"),
        ("p", "A language model that is out of reach or overloaded is tried again, twice by default "
              "(`OPENAI_MAX_RETRIES`); each try may take 45 seconds (`OPENAI_TIMEOUT_SECONDS`), all together nine "
              "tenths of `REQUEST_TIMEOUT_SECONDS`. After that, and at once when it refuses the request, the "
              "service answers extractively, with sentences quoted from the passages, and `metadata.mode` of the reply is `extractive`. Callers get an "
              "answer with citations either way."),
        ("h2", "3.2  When there is no evidence"),
        ("p", "A question that no passage answers is not an error. The reply has status 200, `grounded` is false, and "
              "the answer says in the language of the question that there is not enough evidence."),
    ],
    [
        ("h1", "4  Observing the service"),
        ("h2", "4.1  Health and readiness"),
        ("table", [0.22, 0.39, 0.39], [
            ("Route", "Answers", "Use it to"),
            ("`/health`", "200 while the process runs", "restart a container that hangs"),
            ("`/ready`", "200 when questions can be answered", "send traffic, or stop sending it"),
            ("`/warmup`", "200 when the model is warm", "prepare an instance before traffic"),
        ]),
        ("p", "The health route touches neither the model nor the index. The readiness route embeds nothing either; "
              "it answers 503 and names what is missing. The command `rag-api healthcheck` asks the running server's "
              "health route, for containers that have no curl."),
        ("h2", "4.2  Metrics"),
        ("p", "The route `/metrics` gives Prometheus text. The metric to watch first is `embedding_queue_depth`, the "
              "number of jobs that wait for the model: a queue that grows steadily means that the machine is too "
              "small for its traffic. `index_chunks`, the number of chunks in the index, shows whether an "
              "ingestion has arrived."),
        ("p", "Each reply of `/query` holds its own times in `metadata.timings_ms`: `embed`, `search`, `generate` and "
              "`total`, in milliseconds. The same times are sent in the header `Server-Timing`, which browsers show "
              "in their developer tools."),
        ("h2", "4.3  Logs"),
        ("p", "Logs are one JSON object a line, or readable text on a terminal; `LOG_FORMAT` chooses `json` or "
              "`pretty`. The server writes its JSON to the standard output, as container platforms read it; "
              "readable text and the logs of all other commands go to the standard error. `RUST_LOG` sets the "
              "level: by default `info` for the server and `warn` for the other commands. Questions, passages, "
              "answers and keys are never logged. Instead of a question the log holds its hash and its length."),
    ],
    [
        ("h1", "5  Maintenance"),
        ("h2", "5.1  Updating documents"),
        ("p", "Run `rag-api ingest` after documents have changed, for example every night. Files are compared by "
              "their content, so an unchanged folder costs next to nothing. A running server sees the new version of "
              "the index within a second after it is committed; it need not be restarted."),
        ("p", "Add `--prune` to drop the chunks of files that no longer exist; it drops everything that is not under "
              "the paths of this very command. Without it they stay, so that a folder that is empty by mistake "
              "does not empty the index."),
        ("h2", "5.2  Interrupted ingestions"),
        ("p", "An ingestion may be killed at any moment. What was committed is kept, what was not is as if it had "
              "never been written, and the next run continues where the last commit ended. No repair is needed."),
        ("h2", "5.3  Backup and restore"),
        ("p", "The index is derived from the documents, so the documents are the backup that matters. To save the "
              "time of a new ingestion, copy the folder of the index while no ingestion is running, and put it back "
              "the same way."),
        ("h2", "5.4  Changing the model or the size of chunks"),
        ("p", "The index carries a fingerprint of the model and of the chunker. A server that does not match the "
              "fingerprint does not become ready and says which side to rebuild. To rebuild the index:"),
        ("code", ["rag-api index delete", "rag-api ingest data/"]),
        ("p", "After a change of `CHUNK_TOKENS`, `CHUNK_OVERLAP_TOKENS` or `CHUNK_STRATEGY` it is enough to ingest "
              "again: every file is cut anew."),
        ("h2", "5.5  Capacity"),
        ("p", "A vector takes 1,536 bytes: 384 numbers of 4 bytes each. One hundred thousand chunks therefore need "
              "about 154 MB for their vectors, which are mapped from disk and shared by all processes that read "
              "the index."),
    ],
    [
        ("h1", "6  Troubleshooting"),
        ("table", [0.33, 0.30, 0.37], [
            ("Symptom", "Cause", "Remedy"),
            ("The server does not start", "the model is missing", "run `rag-api model fetch`"),
            ("The server does not become ready", "the index is missing", "run `rag-api ingest`"),
            ("The port is already in use", "another process listens there", "set `PORT` to another number"),
            ("The model file is damaged", "an interrupted copy", "run `rag-api model fetch`; it repairs"),
            ("Answers are only quotations", "no language model is set", "set `OPENAI_BASE_URL` or a key"),
            ("A PDF file gives no text", "its pages are scanned images", "run text recognition on it first"),
            ("Reading a file is stopped", "it took more than 25 seconds", "raise `INGEST_FILE_TIMEOUT_SECONDS`"),
            ("Another process is writing", "two ingestions at once", "wait for the first to end"),
            ("Deleted files are still found", "chunks are kept by default", "ingest with `--prune`"),
        ]),
        ("h2", "6.1  The first thing to try"),
        ("p", "The command `rag-api check` validates the configuration and asks each dependency once: the model, the "
              "index and, when one is configured, the language model. It prints one line for each and exits with "
              "code 1 when any of them fails, so a deployment can stop there."),
        ("p", "When the port is already in use, another process listens there: stop it, or set `PORT` to another number."),
        ("h2", "6.2  Poor answers"),
        ("p", "Look at the passages before you blame the answer: `rag-api search` shows what was retrieved for a "
              "question. When the right passage is missing, compare the modes with `--mode keyword` and `--mode "
              "vector`. When it is present but low, raise `top_k`. When nothing is found although the documents hold "
              "the answer, lower `MIN_EVIDENCE_COSINE` a little, and measure the effect with `rag-api evaluate`."),
    ],
]


def main(arguments):
    if arguments not in ([], ["--check"]):
        sys.exit(f"usage: {sys.argv[0]} [--check]")
    pdf = document([page(blocks, number) for number, blocks in enumerate(PAGES, 1)])
    if not arguments:
        TARGET.write_bytes(pdf)
        print(f"{TARGET.name}: {len(PAGES)} pages, {len(pdf)} bytes")
    elif not TARGET.exists() or TARGET.read_bytes() != pdf:
        sys.exit(f"{TARGET.name} is not what this script writes; run {sys.argv[0]}")


def page(blocks, number):
    """The content stream of one page."""
    out = [f"{GREY} rg"]
    put(out, LEFT, 804, [("F1", 8, TITLE)])
    footer = f"Page {number} of {len(PAGES)}"
    put(out, RIGHT - width([("F1", 8, footer)]), 40, [("F1", 8, footer)])
    out.append(f"0.5 w {GREY} RG {LEFT} 796 m {RIGHT} 796 l S")
    y = TOP
    for kind, *rest in blocks:
        y = DRAW[kind](out, y, *rest)
        if y < BOTTOM:
            sys.exit(f"page {number} is too full by {BOTTOM - y:.0f} points")
    return "\n".join(out)


def draw_text(size, bold, colour, before, after, leading):
    def draw(out, y, text):
        y -= before
        out.append(f"{colour} rg")
        for line in wrap(words(text, size, bold), RIGHT - LEFT):
            y -= leading
            put(out, LEFT, y, line)
        return y - after

    return draw


def draw_code(out, y, lines):
    height = 13 * len(lines) + 12
    out.append(f"{FILL} rg {LEFT} {y - height:.1f} {RIGHT - LEFT} {height} re f {INK} rg")
    y -= 4
    for line in lines:
        y -= 13
        put(out, LEFT + 10, y, [("F3", 9.5, line)])
    return y - 18


def draw_table(out, y, shares, rows):
    edges = [LEFT]
    for share in shares:
        edges.append(edges[-1] + share * (RIGHT - LEFT))
    top = y - 4
    y, rules = top, [top]
    for at, row in enumerate(rows):
        cells = [
            wrap(words(cell, 9.2, at == 0), right - left - 12) for cell, left, right in zip(row, edges, edges[1:])
        ]
        height = 12 * max(map(len, cells)) + 8
        if at == 0:
            out.append(f"{FILL} rg {LEFT} {y - height:.1f} {RIGHT - LEFT} {height} re f")
        out.append(f"{ACCENT if at == 0 else INK} rg")
        for cell, left in zip(cells, edges):
            for index, line in enumerate(cell):
                put(out, left + 6, y - 14 - 12 * index, line)
        y -= height
        rules.append(y)
    out.append(f"0.6 w {GREY} RG")
    out.extend(f"{LEFT} {rule:.1f} m {RIGHT} {rule:.1f} l S" for rule in rules)
    out.extend(f"{edge:.1f} {top:.1f} m {edge:.1f} {y:.1f} l S" for edge in edges)
    return y - 10


DRAW = {
    "h1": draw_text(19, True, ACCENT, 4, 8, 22),
    "h2": draw_text(12.5, True, ACCENT, 10, 3, 16),
    "lead": draw_text(11.5, False, GREY, 0, 8, 15),
    "p": draw_text(10.2, False, INK, 0, 7, 14.4),
    "code": draw_code,
    "table": draw_table,
}


def words(text, size, bold):
    """Words as lists of (font, size, text), since code may touch a comma."""
    out, word = [], []
    for index, run in enumerate(text.split("`")):
        font, run_size = ("F3", size * 0.94) if index % 2 else ("F2" if bold else "F1", size)
        for position, piece in enumerate(run.split(" ")):
            if position and word:
                out.append(word)
                word = []
            if piece:
                word.append((font, run_size, piece))
    return out + [word] if word else out


def wrap(all_words, room):
    """Lines as lists of (font, size, text), with the spaces in between."""
    lines, line = [], []
    for word in all_words:
        # A space has the width of the text around it, and belongs to the run before it.
        spaced = line + [("F1", word[0][1], " ")] + word if line else word
        if line and width(spaced) > room:
            lines.append(line)
            line = list(word)
        else:
            line = list(spaced)
    return lines + [line]


def width(runs):
    return sum(size * sum(ADVANCES[font][ord(c) - 32] for c in text) / 1000 for font, size, text in runs)


def put(out, x, y, runs):
    merged = []
    for font, size, text in runs:
        if merged and merged[-1][:2] == (font, size):
            merged[-1] = (font, size, merged[-1][2] + text)
        else:
            merged.append((font, size, text))
    shows = []
    for font, size, text in merged:
        escaped = text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
        shows.append(f"/{font} {size:.2f} Tf ({escaped}) Tj")
    out.append(f"BT {x:.2f} {y:.2f} Td {' '.join(shows)} ET")


def document(streams):
    """Objects, cross-reference table and trailer."""
    first_page = 4 + len(FONTS)
    kids = " ".join(f"{first_page + 2 * index} 0 R" for index in range(len(streams)))
    fonts = " ".join(f"/{name} {4 + index} 0 R" for index, name in enumerate(FONTS))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R /Lang (en) /ViewerPreferences << /DisplayDocTitle true >> >>",
        f"<< /Type /Pages /Count {len(streams)} /Kids [{kids}] >>",
        f"<< /Title ({TITLE}) /Author (the rag-api authors) /Subject (Running rag-api) >>",
    ]
    objects += [
        f"<< /Type /Font /Subtype /Type1 /BaseFont /{name} /Encoding /WinAnsiEncoding >>" for name in FONTS.values()
    ]
    for index, stream in enumerate(streams):
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {WIDTH} {HEIGHT}] "
            f"/Resources << /Font << {fonts} >> >> /Contents {first_page + 2 * index + 1} 0 R >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    out, offsets = "%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n"
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n"
    out += "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    name = hashlib.sha256(out.encode("ascii")).hexdigest()[:32]
    out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R /Info 3 0 R /ID [<{name}> <{name}>] >>\n"
    return (out + f"startxref\n{start}\n%%EOF\n").encode("ascii")


if __name__ == "__main__":
    main(sys.argv[1:])
