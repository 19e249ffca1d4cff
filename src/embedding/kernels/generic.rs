//! The algorithms, written once over [`Isa`]: matrix product, GELU, LayerNorm, attention.
//!
//! Nothing here checks sizes: [`super::Kernel`] does before it comes here. Offsets are added to
//! pointers and loops are plain, because iterators compile outside of the instruction set, and the overflow checks of this crate would cost more than the products in the inner loops.

#![allow(
    clippy::needless_range_loop,
    reason = "iterators are not always inlined into functions of another instruction set"
)]

use super::isa::{Isa, VECTORS};

/// A linear layer over rows of activations, with sizes in elements.
pub(super) struct LinearTask {
    /// Panels of `VECTORS * LANES` columns; in each, `inputs / DEPTH` steps of one lane word a column.
    pub weights: *const u32,
    pub bias: *const f32,
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

/// `numbers += add`, then each row of `width` normalized to mean 0 and variance 1, scaled and shifted, and
/// stored as numbers and as elements.
pub(super) struct NormTask {
    pub numbers: *mut f32,
    pub add: *const f32,
    pub gain: *const f32,
    pub shift: *const f32,
    pub elements: *mut u32,
    pub rows: usize,
    pub width: usize,
}

/// Self-attention of one sequence, some heads. Queries are scaled beforehand so that the weights of a row are
/// `2^(q·k)`, divided by their sum.
pub(super) struct AttentionTask {
    /// Rows of queries, keys and values next to each other, `3 * hidden` elements.
    pub qkv: *const u32,
    pub hidden: usize,
    pub head: usize,
    pub rows: usize,
    /// `head / DEPTH` rows of `padded` words.
    pub keys: *mut u32,
    /// `padded / DEPTH` rows of `head` words.
    pub values: *mut u32,
    /// `ROWS` rows of `padded` numbers.
    pub scores: *mut f32,
    /// `ROWS` rows of `padded` elements.
    pub shares: *mut u32,
    /// The heads computed, `first` and how many.
    pub heads: (usize, usize),
    /// Rows of `heads * head` elements, `to_stride` elements from row to row.
    pub to: *mut u32,
    pub to_stride: usize,
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
            4 => $f::<I $(, $more)*, 4>($($argument),*),
            5 if I::ROWS > 4 => $f::<I $(, $more)*, 5>($($argument),*),
            6 if I::ROWS > 4 => $f::<I $(, $more)*, 6>($($argument),*),
            7 if I::ROWS > 4 => $f::<I $(, $more)*, 7>($($argument),*),
            _ if I::ROWS > 4 => $f::<I $(, $more)*, 8>($($argument),*),
            _ => {}
        }
    };
}

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
        let steps = task.inputs / I::DEPTH;
        let mut sums = product::<I, R, VECTORS, true>(activations, steps, weights, VECTORS * I::LANES, steps);
        for v in 0..VECTORS {
            let bias = I::load(task.bias.add(column + v * I::LANES));
            for r in 0..R {
                sums[r][v] = I::add(sums[r][v], bias);
            }
        }
        for r in 0..R {
            for v in 0..VECTORS {
                let sum = sums[r][v];
                let at = (row + r) * task.stride + column + v * I::LANES;
                match task.to {
                    Target::Numbers(to) => I::store(to.add(at), sum),
                    Target::Elements(to) => I::store_elements(to.cast::<I::Element>().add(at), sum),
                    Target::Gelu(to) => {
                        I::store_elements(to.cast::<I::Element>().add(at), gelu::<I>(sum));
                    }
                }
            }
        }
    }
}

/// `R` rows of `a` times `N` vectors of columns of `b`, over `steps` words. `FETCH`: `b` is long and lies in
/// one piece, so that what follows is worth asking for early.
#[inline(always)]
unsafe fn product<I: Isa, const R: usize, const N: usize, const FETCH: bool>(
    a: *const u32,
    a_stride: usize,
    b: *const u32,
    b_stride: usize,
    steps: usize,
) -> [[I::Vector; N]; R] {
    unsafe {
        let mut sums = [[I::splat(0.0); N]; R];
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
        for row in 0..task.rows {
            let numbers = task.numbers.add(row * task.width);
            let add = task.add.add(row * task.width);
            let elements = task.elements.cast::<I::Element>().add(row * task.width);
            let mut sums = [I::splat(0.0); 4];
            for v in 0..vectors {
                let at = v * I::LANES;
                let x = I::add(I::load(numbers.add(at)), I::load(add.add(at)));
                I::store(numbers.add(at), x);
                sums[v % 4] = I::add(sums[v % 4], x);
            }
            let mean = I::splat(total::<I>(sums) / task.width as f32);
            let mut squares = [I::splat(0.0); 4];
            for v in 0..vectors {
                let x = I::subtract(I::load(numbers.add(v * I::LANES)), mean);
                squares[v % 4] = I::multiply_add(x, x, squares[v % 4]);
            }
            let variance = total::<I>(squares) / task.width as f32;
            let factor = I::splat(1.0 / (variance + EPSILON).sqrt());
            for v in 0..vectors {
                let at = v * I::LANES;
                let x = I::multiply(I::subtract(I::load(numbers.add(at)), mean), factor);
                let x = I::multiply_add(x, I::load(task.gain.add(at)), I::load(task.shift.add(at)));
                I::store(numbers.add(at), x);
                I::store_elements(elements.add(at), x);
            }
        }
    }
}

#[inline(always)]
pub(super) unsafe fn attend<I: Isa>(task: &AttentionTask) {
    unsafe {
        let padded = task.rows.next_multiple_of(I::LANES);
        let stride = 3 * task.hidden / I::DEPTH;
        let words = task.head / I::DEPTH;
        for index in 0..task.heads.1 {
            let first = (task.heads.0 + index) * task.head;
            let queries = task.qkv.add(first / I::DEPTH);
            let keys = queries.add(task.hidden / I::DEPTH);
            let values = keys.add(task.hidden / I::DEPTH);
            transpose(keys, stride, task.rows, words, task.keys, padded);
            let (values, values_stride) = if I::DEPTH == 1 {
                (values, stride)
            } else {
                pair_rows(values, stride, task.rows, words, task.values);
                (task.values.cast_const(), task.head)
            };
            let pieces = task.rows.div_ceil(I::ROWS);
            for piece in 0..pieces {
                let (start, rows) = block(task.rows, pieces, piece);
                let queries = queries.add(start * stride);
                with_rows!(rows, score_rows; task, queries, padded);
                let mut factors = [0.0f32; 8];
                for r in 0..rows {
                    factors[r] = share_row::<I>(task, r, padded);
                }
                let to = task.to.cast::<I::Element>().add(start * task.to_stride + index * task.head);
                with_rows!(rows, mix_rows; task, values, values_stride, padded, &factors, to);
            }
        }
    }
}

/// Scores of `R` queries against all keys.
#[inline(always)]
unsafe fn score_rows<I: Isa, const R: usize>(task: &AttentionTask, queries: *const u32, padded: usize) {
    unsafe {
        let stride = 3 * task.hidden / I::DEPTH;
        let words = task.head / I::DEPTH;
        let mut at = 0;
        while at + VECTORS * I::LANES <= padded {
            let sums = product::<I, R, VECTORS, false>(queries, stride, task.keys.add(at), padded, words);
            store_rows::<I, R, VECTORS>(&sums, task.scores.add(at), padded);
            at += VECTORS * I::LANES;
        }
        while at < padded {
            let sums = product::<I, R, 1, false>(queries, stride, task.keys.add(at), padded, words);
            store_rows::<I, R, 1>(&sums, task.scores.add(at), padded);
            at += I::LANES;
        }
    }
}

#[inline(always)]
unsafe fn store_rows<I: Isa, const R: usize, const N: usize>(
    sums: &[[I::Vector; N]; R],
    to: *mut f32,
    stride: usize,
) {
    unsafe {
        let mut to = to;
        for r in 0..R {
            for n in 0..N {
                I::store(to.add(n * I::LANES), sums[r][n]);
            }
            to = to.add(stride);
        }
    }
}

/// Turns a row of scores into powers of two as elements; one over their sum comes back.
#[inline(always)]
unsafe fn share_row<I: Isa>(task: &AttentionTask, row: usize, padded: usize) -> f32 {
    unsafe {
        let scores = task.scores.add(row * padded);
        let shares = task.shares.cast::<I::Element>().add(row * padded);
        for beyond in task.rows..padded {
            *scores.add(beyond) = f32::MIN;
        }
        let mut largest = I::load(scores);
        let mut at = I::LANES;
        while at < padded {
            largest = I::maximum(largest, I::load(scores.add(at)));
            at += I::LANES;
        }
        let largest = I::splat(I::largest(largest));
        let mut sum = I::splat(0.0);
        let mut at = 0;
        while at < padded {
            let share = exp2::<I>(I::subtract(I::load(scores.add(at)), largest));
            I::store_elements(shares.add(at), share);
            sum = I::add(sum, share);
            at += I::LANES;
        }
        1.0 / I::sum(sum)
    }
}

/// The values, weighted by the shares of `R` rows.
#[inline(always)]
unsafe fn mix_rows<I: Isa, const R: usize>(
    task: &AttentionTask,
    values: *const u32,
    stride: usize,
    padded: usize,
    factors: &[f32; 8],
    to: *mut I::Element,
) {
    unsafe {
        let steps = task.rows.div_ceil(I::DEPTH);
        // Two vectors at a time: more would not fit the registers of AVX2.
        let mut at = 0;
        while at < task.head {
            let sums =
                product::<I, R, 2, false>(task.shares, padded / I::DEPTH, values.add(at), stride, steps);
            let mut to = to.add(at);
            for r in 0..R {
                let factor = I::splat(factors[r]);
                for n in 0..2 {
                    I::store_elements(to.add(n * I::LANES), I::multiply(sums[r][n], factor));
                }
                to = to.add(task.to_stride);
            }
            at += 2 * I::LANES;
        }
    }
}

/// `rows` rows of `words` become `words` rows of `padded`, filled up with zeros.
#[inline(always)]
unsafe fn transpose(from: *const u32, stride: usize, rows: usize, words: usize, to: *mut u32, padded: usize) {
    unsafe {
        for row in 0..rows {
            let from = from.add(row * stride);
            let mut to = to.add(row);
            for word in 0..words {
                *to = *from.add(word);
                to = to.add(padded);
            }
        }
        for word in 0..words {
            for beyond in rows..padded {
                *to.add(word * padded + beyond) = 0;
            }
        }
    }
}

/// Two rows of `bf16` become one row of pairs; the last one is paired with zeros if it has no neighbour.
#[inline(always)]
unsafe fn pair_rows(from: *const u32, stride: usize, rows: usize, words: usize, to: *mut u32) {
    unsafe {
        for pair in 0..rows.div_ceil(2) {
            let first = from.add(2 * pair * stride);
            let second = first.add(stride);
            let alone = 2 * pair + 1 == rows;
            let to = to.add(pair * 2 * words);
            for word in 0..words {
                let a = *first.add(word);
                let b = if alone { 0 } else { *second.add(word) };
                *to.add(2 * word) = (a & 0xffff) | (b << 16);
                *to.add(2 * word + 1) = (a >> 16) | (b & 0xffff_0000);
            }
        }
    }
}

/// GELU, `x * Φ(x)`, as `max(x, 0) - |x| * Φ(-|x|)`.
///
/// The error function is that of Abramowitz and Stegun: 7.1.26 (error below 1.5e-7), and where the result is rounded to
/// `bf16`, 7.1.25 (below 2.5e-5).
#[inline(always)]
unsafe fn gelu<I: Isa>(x: I::Vector) -> I::Vector {
    // Half of their factors, as the tail is half of the complementary error function; the highest power first.
    const EXACT: (f32, [f32; 5]) =
        (0.327_591_1, [0.530_702_7, -0.726_576, 0.710_706_9, -0.142_248_37, 0.127_414_8]);
    const SHORT: (f32, [f32; 3]) = (0.470_47, [0.373_927_8, -0.047_939_9, 0.174_012_1]);
    unsafe {
        let size = I::absolute(x);
        let (slope, terms): (f32, &[f32]) =
            if I::DEPTH == 1 { (EXACT.0, &EXACT.1) } else { (SHORT.0, &SHORT.1) };
        let slope = I::splat(slope * std::f32::consts::FRAC_1_SQRT_2);
        let t = I::reciprocal(I::multiply_add(size, slope, I::splat(1.0)));
        let series = I::multiply(polynomial::<I>(terms, t), t);
        let square = I::multiply(x, I::multiply(x, I::splat(-0.5 * std::f32::consts::LOG2_E)));
        let tail = I::multiply(series, exp2::<I>(square));
        I::multiply_subtract(size, tail, I::maximum(x, I::splat(0.0)))
    }
}

/// `2^x` for `x` up to 127; what is below -126 gives at most `2^-126`.
///
/// The fractions are the polynomials whose largest relative error over `0..1` is the smallest, by Remez' algorithm:
/// 1.6e-7 with rounding, and 7.5e-5 where the result is rounded to `bf16`.
#[inline(always)]
unsafe fn exp2<I: Isa>(x: I::Vector) -> I::Vector {
    const EXACT: [f32; 6] =
        [1.877_576_7e-3, 8.989_34e-3, 5.582_631_8e-2, 0.240_153_61, 0.693_153_1, 0.999_999_94];
    const SHORT: [f32; 4] = [7.802_452e-2, 0.226_067_16, 0.695_833_56, 0.999_925_2];
    unsafe {
        let (whole, fraction) = I::split(x);
        let power = polynomial::<I>(if I::DEPTH == 1 { &EXACT } else { &SHORT }, fraction);
        I::scale(power, whole)
    }
}

/// The factor of the highest power first.
#[inline(always)]
unsafe fn polynomial<I: Isa>(factors: &[f32], x: I::Vector) -> I::Vector {
    unsafe {
        let mut sum = I::splat(factors[0]);
        for n in 1..factors.len() {
            sum = I::multiply_add(sum, x, I::splat(factors[n]));
        }
        sum
    }
}

#[inline(always)]
unsafe fn total<I: Isa>(sums: [I::Vector; 4]) -> f32 {
    unsafe { I::sum(I::add(I::add(sums[0], sums[1]), I::add(sums[2], sums[3]))) }
}

/// Start and length of one of `pieces` of `rows`, all of about the same size: small ones waste registers.
#[inline(always)]
fn block(rows: usize, pieces: usize, piece: usize) -> (usize, usize) {
    let start = rows * piece / pieces;
    (start, rows * (piece + 1) / pieces - start)
}
