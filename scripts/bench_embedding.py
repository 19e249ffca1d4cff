#!/usr/bin/env python3
"""Compare `rag-api embed --stats` with ONNX Runtime on the same weights and texts, in interleaved runs.

    python3 scripts/bench_embedding.py [--runs 5] [--threads 1,2] [--kernels NAME,…] [--cpu avx2] [--texts TEXTS.json]

Prints a Markdown table: for each engine the median over the runs, and its ratio to ONNX Runtime f32 as the median of
the ratios within each run, because a shared machine is faster one minute than the next. What it needs from PyPI goes
into a virtual environment below target/, as do the ONNX graphs it makes from the pinned weights.
--cpu avx2 compares as on a CPU without AVX-512: our kernel avx2-int16 with a copy of ONNX Runtime that reads from XCR0 that
the system does not save AVX-512's registers, and so takes its own AVX2 kernels.
TEXTS.json: {"short": …, "medium": …, "long": …, "chunks": […]}; without it the script makes up its own.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "target" / "bench-embedding"
PACKAGES = ["onnxruntime==1.31.1", "onnx==1.23.2", "numpy==2.4.6", "safetensors==0.8.0", "tokenizers==0.23.3"]
COLUMNS = ["short", "medium", "long", "bulk"]


def main():
    arguments = parse()
    if arguments.peer:
        return peer(arguments)
    WORK.mkdir(parents=True, exist_ok=True)
    python = environment()
    subprocess.run([python, __file__, "--peer", "graphs"], check=True)
    if arguments.cpu == "avx2":
        without_avx512(python)
        arguments.kernels = arguments.kernels or "avx2-int16"
    texts = json.loads(Path(arguments.texts).read_text()) if arguments.texts else own_texts()
    # A line is a text for `embed`; everybody gets the same ones.
    texts = {name: flat(text) if isinstance(text, str) else [flat(one) for one in text] for name, text in texts.items()}
    (WORK / "texts.json").write_text(json.dumps(texts))
    (WORK / "single.txt").write_text("".join(texts[name] + "\n" for name in COLUMNS[:3]))
    (WORK / "bulk.txt").write_text("\n".join(texts["chunks"]) + "\n")
    print("| threads | engine | " + " | ".join(COLUMNS[:3]) + " (ms) | bulk (tokens/s) | ratios |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for threads in arguments.threads.split(","):
        compare(arguments, python, threads)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="interleaved runs; medians are taken over them")
    parser.add_argument("--repeat", type=int, default=100, help="computations of each single text in one run")
    parser.add_argument("--threads", default="1,2", help="thread counts, separated by commas")
    parser.add_argument("--kernels", default="", help="kernels of rag-api, separated by commas; empty: the fastest")
    parser.add_argument("--cpu", choices=["this", "avx2"], default="this", help="the CPU to compare as")
    parser.add_argument("--texts", help="JSON file of texts")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    parser.add_argument("--count", default="1", help=argparse.SUPPRESS)
    return parser.parse_args()


def compare(arguments, python, threads):
    kernels = arguments.kernels.split(",")
    engines = {f"rag-api {kernel}".strip(): lambda kernel=kernel: ours(arguments, threads, kernel) for kernel in kernels}
    for graph in ("f32", "int8"):
        engines[f"ONNX Runtime {graph}"] = lambda graph=graph: theirs(arguments, python, threads, graph)
    results = {name: [] for name in engines}
    for run in range(arguments.runs):
        for name, measure in engines.items():
            print(f"{threads} thread(s), run {run + 1} of {arguments.runs}: {name}", file=sys.stderr)
            results[name].append(measure())
    base = results["ONNX Runtime f32"]
    for name, runs in results.items():
        cells = []
        ratios = []
        for column in COLUMNS:
            median = statistics.median(run[column] for run in runs)
            cells.append(f"{median:,.0f}" if column == "bulk" else f"{median:.2f}")
            pairs = [(run[column], other[column]) for run, other in zip(runs, base)]
            ratio = statistics.median(a / b if column == "bulk" else b / a for a, b in pairs)
            ratios.append(f"{ratio:.2f}×")
        label = runs[0].get("engine", name)
        print(f"| {threads} | {label} | " + " | ".join(cells) + " | " + " / ".join(ratios) + " |", flush=True)


def ours(arguments, threads, kernel):
    program = os.environ.get("RAG_API", str(ROOT / "target" / "release" / "rag-api"))

    def stats(file, repeat):
        command = [program, "embed", str(WORK / file), "--stats", "--repeat", str(repeat), "--threads", threads]
        command += ["--kernel", kernel] if kernel else []
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return json.loads(done.stdout)

    single = stats("single.txt", arguments.repeat)
    result = {name: text["median_ms"] for name, text in zip(COLUMNS, single["texts"])}
    bulk = stats("bulk.txt", 1)
    return result | {"bulk": bulk["bulk_tokens_per_second"], "engine": f"rag-api {single['kernel']}"}


def theirs(arguments, python, threads, graph):
    command = [python, __file__, "--peer", graph, "--count", threads, "--repeat", str(arguments.repeat), "--cpu", arguments.cpu]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def environment():
    """Path of a Python that has the packages."""
    home = WORK / "venv"
    python = home / "bin" / "python"
    stamp = home / "installed"
    if not stamp.exists():
        print(f"installing {', '.join(PACKAGES)} into {home}", file=sys.stderr)
        venv.create(home, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True, stdout=sys.stderr)
        stamp.touch()
    return str(python)


def without_avx512(python):
    """Makes the copy; `xgetbv` becomes `mov $7, %al`: x87, SSE and AVX, and not the three bits of AVX-512."""
    copy = WORK / "avx2" / "onnxruntime"
    if copy.exists():
        return
    code = "import onnxruntime; print(onnxruntime.__path__[0])"
    original = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
    partial = WORK / "avx2" / "partial"
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(original, partial)
    (library,) = (partial / "capi").glob("onnxruntime_pybind11_state*.so")
    # With the instruction before it, which chooses XCR0, as three bytes alone also occur by chance.
    question, answer = b"\x31\xc9\x0f\x01\xd0", b"\x31\xc9\xb0\x07\x90"
    machine_code = library.read_bytes()
    if question not in machine_code:
        sys.exit("this ONNX Runtime asks for XCR0 in another way: --cpu avx2 cannot be had")
    library.write_bytes(machine_code.replace(question, answer))
    partial.replace(copy)


def flat(text):
    return " ".join(text.split())


def own_texts():
    sentence = "The operator drains a revision before the next one takes its traffic, and watches the errors."
    return {
        "short": "how do I reset my password",
        "medium": f"{sentence} Who is told when the traffic of the region does not come back?",
        "long": " ".join([sentence] * 20),
        "chunks": [" ".join([sentence] * (4 + n % 12)) for n in range(256)],
    }


def model_dir():
    return Path(os.environ.get("MODEL_DIR", ROOT / "model"))


# What follows runs in the virtual environment.


def peer(arguments):
    if arguments.peer == "graphs":
        return make_graphs()
    import numpy
    if arguments.cpu == "avx2":
        sys.path.insert(0, str(WORK / "avx2"))
    import onnxruntime
    from tokenizers import Tokenizer

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(arguments.count)
    options.inter_op_num_threads = 1
    graph = str(WORK / f"minilm-{arguments.peer}.onnx")
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(model_dir() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)

    def embed(text):
        ids = tokenizer.encode(text).ids
        mask = numpy.ones((1, len(ids)), numpy.float32)
        hidden = session.run(None, {"tokens": numpy.array([ids], numpy.int64), "mask": mask})[0][0]
        mean = hidden.mean(axis=0)
        return mean / numpy.linalg.norm(mean)

    texts = json.loads((WORK / "texts.json").read_text())
    result = {}
    for name in COLUMNS[:3]:
        for _ in range(3):
            embed(texts[name])
        times = []
        for _ in range(arguments.repeat):
            start = time.perf_counter()
            embed(texts[name])
            times.append((time.perf_counter() - start) * 1e3)
        result[name] = statistics.median(times)
    # One text at a time without padding is where ONNX Runtime is at its best on a CPU.
    tokens = sum(len(tokenizer.encode(text).ids) for text in texts["chunks"])
    start = time.perf_counter()
    for text in texts["chunks"]:
        embed(text)
    result["bulk"] = tokens / (time.perf_counter() - start)
    print(json.dumps(result))


def make_graphs():
    """The model as ONNX graphs: f32, and int8 per channel by dynamic quantization.

    With an attention mask, as the published exports of the model have it and as everybody runs them.
    """
    exact, quantized = WORK / "minilm-f32.onnx", WORK / "minilm-int8.onnx"
    if exact.exists() and quantized.exists():
        return
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    partial = WORK / "partial.onnx"
    onnx.save(graph(), partial)
    partial.replace(exact)
    settings = {"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT}
    quantize_dynamic(exact, partial, per_channel=True, weight_type=QuantType.QInt8, extra_options=settings)
    partial.replace(quantized)


def graph():
    import numpy
    from onnx import TensorProto, checker, helper, numpy_helper
    from safetensors.numpy import load_file

    weights = load_file(str(model_dir() / "model.safetensors"))
    nodes, constants = [], []

    def constant(value, kind=numpy.float32):
        name = f"c{len(constants)}"
        constants.append(numpy_helper.from_array(numpy.ascontiguousarray(value, kind), name))
        return name

    def apply(operator, *inputs, **settings):
        name = f"n{len(nodes)}"
        nodes.append(helper.make_node(operator, list(inputs), [name], **settings))
        return name

    def linear(x, name):
        product = apply("MatMul", x, constant(weights[f"{name}.weight"].T))
        return apply("Add", product, constant(weights[f"{name}.bias"]))

    def normal(x, name):
        gain, shift = constant(weights[f"{name}.weight"]), constant(weights[f"{name}.bias"])
        return apply("LayerNormalization", x, gain, shift, axis=-1, epsilon=1e-12)

    def heads(x, order):
        split = constant([0, 0, 12, 32], numpy.int64)
        return apply("Transpose", apply("Reshape", x, split), perm=order)

    words = apply("Gather", constant(weights["embeddings.word_embeddings.weight"]), "tokens")
    # Position and segment are one constant, of which as many rows are used as there are tokens.
    places = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    length = apply("Shape", "tokens", start=1, end=2)
    zero = constant([0], numpy.int64)
    places = apply("Slice", constant(places), zero, length, zero)
    x = normal(apply("Add", words, places), "embeddings.LayerNorm")
    absent = apply("Sub", constant(1), apply("Unsqueeze", "mask", constant([1, 2], numpy.int64)))
    absent = apply("Mul", absent, constant(-1e9))
    for layer in range(6):
        name = f"encoder.layer.{layer}"
        query = heads(linear(x, f"{name}.attention.self.query"), [0, 2, 1, 3])
        key = heads(linear(x, f"{name}.attention.self.key"), [0, 2, 3, 1])
        value = heads(linear(x, f"{name}.attention.self.value"), [0, 2, 1, 3])
        scores = apply("Add", apply("Mul", apply("MatMul", query, key), constant(32**-0.5)), absent)
        mixed = apply("MatMul", apply("Softmax", scores, axis=-1), value)
        mixed = apply("Transpose", mixed, perm=[0, 2, 1, 3])
        mixed = apply("Reshape", mixed, constant([0, 0, 384], numpy.int64))
        mixed = linear(mixed, f"{name}.attention.output.dense")
        x = normal(apply("Add", mixed, x), f"{name}.attention.output.LayerNorm")
        inner = apply("Gelu", linear(x, f"{name}.intermediate.dense"))
        outer = linear(inner, f"{name}.output.dense")
        x = normal(apply("Add", outer, x), f"{name}.output.LayerNorm")
    inputs = [
        helper.make_tensor_value_info("tokens", TensorProto.INT64, ["texts", "length"]),
        helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["texts", "length"]),
    ]
    outputs = [helper.make_tensor_value_info(x, TensorProto.FLOAT, ["texts", "length", 384])]
    opset = helper.make_opsetid("", 20)
    model = helper.make_model(helper.make_graph(nodes, "minilm", inputs, outputs, constants), opset_imports=[opset])
    model.ir_version = 9
    checker.check_model(model)
    return model


if __name__ == "__main__":
    main()
