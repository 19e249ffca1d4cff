"""Tests of scripts/quality_gate.py: good reports pass, each kind of bad one fails for its own reason."""

import copy
import io
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
from contextlib import redirect_stderr, redirect_stdout

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import quality_gate  # noqa: E402

GOOD = {
    "dataset": "golden",
    "documents": 10,
    "queries": 35,
    "modes": {
        mode: {"ndcg@10": 0.95, "recall@10": 1.0, "recall@100": 1.0, "mrr@10": 0.94, "latency_ms": {"p50": 0.8, "p99": 2.1}}
        for mode in ("hybrid", "vector", "keyword")
    },
}


def changed(mode=None, figure=None, value=None, **top):
    report = copy.deepcopy(GOOD) | top
    if mode:
        report["modes"][mode][figure] = value
    return report


class Gate(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name)

    def run_gate(self, head, base=GOOD, *arguments):
        """Exit code, what was printed, what was complained of."""
        (self.path / "head.json").write_text(head if isinstance(head, str) else json.dumps(head))
        arguments = ["--head", str(self.path / "head.json"), *arguments]
        if base is not None:
            (self.path / "base.json").write_text(json.dumps(base))
            arguments += ["--base", str(self.path / "base.json")]
        out, complaint = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(complaint):
            try:
                code = quality_gate.main(arguments)
            except SystemExit as left:
                code = left.code
        return code, out.getvalue(), complaint.getvalue()

    def test_equal_and_better_reports_pass(self):
        self.assertEqual(self.run_gate(GOOD)[0], 0)
        self.assertEqual(self.run_gate(changed("hybrid", "ndcg@10", 0.99))[0], 0)

    def test_a_drop_within_the_tolerance_passes_and_beyond_it_fails(self):
        for mode in GOOD["modes"]:
            for figure, tolerance in quality_gate.TOLERANCES.items():
                before = GOOD["modes"][mode][figure]
                with self.subTest(mode=mode, figure=figure):
                    self.assertEqual(self.run_gate(changed(mode, figure, before - tolerance))[0], 0)
                    code, out, _ = self.run_gate(changed(mode, figure, before - tolerance - 0.001))
                    self.assertEqual(code, 1)
                    self.assertIn(f"{mode} {figure} fell from {before:.4f}", out)

    def test_one_question_lost_from_the_first_ten_fails(self):
        code, out, _ = self.run_gate(changed("hybrid", "recall@10", 34 / 35))
        self.assertEqual((code, "hybrid recall@10 fell" in out), (1, True))

    def test_thresholds_count_without_a_base(self):
        self.assertEqual(self.run_gate(GOOD, None)[0], 0)
        code, out, _ = self.run_gate(changed("hybrid", "ndcg@10", 0.84), None)
        self.assertEqual((code, "below the threshold 0.85" in out), (1, True))
        self.assertEqual(self.run_gate(GOOD, None, "--min", "vector:mrr@10=0.95")[0], 1)

    def test_thresholds_count_where_the_base_was_as_bad(self):
        bad = changed("hybrid", "ndcg@10", 0.8)
        self.assertEqual(self.run_gate(bad, bad)[0], 1)

    def test_a_wider_tolerance_can_be_given(self):
        worse = changed("vector", "ndcg@10", 0.91)
        self.assertEqual(self.run_gate(worse)[0], 1)
        self.assertEqual(self.run_gate(worse, GOOD, "--tolerance", "ndcg@10=0.05")[0], 0)

    def test_a_slower_machine_is_no_drop(self):
        slow = changed("hybrid", "latency_ms", {"p50": 800, "p99": 9000})
        self.assertEqual(self.run_gate(slow)[0], 0)

    def test_what_was_not_measured_does_not_pass(self):
        empty = copy.deepcopy(GOOD)
        del empty["modes"]["keyword"]
        for head in (
            empty,
            changed(queries=0),
            changed("hybrid", "ndcg@10", None),
            changed("hybrid", "ndcg@10", "0.99"),
            changed("hybrid", "ndcg@10", True),
            changed("hybrid", "ndcg@10", 1.5),
            changed("hybrid", "ndcg@10", float("nan")),
            "{",
            "[]",
            "",
        ):
            with self.subTest(head=str(head)[:60]):
                code, _, complaint = self.run_gate(head)
                self.assertEqual(code, 2)
                self.assertIn("head.json", complaint)

    def test_other_collections_are_not_compared(self):
        for key, value in (("dataset", "other"), ("documents", 9), ("queries", 30)):
            code, _, complaint = self.run_gate(changed(**{key: value}))
            self.assertEqual((code, "different collections" in complaint), (2, True))

    def test_wrong_arguments_are_refused(self):
        for arguments in (["--min", "hybrid=0.9"], ["--min", "fast:ndcg@10=0.9"], ["--tolerance", "ndcg@10=x"], ["--tolerance", "ndcg@10=-1"]):
            self.assertEqual(self.run_gate(GOOD, GOOD, *arguments)[0], 2)

    def test_the_summary_is_appended_and_holds_no_markup_of_the_report(self):
        summary = self.path / "summary.md"
        summary.write_text("before\n")
        name = {"dataset": "<img src=x> [a](http://b)"}
        self.assertEqual(self.run_gate(changed(**name), changed(**name), "--markdown", str(summary))[0], 0)
        text = summary.read_text()
        self.assertTrue(text.startswith("before\n## Retrieval: no figure fell"))
        self.assertNotRegex(text, r"[<>\[\]]|http:")


class Script(unittest.TestCase):
    def test_two_programs_are_asked_and_the_worse_head_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            for name, report in (("base", GOOD), ("same", GOOD), ("worse", changed("hybrid", "mrr@10", 0.5))):
                program = folder / name
                program.write_text(
                    "#!/bin/sh\n[ \"$1\" = model ] && exit 0\n[ \"$3\" = --report ] || exit 9\n"
                    f"cat >\"$4\" <<'REPORT'\n{json.dumps(report)}\nREPORT\n"
                )
                program.chmod(0o755)
            broken = folder / "broken"
            broken.write_text("#!/bin/sh\n[ \"$1\" = model ]\n")
            broken.chmod(0o755)
            for base, head, wanted in (("base", "same", 0), ("base", "worse", 1), ("base", "broken", 1), ("broken", "same", 1)):
                environment = {
                    "PATH": "/usr/local/bin:/usr/bin:/bin",
                    "BASE_BINARY": str(folder / base),
                    "HEAD_BINARY": str(folder / head),
                    "REPORTS_DIR": str(folder / "reports"),
                    "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
                }
                done = subprocess.run([ROOT / "scripts/quality_gate.sh"], env=environment, capture_output=True, text=True, timeout=60)
                self.assertEqual(done.returncode, wanted, done.stderr)
            self.assertEqual((folder / "summary.md").read_text().count("## Retrieval"), 2)

    def test_the_base_is_built_apart_and_its_folder_removed(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            clone, bin_, target = folder / "clone", folder / "bin", folder / "target"
            subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
            for name in ("quality_gate.sh", "quality_gate.py", "lib.sh"):
                shutil.copy(ROOT / "scripts" / name, clone / "scripts" / name)
            bin_.mkdir()
            # A compiler whose programs report what the file `figure` beside Cargo.toml says.
            for name, text in (
                ("cc", ""),
                ("rustc", "echo rustc 9.9.9"),
                ("cargo", '[ "$1" = build ] || exit 0\ngrep -q broken figure && exit 1\nmkdir -p "$CARGO_TARGET_DIR/release"\n'
                          'sed "s/FIGURE/$(cat figure)/" "$PROGRAM" >"$CARGO_TARGET_DIR/release/rag-api"\nchmod +x "$CARGO_TARGET_DIR/release/rag-api"'),
            ):
                (bin_ / name).write_text(f"#!/bin/sh\n{text}\n")
                (bin_ / name).chmod(0o755)
            report = json.dumps(changed("hybrid", "ndcg@10", "FIGURE")).replace('"FIGURE"', "FIGURE")
            (folder / "program").write_text(f"#!/bin/sh\n[ \"$1\" = model ] && exit 0\necho '{report}' >\"$4\"\n")
            git = ["git", "-C", clone, "-c", "user.name=t", "-c", "user.email=t@example.com"]
            for base, head, wanted in (("0.95", "0.95", 0), ("0.95", "0.90", 1), ("broken", "0.95", 1), ("0.95", "broken", 1)):
                (clone / "figure").write_text(base)
                subprocess.run([*git, "add", "figure"], check=True)
                subprocess.run([*git, "commit", "--quiet", "--allow-empty", "--message", base], check=True)
                (clone / "figure").write_text(head)
                environment = {
                    "PATH": f"{bin_}:/usr/local/bin:/usr/bin:/bin",
                    "PROGRAM": str(folder / "program"),
                    "CARGO_TARGET_DIR": str(target),
                    "REPORTS_DIR": str(folder / "reports"),
                    "BASE": "HEAD",
                }
                done = subprocess.run([clone / "scripts/quality_gate.sh"], env=environment, capture_output=True, text=True, timeout=60)
                with self.subTest(base=base, head=head):
                    self.assertEqual(done.returncode, wanted, done.stdout + done.stderr)
                    worktrees = subprocess.run([*git, "worktree", "list"], capture_output=True, text=True, check=True).stdout
                    self.assertEqual(len(worktrees.splitlines()), 1)
                    if (base, head) == ("0.95", "0.90"):
                        self.assertIn("hybrid ndcg@10 fell from 0.9500 to 0.9000", done.stdout)


if __name__ == "__main__":
    unittest.main()
