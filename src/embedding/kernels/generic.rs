//! Matrix product and LayerNorm, written once over [`Isa`].
//!
//! Nothing here checks sizes: [`super::Kernel`] does before it comes here. Offsets are added to
//! pointers and loops are plain, because iterators compile outside of the instruction set, and the overflow checks of this crate would cost more than the products in the inner loops.

#![allow(
    clippy::needless_range_loop,
    reason = "iterators are not always inlined into functions of another instruction set"
)]

use super::{
    BLOCK, UNIT,
    functions::gelu,
    isa::{Isa, VECTORS},
};

/// A linear layer over rows of activations, with sizes in elements.
pub(super) struct LinearTask {
    /// Panels of `VECTORS * LANES` columns; in each, `inputs / DEPTH` steps of one lane word a column.
    pub weights: *const u32,
    pub bias: *const f32,
    /// What the integer 1 is worth in the sums of each output; read only if `FIXED`.
    pub worth: *const f32,
    /// Integers in 1 of each output's GELU; read only if `FIXED` and for [`Target::Gelu`].
    pub steps: *const f32,
    pub inputs: usize,
    pub outputs: usize,
    pub activations: *const u32,
    pub rows: usize,
    pub to: Target,
    /// From row to row of `to`.
    pub stride: usize,
}

/// Where the sums of a linear layer go.
#[derive(Clone, Copy)]
pub(super) enum Target {
    Numbers(*mut f32),
    Elements(*mut u32),
    /// Through GELU.
    Gelu(*mut u32),
}

/// `numbers = from + add`, then each row of `width` normalized to mean 0 and variance 1, scaled and shifted, and
/// stored as numbers and as elements. `FIXED` elements are neither scaled nor shifted, and [`UNIT`] integers for the
/// largest number that such a row can hold, the root of its width.
pub(super) struct NormTask {
    /// May be `numbers`.
    pub from: *const f32,
    pub numbers: *mut f32,
    pub add: *const f32,
    pub gain: *const f32,
    pub shift: *const f32,
    pub elements: *mut u32,
    pub rows: usize,
    pub width: usize,
}

/// LayerNorm's guard against division by zero in BERT.
const EPSILON: f32 = 1e-12;
/// How many words before its use a cache line of weights is asked for: 16 KiB, a third of a common L1. Measured
/// on a short text, 2 KiB makes it 10 % slower in bf16 and 60 % in f32; 32 KiB, 10 %.
const AHEAD: usize = 4096;

/// Calls `$f::<I, R, …>` with the number of rows as a constant, so that the sums stay in registers.
macro_rules! with_rows {
    ($rows:expr, $f:ident $(, $more:ident)*; $($argument:expr),*) => {
        match $rows {
            1 => $f::<I $(, $more)*, 1>($($argument),*),
            2 => $f::<I $(, $more)*, 2>($($argument),*),
            3 => $f::<I $(, $more)*, 3>($($argument),*),
            4 if I::ROWS > 3 => $f::<I $(, $more)*, 4>($($argument),*),
            5 if I::ROWS > 4 => $f::<I $(, $more)*, 5>($($argument),*),
            6 if I::ROWS > 4 => $f::<I $(, $more)*, 6>($($argument),*),
            7 if I::ROWS > 4 => $f::<I $(, $more)*, 7>($($argument),*),
            _ if I::ROWS > 4 => $f::<I $(, $more)*, 8>($($argument),*),
            _ => {}
        }
    };
}
pub(super) use with_rows;

#[inline(always)]
pub(super) unsafe fn linear<I: Isa>(task: &LinearTask) {
    unsafe {
        let panel = VECTORS * I::LANES;
        let steps = task.inputs / I::DEPTH;
        for index in 0..task.outputs / panel {
            let weights = task.weights.add(index * steps * panel);
            let column = index * panel;
            let pieces = task.rows.div_ceil(I::ROWS);
            for piece in 0..pieces {
                let (start, rows) = block(task.rows, pieces, piece);
                let activations = task.activations.add(start * steps);
                with_rows!(rows, linear_tile; task, weights, activations, start, column);
            }
        }
    }
}

#[inline(always)]
unsafe fn linear_tile<I: Isa, const R: usize>(
    task: &LinearTask,
    weights: *const u32,
    activations: *const u32,
    row: usize,
    column: usize,
) {
    unsafe {
        let mut sums = row_sums::<I, R>(activations, task.inputs / I::DEPTH, weights);
        for v in 0..VECTORS {
            let at = column + v * I::LANES;
            let bias = I::load(task.bias.add(at));
            for r in 0..R {
                sums[r][v] = if I::FIXED {
                    I::multiply_add(sums[r][v], I::load(task.worth.add(at)), bias)
                } else {
                    I::add(sums[r][v], bias)
                };
            }
        }
        for r in 0..R {
            let at = (row + r) * task.stride + column;
            match task.to {
                Target::Numbers(to) => {
                    for v in 0..VECTORS {
                        I::store(to.add(at + v * I::LANES), sums[r][v]);
                    }
                }
                Target::Elements(to) => store_row::<I>(to.cast::<I::Element>().add(at), sums[r]),
                Target::Gelu(to) => {
                    let mut row = sums[r];
                    for v in 0..VECTORS {
                        row[v] = gelu::<I>(row[v]);
                        if I::FIXED {
                            row[v] = I::multiply(row[v], I::load(task.steps.add(column + v * I::LANES)));
                        }
                    }
                    store_row::<I>(to.cast::<I::Element>().add(at), row);
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn store_row<I: Isa>(to: *mut I::Element, [first, second, third]: [I::Vector; VECTORS]) {
    unsafe {
        I::store_two(to, first, second);
        I::store_elements(to.add(2 * I::LANES), third);
    }
}

/// `R` rows of activations times one panel.
#[inline(always)]
unsafe fn row_sums<I: Isa, const R: usize>(
    activations: *const u32,
    steps: usize,
    weights: *const u32,
) -> [[I::Vector; VECTORS]; R] {
    unsafe {
        let panel = VECTORS * I::LANES;
        let block = if I::FIXED { BLOCK / I::DEPTH } else { steps };
        let first = product::<I, R, VECTORS, true>(activations, steps, weights, panel, steps.min(block));
        let mut totals = numbers::<I, R, VECTORS>(first);
        if steps <= block {
            return totals;
        }
        let mut at = block;
        while at < steps {
            let (a, b) = (activations.add(at), weights.add(at * panel));
            let more = product::<I, R, VECTORS, true>(a, steps, b, panel, block.min(steps - at));
            for r in 0..R {
                for v in 0..VECTORS {
                    totals[r][v] = I::add(totals[r][v], I::numbers(more[r][v]));
                }
            }
            at += block;
        }
        totals
    }
}

#[inline(always)]
pub(super) unsafe fn numbers<I: Isa, const R: usize, const N: usize>(
    sums: [[I::Sums; N]; R],
) -> [[I::Vector; N]; R] {
    unsafe {
        let mut numbers = [[I::splat(0.0); N]; R];
        for r in 0..R {
            for n in 0..N {
                numbers[r][n] = I::numbers(sums[r][n]);
            }
        }
        numbers
    }
}

/// `R` rows of `a` times `N` vectors of columns of `b`, over `steps` words. `FETCH`: `b` is long and lies in
/// one piece, so that what follows is worth asking for early.
#[inline(always)]
pub(super) unsafe fn product<I: Isa, const R: usize, const N: usize, const FETCH: bool>(
    a: *const u32,
    a_stride: usize,
    b: *const u32,
    b_stride: usize,
    steps: usize,
) -> [[I::Sums; N]; R] {
    unsafe {
        let mut sums = [[I::zero(); N]; R];
        let mut a_rows = [a; R];
        for r in 1..R {
            a_rows[r] = a_rows[r - 1].add(a_stride);
        }
        let mut b = b;
        for step in 0..steps {
            let mut columns = [I::load_words(b); N];
            for n in 1..N {
                columns[n] = I::load_words(b.add(n * I::LANES));
            }
            if FETCH {
                for n in 0..N {
                    I::prefetch(b.wrapping_add(AHEAD + n * I::LANES));
                }
            }
            for r in 0..R {
                let x = I::splat_word(a_rows[r].add(step));
                for n in 0..N {
                    sums[r][n] = I::dot(sums[r][n], x, columns[n]);
                }
            }
            b = b.add(b_stride);
        }
        sums
    }
}

#[inline(always)]
pub(super) unsafe fn normalize<I: Isa>(task: &NormTask) {
    unsafe {
        let vectors = task.width / I::LANES;
        let unit = I::splat(UNIT / (task.width as f32).sqrt());
        for row in 0..task.rows {
            let numbers = task.numbers.add(row * task.width);
            let from = task.from.add(row * task.width);
            let add = task.add.add(row * task.width);
            let elements = task.elements.cast::<I::Element>().add(row * task.width);
            let mut sums = [I::splat(0.0); 4];
            let (mut from, mut more, mut to) = (from, add, numbers);
            // By a constant count, or the four sums would not stay in registers.
            for start in 0..vectors.div_ceil(4) {
                for n in 0..4 {
                    if 4 * start + n < vectors {
                        let x = I::add(I::load(from), I::load(more));
                        I::store(to, x);
                        sums[n] = I::add(sums[n], x);
                        (from, more, to) = (from.add(I::LANES), more.add(I::LANES), to.add(I::LANES));
                    }
                }
            }
            let mean = I::splat(total::<I>(sums) / task.width as f32);
            let mut squares = [I::splat(0.0); 4];
            let mut from = numbers;
            for start in 0..vectors.div_ceil(4) {
                for n in 0..4 {
                    if 4 * start + n < vectors {
                        let x = I::subtract(I::load(from), mean);
                        squares[n] = I::multiply_add(x, x, squares[n]);
                        from = from.add(I::LANES);
                    }
                }
            }
            let variance = total::<I>(squares) / task.width as f32;
            let factor = I::splat(1.0 / (variance + EPSILON).sqrt());
            let (mut from, mut to, mut gain, mut shift) = (numbers, elements, task.gain, task.shift);
            for _ in 0..vectors {
                let plain = I::multiply(I::subtract(I::load(from), mean), factor);
                let x = I::multiply_add(plain, I::load(gain), I::load(shift));
                I::store(from, x);
                I::store_elements(to, if I::FIXED { I::multiply(plain, unit) } else { x });
                (from, to) = (from.add(I::LANES), to.add(I::LANES));
                (gain, shift) = (gain.add(I::LANES), shift.add(I::LANES));
            }
        }
    }
}

#[inline(always)]
unsafe fn total<I: Isa>(sums: [I::Vector; 4]) -> f32 {
    unsafe { I::sum(I::add(I::add(sums[0], sums[1]), I::add(sums[2], sums[3]))) }
}

/// Start and length of one of `pieces` of `rows`, all of about the same size: small ones waste registers.
#[inline(always)]
pub(super) fn block(rows: usize, pieces: usize, piece: usize) -> (usize, usize) {
    let start = rows * piece / pieces;
    (start, rows * (piece + 1) / pieces - start)
}
