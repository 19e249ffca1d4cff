//! Fixed-point numbers: how many integers stand for 1 at each place of a layer, so that no sum overflows.
//!
//! All of it follows from the weights. What LayerNorm gives, before gain and shift, is as long as the root of its width,
//! whatever the text; and a product of two rows is at most the product of their lengths (Cauchy and Schwarz). Gain and
//! shift therefore go into the next matrix, and the lengths of its rows bound everything up to the next LayerNorm.

use super::{
    bert::{HEAD, HEADS, Plan},
    kernels::{BLOCK, Norm, UNIT},
};
use crate::domain::EMBEDDING_DIMENSION as HIDDEN;

/// Sums end here; the rounding of what is summed stays within the rest.
const LIMIT: f32 = 0.99 * 2_147_483_648.0;
/// The largest length of a row of mixed values, and of a block of GELU's results, in [`UNIT`]s. The test below computes
/// both from the weights.
const MIXED_REACH: f32 = 6.0;
const INNER_REACH: f32 = 5.5;
/// The largest integer in queries and keys: its square, [`HEAD`] times, still is a sum.
const SCORED: f32 = 8_190.0;

/// Chooses all factors of the layer that comes after `first` and has `second` inside. What the integer 1 is worth in the
/// scores of each head comes back.
pub(super) fn fix(layer: &mut [Plan<'_>; 4], first: Norm<'_>, second: Norm<'_>) -> Vec<f32> {
    let [qkv, mixed, up, down] = layer;
    take_over(qkv, first);
    let largest = weigh(qkv, 1.0);
    let (steps, heads) = qkv_steps(&largest);
    for ((bias, worth), step) in qkv.bias.iter_mut().zip(&mut qkv.worth).zip(&steps) {
        *bias *= step;
        *worth *= step;
    }
    mixed.input_worth = steps[2 * HIDDEN..].iter().map(|step| 1.0 / step).collect();
    weigh(mixed, MIXED_REACH);
    take_over(up, second);
    up.steps = weigh(up, 1.0).iter().map(|largest| UNIT / largest).collect();
    down.input_worth = up.steps.iter().map(|step| 1.0 / step).collect();
    weigh(down, INNER_REACH);
    heads
}

/// Puts gain and shift of a LayerNorm into the matrix behind it.
fn take_over(plan: &mut Plan<'_>, norm: Norm<'_>) {
    for output in 0..plan.bias.len() {
        let shifted = in_lanes(plan.row(output), norm.shift, |sum, weight, shift| sum + weight * shift);
        plan.bias[output] += plan.factors[output] * shifted.iter().sum::<f32>();
    }
    let unit = UNIT / (norm.gain.len() as f32).sqrt();
    plan.input_worth = norm.gain.iter().map(|gain| gain / unit).collect();
}

/// Makes integers of the weights, for inputs whose blocks are up to `reach` [`UNIT`]s long. What comes back is the largest
/// size of each output if there is one block and `reach` is 1.
fn weigh(plan: &mut Plan<'_>, reach: f32) -> Vec<f32> {
    let mut largest = Vec::with_capacity(plan.bias.len());
    plan.worth = Vec::with_capacity(plan.bias.len());
    for output in 0..plan.bias.len() {
        let (mut length, mut size) = (0.0f32, f32::MIN_POSITIVE);
        let factor = plan.factors[output];
        for (row, worth) in plan.row(output).chunks(BLOCK).zip(plan.input_worth.chunks(BLOCK)) {
            let squares = in_lanes(row, worth, |sum, weight, worth| sum + (weight * worth).powi(2));
            length = length.max(factor * squares.iter().sum::<f32>().sqrt());
            let sizes = in_lanes(row, worth, |size, weight, worth| size.max((weight * worth).abs()));
            size = sizes.iter().fold(size, |size, other| size.max(factor * other));
        }
        largest.push(UNIT * length + plan.bias[output].abs());
        let step = (LIMIT / (UNIT * reach * length.max(size))).min(UNIT / size);
        plan.factors[output] *= step;
        plan.worth.push(1.0 / step);
    }
    largest
}

/// Integers in 1 of each query, key and value. In a head, the steps of a query's and a key's number multiply to the
/// same, as their products are summed; the step of a score comes back for each head.
fn qkv_steps(largest: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let mut steps: Vec<f32> = largest.iter().map(|largest| UNIT / largest).collect();
    let heads = (0..HEADS).map(|head| {
        let places = head * HEAD..(head + 1) * HEAD;
        let product = |at: usize| largest[at] * largest[HIDDEN + at];
        let step = SCORED * SCORED / places.clone().map(product).fold(f32::MIN_POSITIVE, f32::max);
        for at in places {
            steps[at] = (step * largest[HIDDEN + at] / largest[at]).sqrt();
            steps[HIDDEN + at] = step / steps[at];
        }
        1.0 / step
    });
    let heads = heads.collect();
    (steps, heads)
}

/// Folds two rows in eight lanes, which the compiler keeps in a vector.
fn in_lanes(a: &[f32], b: &[f32], fold: impl Fn(f32, f32, f32) -> f32) -> [f32; 8] {
    let mut lanes = [0.0; 8];
    for (a, b) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
        for lane in 0..8 {
            lanes[lane] = fold(lanes[lane], a[lane], b[lane]);
        }
    }
    lanes
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use candle_core::safetensors::SliceSafetensors;

    use super::*;
    use crate::embedding::{bert::Tensors, kernels::Format, weights};

    /// The largest factor by which some outputs of a plan, in `steps`, are longer than the input, both in integers.
    fn stretch(plan: &Plan<'_>, outputs: Range<usize>, steps: &[f32]) -> f64 {
        let worth = |output: usize| f64::from(steps[output] * plan.worth[output]);
        let rows: Vec<Vec<f64>> = outputs
            .map(|output| integers(plan, output).iter().map(|weight| weight * worth(output)).collect())
            .collect();
        // The largest singular value, by the power method.
        let mut x = vec![1.0; plan.input_worth.len()];
        let mut square = 0.0f64;
        for _ in 0..300 {
            let mut next = vec![0.0; x.len()];
            for row in &rows {
                let y: f64 = row.iter().zip(&x).map(|(a, b)| a * b).sum();
                next.iter_mut().zip(row).for_each(|(next, a)| *next += a * y);
            }
            square = length(&next);
            x = next.iter().map(|x| x / square).collect();
        }
        square.sqrt()
    }

    fn integers(plan: &Plan<'_>, output: usize) -> Vec<f64> {
        let pairs = plan.row(output).iter().zip(&plan.input_worth);
        pairs.map(|(weight, worth)| f64::from(weight * plan.factors[output] * worth)).collect()
    }

    fn length(numbers: &[f64]) -> f64 {
        numbers.iter().map(|x| x * x).sum::<f64>().sqrt()
    }

    fn bias(plan: &Plan<'_>, outputs: Range<usize>, steps: &[f32]) -> f64 {
        length(&outputs.map(|output| f64::from(plan.bias[output] * steps[output])).collect::<Vec<_>>())
    }

    /// The proof, as the weights are pinned: what is written of them at the top holds, and nothing that can come out of
    /// a LayerNorm makes a sum of products too large for 32 bits.
    #[test]
    #[allow(
        clippy::print_stderr,
        clippy::print_stdout,
        reason = "a test says what it found, or that it is left out"
    )]
    fn no_text_can_make_a_sum_overflow() {
        let dir = std::env::var_os("MODEL_DIR").map_or_else(
            || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("model"),
            std::path::PathBuf::from,
        );
        let Ok(file) = weights::map(dir.join("model.safetensors")) else {
            eprintln!("SKIPPED: there is no model; run `rag-api model fetch`");
            return;
        };
        let tensors = Tensors(SliceSafetensors::new(&file).unwrap());
        let first_norm = tensors.norm("embeddings.LayerNorm").unwrap();
        let unit = f64::from(UNIT);
        let (mut mixed_reach, mut inner_reach) = (0.0f64, 0.0f64);
        for plan in tensors.plans(Format::Int16, &first_norm).unwrap() {
            let [qkv, mixed, up, down] = &plan.matrices;
            // Values are in integers already. Mixing is an average, so that a head is at most as long as its longest row.
            let ones = vec![1.0; 3 * HIDDEN];
            let heads: Vec<f64> = (0..HEADS)
                .map(|head| {
                    let outputs = 2 * HIDDEN + head * HEAD..2 * HIDDEN + (head + 1) * HEAD;
                    stretch(qkv, outputs.clone(), &ones) + bias(qkv, outputs, &ones) / unit
                })
                .collect();
            mixed_reach = mixed_reach.max(length(&heads));
            for block in 0..up.bias.len() / BLOCK {
                let outputs = block * BLOCK..(block + 1) * BLOCK;
                // GELU makes no number larger than it is.
                let reach = stretch(up, outputs.clone(), &up.steps) + bias(up, outputs, &up.steps) / unit;
                inner_reach = inner_reach.max(reach);
            }
            for (plan, reach) in [(qkv, 1.0), (mixed, MIXED_REACH), (up, 1.0), (down, INNER_REACH)] {
                for output in 0..plan.bias.len() {
                    let weights = integers(plan, output);
                    assert!(weights.iter().all(|weight| weight.abs() <= unit * 1.000_001));
                    for block in weights.chunks(BLOCK) {
                        // Rounding adds half a step to each of both.
                        let half = (block.len() as f64).sqrt() / 2.0;
                        let sum = (length(block) + half) * (unit * f64::from(reach) + half);
                        assert!(sum < 2f64.powi(31), "output {output} may reach {sum}");
                    }
                }
            }
            // Queries and keys are as large as the bound of their product says, and so are their sums.
            for head in 0..HEADS {
                let size = |at: usize| {
                    let weights = length(&integers(qkv, at)) * f64::from(qkv.worth[at]) * unit;
                    weights + f64::from(qkv.bias[at].abs()) + 0.5
                };
                let products = (head * HEAD..(head + 1) * HEAD).map(|at| size(at) * size(HIDDEN + at));
                assert!(products.sum::<f64>() < 2f64.powi(31), "head {head}");
            }
        }
        println!(
            "a row of mixed values reaches {mixed_reach:.2} units, a block of inner ones {inner_reach:.2}"
        );
        assert!(mixed_reach < f64::from(MIXED_REACH) && inner_reach < f64::from(INNER_REACH));
    }
}
