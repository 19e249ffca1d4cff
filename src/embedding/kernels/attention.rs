//! Self-attention, written once over [`Isa`] as in [`super::generic`].

#![allow(
    clippy::needless_range_loop,
    reason = "iterators are not always inlined into functions of another instruction set"
)]

use super::{
    UNIT,
    functions::exp2,
    generic::{block, numbers, product, with_rows},
    isa::{Isa, VECTORS},
};

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
    /// What the integer 1 is worth in the scores of each head; read only if `FIXED`.
    pub worth: *const f32,
    /// Rows of `heads * head` elements, `to_stride` elements from row to row.
    pub to: *mut u32,
    pub to_stride: usize,
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
                // Step by step for all rows, so that none waits for the end of the one before.
                let (mut largest, mut factors) = ([0.0f32; 8], [0.0f32; 8]);
                for r in 0..rows {
                    largest[r] = largest_score::<I>(task, r, padded);
                }
                for r in 0..rows {
                    factors[r] = share_row::<I>(task, task.heads.0 + index, r, padded, largest[r]);
                }
                if I::FIXED {
                    for r in 0..rows {
                        divide_row::<I>(task, r, padded, UNIT / factors[r]);
                        factors[r] = UNIT;
                    }
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
            store_rows::<I, R, VECTORS>(sums, task.scores.add(at), padded);
            at += VECTORS * I::LANES;
        }
        while at < padded {
            let sums = product::<I, R, 1, false>(queries, stride, task.keys.add(at), padded, words);
            store_rows::<I, R, 1>(sums, task.scores.add(at), padded);
            at += I::LANES;
        }
    }
}

#[inline(always)]
unsafe fn store_rows<I: Isa, const R: usize, const N: usize>(
    sums: [[I::Sums; N]; R],
    to: *mut f32,
    stride: usize,
) {
    unsafe {
        let sums = numbers::<I, R, N>(sums);
        let mut to = to;
        for r in 0..R {
            for n in 0..N {
                I::store(to.add(n * I::LANES), sums[r][n]);
            }
            to = to.add(stride);
        }
    }
}

/// The largest score of a row; what lies beyond the last one is made smaller than any.
#[inline(always)]
unsafe fn largest_score<I: Isa>(task: &AttentionTask, row: usize, padded: usize) -> f32 {
    unsafe {
        let scores = task.scores.add(row * padded);
        for beyond in task.rows..padded {
            *scores.add(beyond) = f32::MIN;
        }
        let mut largest = I::load(scores);
        let mut at = I::LANES;
        while at < padded {
            largest = I::maximum(largest, I::load(scores.add(at)));
            at += I::LANES;
        }
        I::largest(largest)
    }
}

/// Turns a row of scores into powers of two; their sum comes back. They are elements, or numbers if `FIXED`.
#[inline(always)]
unsafe fn share_row<I: Isa>(
    task: &AttentionTask,
    head: usize,
    row: usize,
    padded: usize,
    largest: f32,
) -> f32 {
    unsafe {
        let scores = task.scores.add(row * padded);
        let shares = task.shares.cast::<I::Element>().add(row * padded);
        let worth = if I::FIXED { *task.worth.add(head) } else { 1.0 };
        let (below, worth) = (I::splat(-largest * worth), I::splat(worth));
        let mut sum = I::splat(0.0);
        let mut at = 0;
        while at < padded {
            let score = I::load(scores.add(at));
            let share =
                exp2::<I>(if I::FIXED { I::multiply_add(score, worth, below) } else { I::add(score, below) });
            if I::FIXED {
                I::store(scores.add(at), share);
            } else {
                I::store_elements(shares.add(at), share);
            }
            sum = I::add(sum, share);
            at += I::LANES;
        }
        I::sum(sum)
    }
}

/// Makes elements of a row of numbers, which integers have to be divided for: there is no room for a sum of many powers.
#[inline(always)]
unsafe fn divide_row<I: Isa>(task: &AttentionTask, row: usize, padded: usize, unit: f32) {
    unsafe {
        let scores = task.scores.add(row * padded);
        let shares = task.shares.cast::<I::Element>().add(row * padded);
        let unit = I::splat(unit);
        let mut at = 0;
        while at + 2 * I::LANES <= padded {
            let second = I::multiply(I::load(scores.add(at + I::LANES)), unit);
            I::store_two(shares.add(at), I::multiply(I::load(scores.add(at)), unit), second);
            at += 2 * I::LANES;
        }
        if at < padded {
            I::store_elements(shares.add(at), I::multiply(I::load(scores.add(at)), unit));
        }
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
            let sums = numbers::<I, R, 2>(sums);
            let mut to = to.add(at);
            for r in 0..R {
                let factor = I::splat(1.0 / factors[r]);
                I::store_two(to, I::multiply(sums[r][0], factor), I::multiply(sums[r][1], factor));
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

/// Two rows of 16-bit elements become one row of pairs; the last one is paired with zeros if it has no neighbour.
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
