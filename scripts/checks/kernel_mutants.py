#!/usr/bin/env python3
"""Makes one mistake after the other in a copy of the kernels and demands that kernels.sh finds each.

usage: kernel_mutants.py [WORDS]

Prints what was found, of the mistakes whose names have WORDS; exit code 1 when one was not. kernels.sh --mutants starts it.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
KERNELS = HERE.parents[1] / "src/embedding/kernels"

OVERFLOW, RACE, WRONG = "AddressSanitizer: heap-buffer-overflow", "ThreadSanitizer: data race", "test result: FAILED"
PADDED = "let padded = rows.next_multiple_of(lanes);"
ROWS = "let rows = self.rows * piece / row_pieces..self.rows * (piece + 1) / row_pieces;"

# What is wrong, the part that sees it and what that says, file, text, text instead. The text occurs once.
MUTANTS = [
    ("a row beyond the last is normalized", "address", OVERFLOW, "generic.rs", "for row in 0..task.rows {\n            let numbers", "for row in 0..=task.rows {\n            let numbers"),
    ("a panel beyond the last is multiplied", "address", OVERFLOW, "generic.rs", "for index in 0..task.outputs / panel", "for index in 0..=task.outputs / panel"),
    ("scratch for the rows, not for whole vectors", "address", OVERFLOW, "mod.rs", PADDED, "let padded = rows;"),
    ("scratch for the scores of fewer rows", "address", OVERFLOW, "mod.rs", "grow(&mut scratch.scores, tile * padded);", "grow(&mut scratch.scores, (tile - 6) * padded);"),
    ("weights far ahead are read, not only asked for", "address", OVERFLOW, "generic.rs", "I::prefetch(b.wrapping_add(AHEAD + n * I::LANES));", "std::ptr::read_volatile(b.wrapping_add(AHEAD + n * I::LANES));"),
    ("too few activations are taken", "address", OVERFLOW, "mod.rs", 'assert!(activations.len() * depth >= layer.inputs * rows, "too few activations");', ""),
    ("too few numbers are taken", "address", OVERFLOW, "mod.rs", 'assert!(from.is_none_or(|from| from.len() == numbers.len()), "too few or too many rows");', ""),
    ("integers are summed over a whole long row", "address", WRONG, "mod.rs", "pub const BLOCK: usize = 384;", "pub const BLOCK: usize = 1536;"),
    ("integers beyond their range wrap", "address", WRONG, "x86.rs", "_mm512_cvtsepi32_epi16(", "_mm512_cvtepi32_epi16("),
    ("shares are integers before they are divided by their sum", "address", WRONG, "attention.rs", "UNIT / factors[r]);", "UNIT);"),
    ("AVX2 swaps halves", "address", WRONG, "x86.rs", "_mm_packs_epi32(low, high)", "_mm_packs_epi32(high, low)"),
    ("two vectors are stored in quarters, one of each", "address", WRONG, "x86.rs", "_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7)", "_mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7)"),
    ("AVX2 stores two vectors in halves, one of each", "address", WRONG, "x86.rs", "0b11_01_10_00", "0b11_10_01_00"),
    ("the second of two vectors is stored first", "address", WRONG, "x86.rs", "_mm512_cvtne2ps_pbh(second, first)", "_mm512_cvtne2ps_pbh(first, second)"),
    ("a unit is handed out twice", "threads", RACE, "board.rs", "(claims as u32 as usize / row_pieces,", "(claims as u32 as usize / row_pieces & 2,"),
    ("units share a row, in which both write the same", "threads", RACE, "board.rs", ROWS, ROWS.replace("row_pieces;", "row_pieces + usize::from(piece + 1 < row_pieces);")),
    ("a finished unit is not published", "threads", RACE, "board.rs", "self.board.done[self.stage].fetch_add(1, Ordering::AcqRel)", "self.board.done[self.stage].fetch_add(1, Ordering::Relaxed)"),
    ("an opened stage is not published", "threads", RACE, "board.rs", "fetch_update(Ordering::AcqRel, Ordering::Acquire, next)", "fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)"),
    ("NEON adds where it should subtract", "neon", WRONG, "neon.rs", "vfmsq_f32(c, a, b)", "vfmaq_f32(c, a, b)"),
    ("NEON rounds where it should cut", "neon", WRONG, "neon.rs", "vrndmq_f32(x)", "vrndq_f32(x)"),
    ("NEON takes the smallest for the largest", "neon", WRONG, "neon.rs", "vmaxvq_f32(a)", "vminvq_f32(a)"),
]


def main():
    words = " ".join(sys.argv[1:])
    chosen = [mutant for mutant in MUTANTS if words in mutant[0]]
    found = 0
    with tempfile.TemporaryDirectory() as folder:
        for number, mutant in enumerate(chosen):
            started = time.monotonic()
            verdict = judged(pathlib.Path(folder) / str(number), *mutant)
            found += verdict == "found"
            print(f"{verdict}: {mutant[0]} ({mutant[1]}, {time.monotonic() - started:.0f} s)", file=sys.stderr, flush=True)
    print(f"kernels: {found} of {len(chosen)} seeded mistakes found")
    return 0 if chosen and found == len(chosen) else 1


def judged(copy, name, part, says, file, old, new):
    """One that does not compile is not found, and neither is one that another kind of failure gives away."""
    shutil.copytree(KERNELS, copy)
    text = (copy / file).read_text(encoding="utf-8")
    if (times := text.count(old)) != 1:
        return f"MISSED, as {old!r} occurs {times} times in {file}"
    (copy / file).write_text(text.replace(old, new), encoding="utf-8")
    command = [HERE / "kernels.sh"]
    done = subprocess.run(command, env=os.environ | {"KERNELS": str(copy), "PARTS": part}, capture_output=True, text=True, timeout=900)
    if done.returncode == 3:
        return f"MISSED, as it could not be looked for: {done.stderr.splitlines()[-1]}"
    return "found" if done.returncode == 1 and says in done.stderr else f"MISSED, exit code {done.returncode}: {done.stdout}{done.stderr[-2000:]}"


if __name__ == "__main__":
    sys.exit(main())
