//! Fixed-point numbers: how many integers stand for 1 at each place of a layer, so that no sum overflows.
//!
//! All of it follows from the weights. What LayerNorm gives, before gain and shift, is as long as the root of its width,
//! whatever the text; and a product of two rows is at most the product of their lengths (Cauchy and Schwarz). Gain and
//! shift therefore go into the next matrix, and the lengths of its rows bound everything up to the next LayerNorm. Where
//! such a bound is far too large, a constant stands for the closer one that the test below proves of the pinned weights.

use super::{
    bert::{HEAD, HEADS, Plan},
    kernels::{BLOCK, Norm, UNIT},
};
use crate::domain::EMBEDDING_DIMENSION as HIDDEN;

/// Sums end here; the rounding of what is summed stays within the rest.
const LIMIT: f32 = 0.99 * 2_147_483_648.0;
/// A row of mixed values, and a block of GELU's results, times a row of weights is at most so often the length of that
/// row, in [`UNIT`]s.
const MIXED_REACH: f32 = 3.7;
const INNER_REACH: f32 = 3.05;
/// The largest integer in queries and keys, with which the score of any two still is a sum.
const SCORED: f32 = 27_500.0;

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

/// Makes integers of the weights, for inputs whose product with a block of them is at most `reach` [`UNIT`]s times its
/// length. What comes back is the largest size of each output if there is one block and `reach` is 1.
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
    use crate::embedding::{MAX_TOKENS, bert::Tensors, kernels::Format, weights};

    /// Sums of products must stay below.
    const SUM: f64 = 2_147_483_648.0;
    /// The smallest value of GELU is -0.16997.
    const DIP: f64 = 0.17;

    /// The weights of an output, in integers.
    fn integers(plan: &Plan<'_>, output: usize) -> Vec<f64> {
        let pairs = plan.row(output).iter().zip(&plan.input_worth);
        pairs
            .map(|(weight, worth)| f64::from((weight * plan.factors[output] * worth).round_ties_even()))
            .collect()
    }

    /// What an integer of the input adds to each of these outputs, in integers of `steps`.
    fn matrix(plan: &Plan<'_>, outputs: Range<usize>, steps: &[f32]) -> Vec<Vec<f64>> {
        let row = |output: usize| {
            let worth = f64::from(plan.worth[output]) * f64::from(steps[output]);
            integers(plan, output).iter().map(|weight| weight * worth).collect()
        };
        outputs.map(row).collect()
    }

    fn biases(plan: &Plan<'_>, outputs: Range<usize>, steps: &[f32]) -> Vec<f64> {
        outputs.map(|output| f64::from(plan.bias[output]) * f64::from(steps[output])).collect()
    }

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    fn length(numbers: &[f64]) -> f64 {
        dot(numbers, numbers).sqrt()
    }

    fn times(matrix: &[Vec<f64>], x: &[f64]) -> Vec<f64> {
        matrix.iter().map(|row| dot(row, x)).collect()
    }

    /// `matrix` transposed, times `y`.
    fn back(matrix: &[Vec<f64>], y: &[f64]) -> Vec<f64> {
        let mut x = vec![0.0; matrix[0].len()];
        for (row, y) in matrix.iter().zip(y) {
            x.iter_mut().zip(row).for_each(|(x, a)| *x += a * y);
        }
        x
    }

    /// The largest factor by which `back(left, times(right, x))` is longer than `x`, by the power method.
    fn stretch(left: &[Vec<f64>], right: &[Vec<f64>]) -> f64 {
        let mut x = vec![1.0; left[0].len()];
        let mut square = 0.0f64;
        for _ in 0..300 {
            let y = back(left, &times(right, &x));
            let next = back(right, &times(left, &y));
            square = length(&next);
            x = next.iter().map(|x| x / square).collect();
        }
        square.sqrt()
    }

    /// The length of what LayerNorm gives, in integers: rounding adds half a step to each.
    fn normalized() -> f64 {
        f64::from(UNIT) + (HIDDEN as f64).sqrt() / 2.0
    }

    /// How large the product of any row of mixed values with the weights of an output can be, without rounding.
    fn mixed_sum(weights: &[f64], values: &[Vec<f64>], biases: &[f64]) -> f64 {
        // Mixing is an average, of other rows in each head; the shares are rounded, so that their sum is off.
        let shares = 1.0 + MAX_TOKENS as f64 / 2.0 / f64::from(UNIT);
        let head = |head: usize| {
            let places = head * HEAD..(head + 1) * HEAD;
            let weights = &weights[places.clone()];
            normalized() * length(&back(&values[places.clone()], weights))
                + dot(&biases[places], weights).abs()
        };
        shares * (0..HEADS).map(head).sum::<f64>()
    }

    /// How large the product of GELU's results with a block of an output's weights can be, without rounding. `inner` makes
    /// the block, before GELU, of what LayerNorm gives, and makes it longer by up to `stretch`.
    fn inner_sum(weights: &[f64], inner: &[Vec<f64>], stretch: f64, biases: &[f64], steps: &[f32]) -> f64 {
        // GELU is at most max(x, 0), which is half of x and half of its size, and at least -DIP. Of the one sign, weights
        // therefore add at most half of their product with x and half of that with its size, of the other DIP.
        let of_sign = |sign: f64| {
            let chosen: Vec<f64> = weights.iter().map(|weight| (sign * weight).max(0.0)).collect();
            let straight = (length(&back(inner, &chosen)) + stretch * length(&chosen)) / 2.0;
            let biased: f64 = chosen.iter().zip(biases).map(|(weight, bias)| weight * bias.max(0.0)).sum();
            let others =
                weights.iter().zip(steps).map(|(weight, step)| (-sign * weight).max(0.0) * f64::from(*step));
            normalized() * straight + biased + DIP * others.sum::<f64>()
        };
        of_sign(1.0).max(of_sign(-1.0))
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
        let (mut mixed_reach, mut inner_reach, mut score) = (0.0f64, 0.0f64, 0.0f64);
        for plan in tensors.plans(Format::Int16, &first_norm).unwrap() {
            let [qkv, mixed, up, down] = &plan.matrices;
            for plan in &plan.matrices {
                for output in 0..plan.bias.len() {
                    assert!(integers(plan, output).iter().all(|weight| weight.abs() <= unit));
                }
            }
            for plan in [qkv, up] {
                for output in 0..plan.bias.len() {
                    let sum = normalized() * length(&integers(plan, output));
                    assert!(sum < SUM, "output {output} may reach {sum}");
                }
            }
            // Queries, keys and values are in integers already.
            let ones = vec![1.0; 3 * HIDDEN];
            for head in 0..HEADS {
                let [queries, keys] = [0, HIDDEN].map(|start| start + head * HEAD..start + (head + 1) * HEAD);
                let (q, k) = (matrix(qkv, queries.clone(), &ones), matrix(qkv, keys.clone(), &ones));
                let (bq, bk) = (biases(qkv, queries, &ones), biases(qkv, keys, &ones));
                for (row, bias) in q.iter().chain(&k).zip(bq.iter().chain(&bk)) {
                    assert!(normalized() * length(row) + bias.abs() < unit, "head {head}");
                }
                let biased = length(&back(&q, &bk)) + length(&back(&k, &bq));
                let sum = normalized() * (normalized() * stretch(&q, &k) + biased) + dot(&bq, &bk).abs();
                score = score.max(sum + HEAD as f64 * unit);
            }
            let values = matrix(qkv, 2 * HIDDEN..3 * HIDDEN, &ones);
            let shifts = biases(qkv, 2 * HIDDEN..3 * HIDDEN, &ones);
            for output in 0..HIDDEN {
                let weights = integers(mixed, output);
                let reach = mixed_sum(&weights, &values, &shifts) / (unit * length(&weights));
                mixed_reach = mixed_reach.max(reach);
                // Values are rounded, and so are their mixtures.
                assert!(reach * unit * length(&weights) + weights.iter().map(|x| x.abs()).sum::<f64>() < SUM);
            }
            for start in (0..up.bias.len()).step_by(BLOCK) {
                let block = start..start + BLOCK;
                let inner = matrix(up, block.clone(), &up.steps);
                let (stretch, shifts) =
                    (stretch(&inner, &inner).sqrt(), biases(up, block.clone(), &up.steps));
                for output in 0..HIDDEN {
                    let weights = &integers(down, output)[block.clone()];
                    let sum = inner_sum(weights, &inner, stretch, &shifts, &up.steps[block.clone()]);
                    inner_reach = inner_reach.max(sum / (unit * length(weights)));
                    assert!(sum + weights.iter().map(|x| x.abs()).sum::<f64>() / 2.0 < SUM);
                }
            }
        }
        println!(
            "mixed values reach {mixed_reach:.2}, inner ones {inner_reach:.2}; scores {:.3} of what is possible",
            score / SUM
        );
        assert!(mixed_reach < f64::from(MIXED_REACH) && inner_reach < f64::from(INNER_REACH) && score < SUM);
    }
}
