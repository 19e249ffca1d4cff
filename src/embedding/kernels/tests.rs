//! Every kernel of this CPU against plain loops in `f64`, on random numbers and edge shapes.

use super::*;

/// A small generator, so that failures repeat.
struct Numbers(fastrand::Rng);

impl Numbers {
    fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    fn take(&mut self, length: usize, size: f32) -> Vec<f32> {
        (0..length).map(|_| (self.0.f32() * 2.0 - 1.0) * size).collect()
    }
}

/// Integers in 1, where elements are integers.
const STEPS: f32 = 1000.0;
const WEIGHT_STEPS: f32 = 5000.0;

/// As the kernel stores them, and what they are after the rounding.
fn elements(kernel: Kernel, numbers: &[f32], steps: f32) -> (Vec<u32>, Vec<f32>) {
    let words: Vec<u32> = match kernel.format() {
        Format::F32 => numbers.iter().map(|x| x.to_bits()).collect(),
        Format::Bf16 => numbers.as_chunks::<2>().0.iter().map(|[a, b]| bf16(*a) | bf16(*b) << 16).collect(),
        Format::Int16 => numbers
            .as_chunks::<2>()
            .0
            .iter()
            .map(|[a, b]| int16(a * steps) | int16(b * steps) << 16)
            .collect(),
    };
    let rounded = self::numbers(kernel, &words, steps);
    (words, rounded)
}

fn numbers(kernel: Kernel, elements: &[u32], steps: f32) -> Vec<f32> {
    match kernel.format() {
        Format::F32 => elements.iter().map(|w| f32::from_bits(*w)).collect(),
        Format::Bf16 => {
            elements.iter().flat_map(|w| [f32::from_bits(w << 16), f32::from_bits(w & 0xffff_0000)]).collect()
        }
        Format::Int16 => elements
            .iter()
            .flat_map(|w| [*w as i16, (w >> 16) as i16])
            .map(|n| f32::from(n) / steps)
            .collect(),
    }
}

/// `value` for kernels that compute with integers.
fn if_fixed(kernel: Kernel, length: usize, value: f32) -> Vec<f32> {
    vec![value; if kernel.format() == Format::Int16 { length } else { 0 }]
}

fn assert_close(kernel: Kernel, found: &[f32], wanted: &[f64], exact: f64, what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    let size = wanted.iter().fold(1e-6f64, |size, x| size.max(x.abs()));
    let tolerance = match kernel.format() {
        Format::F32 => exact * size,
        Format::Bf16 => 8e-3 * size,
        // Half a step, what the short series of GELU and of powers leave, and the roundings of many shares.
        Format::Int16 => 0.51 / f64::from(STEPS) + (2e-4 + 10.0 * exact) * size,
    };
    for (at, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        let off = (f64::from(*found) - wanted).abs();
        assert!(off <= tolerance, "{}: {what}, at {at}: {found} for {wanted}", kernel.name());
    }
}

/// One to a bit more than two register tiles, and the longest text there is.
const ROWS: [usize; 12] = [1, 2, 3, 4, 5, 7, 8, 9, 17, 31, 255, 256];

#[test]
fn linear_layers_equal_plain_loops() {
    let mut random = Numbers::new(1);
    for kernel in Kernel::all() {
        for (inputs, panels) in [(2, 1), (32, 2), (386, 3), (1_540, 1)] {
            let outputs = panels * kernel.panel();
            let weights = random.take(inputs * outputs, 0.3);
            let mut bias = random.take(outputs, 1.0);
            let mut packed = vec![0; kernel.words(inputs * outputs)];
            let row = |output: usize| &weights[output * inputs..][..inputs];
            let fixed = kernel.format() == Format::Int16;
            let mut factors = vec![if fixed { WEIGHT_STEPS * STEPS } else { 1.0 }; outputs];
            factors[0] *= 2.0;
            let input_worth = if_fixed(kernel, inputs, 1.0 / STEPS);
            kernel.pack(&Rows { inputs, row, factors: &factors, worth: &input_worth }, &mut packed);
            let (_, rounded) = elements(kernel, &weights, WEIGHT_STEPS);
            let (_, doubled) = elements(kernel, &weights, 2.0 * WEIGHT_STEPS);
            let mut worth = if_fixed(kernel, outputs, 1.0 / (WEIGHT_STEPS * STEPS));
            let steps = if_fixed(kernel, outputs, STEPS);
            for rows in ROWS {
                let (input, x) = elements(kernel, &random.take(rows * inputs, 1.0), STEPS);
                let wanted: Vec<f64> = (0..rows * outputs)
                    .map(|at| {
                        let (row, output) = (at / outputs, at % outputs);
                        let (rounded, factor) = if output == 0 { (&doubled, 2.0) } else { (&rounded, 1.0) };
                        let pairs =
                            x[row * inputs..][..inputs].iter().zip(&rounded[output * inputs..][..inputs]);
                        let sum: f64 = pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                        sum * factor + f64::from(bias[output])
                    })
                    .collect();
                let layer = Linear { weights: &packed, bias: &bias, worth: &worth, steps: &steps, inputs };
                let mut sums = vec![f32::NAN; rows * outputs];
                kernel.linear(layer, &input, rows, Output::Numbers(&mut sums));
                assert_close(kernel, &sums, &wanted, 1e-5, "sums");
                let mut out = vec![u32::MAX; kernel.words(rows * outputs)];
                kernel.linear(layer, &input, rows, Output::Gelu(&mut out));
                let wanted_gelu: Vec<f64> = wanted.iter().map(|&x| gelu(x)).collect();
                assert_close(kernel, &numbers(kernel, &out, STEPS), &wanted_gelu, 1e-5, "GELU");
                // Integers come out in the steps that bias and worth are given in.
                let scaled = |numbers: &mut [f32], by: f32| numbers.iter_mut().for_each(|x| *x *= by);
                if fixed {
                    scaled(&mut bias, STEPS);
                    scaled(&mut worth, STEPS);
                }
                let layer = Linear { weights: &packed, bias: &bias, worth: &worth, steps: &[], inputs };
                kernel.linear(layer, &input, rows, Output::Elements(&mut out));
                assert_close(kernel, &numbers(kernel, &out, STEPS), &wanted, 1e-5, "elements");
                if fixed {
                    scaled(&mut bias, 1.0 / STEPS);
                    scaled(&mut worth, 1.0 / STEPS);
                }
            }
        }
    }
}

/// The largest integers that a layer may meet: blocks of products whose sum just fits.
#[test]
fn integer_sums_hold_up_to_their_limit() {
    for kernel in Kernel::all().into_iter().filter(|kernel| kernel.format() == Format::Int16) {
        for inputs in [BLOCK, 4 * BLOCK] {
            let outputs = kernel.panel();
            // 384 times 32767 times 170 is 0.996 of 2^31.
            let rows: Vec<Vec<f32>> =
                (0..outputs).map(|n| vec![if n % 2 == 0 { 170.0 } else { -170.0 }; inputs]).collect();
            let (factors, ones) = (vec![1.0; outputs], vec![1.0; inputs]);
            let mut packed = vec![0; kernel.words(inputs * outputs)];
            kernel
                .pack(&Rows { inputs, row: |n| &rows[n][..], factors: &factors, worth: &ones }, &mut packed);
            let (input, _) = elements(kernel, &vec![UNIT; inputs], 1.0);
            let bias = vec![0.0; outputs];
            let layer = Linear { weights: &packed, bias: &bias, worth: &factors, steps: &[], inputs };
            let mut sums = vec![0.0; outputs];
            kernel.linear(layer, &input, 1, Output::Numbers(&mut sums));
            let wanted = 170.0 * f64::from(UNIT) * inputs as f64;
            let off =
                |n: usize| (f64::from(sums[n]) - if n.is_multiple_of(2) { wanted } else { -wanted }).abs();
            assert!((0..outputs).all(|n| off(n) <= 1e-6 * wanted), "{}: {sums:?}", kernel.name());

            let worth = vec![0.25; outputs];
            let mut out = vec![0; kernel.words(outputs)];
            kernel.linear(Linear { worth: &worth, ..layer }, &input, 1, Output::Elements(&mut out));
            let ends = numbers(kernel, &out, 1.0);
            assert!(ends.chunks(2).all(|pair| pair == [32_767.0, -32_768.0]), "beyond their range: {ends:?}");
        }
        // Equal tokens share everything: each of 256 values counts a 256th.
        let (rows, head) = (256, 32);
        let mut x = vec![0.0; rows * 96];
        for row in x.chunks_mut(96) {
            row[..64].fill(8_190.0);
            row[64..].fill(UNIT);
        }
        let (qkv, _) = elements(kernel, &x, 1.0);
        let mut out = vec![0; kernel.words(rows * head)];
        kernel.attend(&qkv, rows, (head, head, &[1e-6]), &mut AttentionScratch::default(), &mut out);
        let off = |x: &f32| (x - UNIT).abs();
        assert!(numbers(kernel, &out, 1.0).iter().all(|x| off(x) <= 1.0), "{}", kernel.name());
    }
}

/// With the error function as a sum of rectangles.
fn gelu(x: f64) -> f64 {
    let steps = 400;
    let width = x / f64::from(steps);
    let area: f64 = (0..steps).map(|n| (-0.5 * ((f64::from(n) + 0.5) * width).powi(2)).exp()).sum();
    x * (0.5 + area * width / (2.0 * std::f64::consts::PI).sqrt())
}

#[test]
fn gelu_holds_far_from_zero() {
    for kernel in Kernel::all() {
        let outputs = kernel.panel();
        let packed = vec![0; kernel.words(2 * outputs)];
        let fixed = kernel.format() == Format::Int16;
        for x in [-1e30, -100.0, -20.0, -5.0, -1e-3, 0.0, 1e-3, 5.0, 20.0, 100.0, 1e30f32] {
            let bias = vec![x; outputs];
            let mut out = vec![0; kernel.words(outputs)];
            // As many integers as the largest number needs.
            let step = UNIT / x.abs().max(1.0);
            let (worth, steps) = (if_fixed(kernel, outputs, 1.0), if_fixed(kernel, outputs, step));
            let layer = Linear { weights: &packed, bias: &bias, worth: &worth, steps: &steps, inputs: 2 };
            kernel.linear(layer, &[0; 2], 1, Output::Gelu(&mut out));
            let found = numbers(kernel, &out, step)[outputs - 1];
            let wanted = if x.abs() > 10.0 { x.max(0.0) } else { gelu(f64::from(x)) as f32 };
            let off = (found - wanted).abs();
            assert!(
                off <= 8e-3 * wanted.abs() + if fixed { 3e-5 * x.abs().max(1.0) } else { 1e-5 },
                "{}: GELU({x}) = {found}",
                kernel.name()
            );
        }
    }
}

#[test]
fn normalizing_equals_plain_loops() {
    let mut random = Numbers::new(2);
    for kernel in Kernel::all() {
        for width in [16, 48, 384] {
            for rows in ROWS {
                let (x, add) = (random.take(rows * width, 3.0), random.take(rows * width, 3.0));
                let (gain, shift) = (random.take(width, 1.0), random.take(width, 1.0));
                let mut wanted = Vec::new();
                for (x, add) in x.chunks(width).zip(add.chunks(width)) {
                    let row: Vec<f64> =
                        x.iter().zip(add).map(|(a, b)| f64::from(*a) + f64::from(*b)).collect();
                    let mean = row.iter().sum::<f64>() / width as f64;
                    let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
                    wanted.extend(row.iter().zip(gain.iter().zip(&shift)).map(|(x, (gain, shift))| {
                        (x - mean) / variance.sqrt() * f64::from(*gain) + f64::from(*shift)
                    }));
                }
                let mut found = x.clone();
                let mut out = vec![u32::MAX; kernel.words(rows * width)];
                let norm = Norm { gain: &gain, shift: &shift };
                kernel.normalize(norm, (None, &add), &mut found, &mut out);
                assert_close(kernel, &found, &wanted, 1e-5, "numbers");
                let (mut elsewhere, mut other) = (vec![f32::NAN; x.len()], vec![u32::MAX; out.len()]);
                kernel.normalize(norm, (Some(&x), &add), &mut elsewhere, &mut other);
                assert_eq!((elsewhere, other), (found, out.clone()), "{}: from elsewhere", kernel.name());
                let steps = UNIT / (width as f32).sqrt();
                let mut stored = numbers(kernel, &out, steps);
                if kernel.format() == Format::Int16 {
                    // Gain and shift are left to the next matrix.
                    let places = gain.iter().zip(&shift).cycle();
                    stored.iter_mut().zip(places).for_each(|(x, (gain, shift))| *x = *x * gain + shift);
                }
                assert_close(kernel, &stored, &wanted, 1e-5, "elements");
            }
        }
    }
}

#[test]
fn attention_equals_plain_loops() {
    let mut random = Numbers::new(3);
    let (hidden, head) = (96, 32);
    for kernel in Kernel::all() {
        // One scratch for all lengths, long before short: what is left over must not show.
        let mut scratch = AttentionScratch::default();
        for rows in ROWS.into_iter().rev().chain(ROWS) {
            let (qkv, x) = elements(kernel, &random.take(rows * 3 * hidden, 1.5), STEPS);
            let worth = if_fixed(kernel, hidden / head, STEPS.powi(-2));
            let at = |row: usize, part: usize, column: usize| {
                f64::from(x[row * 3 * hidden + part * hidden + column])
            };
            let mut wanted = vec![0.0; rows * hidden];
            for row in 0..rows {
                for first in (0..hidden).step_by(head) {
                    let shares: Vec<f64> = (0..rows)
                        .map(|other| {
                            (first..first + head).map(|c| at(row, 0, c) * at(other, 1, c)).sum::<f64>().exp2()
                        })
                        .collect();
                    let total: f64 = shares.iter().sum();
                    for column in first..first + head {
                        wanted[row * hidden + column] =
                            (0..rows).map(|other| shares[other] / total * at(other, 2, column)).sum();
                    }
                }
            }
            let mut out = vec![u32::MAX; kernel.words(rows * hidden)];
            kernel.attend(&qkv, rows, (hidden, head, &worth), &mut scratch, &mut out);
            assert_close(
                kernel,
                &numbers(kernel, &out, STEPS),
                &wanted,
                1e-4,
                &format!("attention over {rows}"),
            );
        }
    }
}

#[test]
fn scores_far_apart_do_not_overflow() {
    for kernel in Kernel::all() {
        let (hidden, head, rows) = (32, 32, 3);
        let mut x = vec![0.0; rows * 3 * hidden];
        for row in 0..rows {
            // Scores of -3000, 0 and 3000; the values name the row.
            x[row * 96] = 1.0;
            x[row * 96 + 32] = (row as f32 - 1.0) * 3000.0;
            x[row * 96 + 64..][..32].fill(row as f32);
        }
        let (qkv, _) = elements(kernel, &x, 10.0);
        let worth = if_fixed(kernel, 1, 0.01);
        let mut out = vec![0; kernel.words(rows * hidden)];
        kernel.attend(&qkv, rows, (hidden, head, &worth), &mut AttentionScratch::default(), &mut out);
        assert!(numbers(kernel, &out, 10.0).iter().all(|&x| x == 2.0), "{}", kernel.name());
    }
}

#[test]
fn wrong_sizes_are_refused_before_any_pointer_is_used() {
    fn refused(call: impl FnOnce() + std::panic::UnwindSafe) -> bool {
        std::panic::catch_unwind(call).is_err()
    }
    for kernel in Kernel::all() {
        let outputs = kernel.panel();
        let (weights, bias) = (vec![0; kernel.words(8 * outputs)], vec![0.0; outputs]);
        let worth = if_fixed(kernel, outputs, 1.0);
        let layer = Linear { weights: &weights, bias: &bias, worth: &worth, steps: &[], inputs: 8 };
        let short = vec![0u32; kernel.words(8) * 2 - 1];
        assert!(refused(|| kernel.linear(layer, &short, 2, Output::Numbers(&mut vec![0.0; 2 * outputs]))));
        let input = vec![0u32; kernel.words(16)];
        assert!(refused(|| kernel.linear(
            layer,
            &input,
            2,
            Output::Numbers(&mut vec![0.0; 2 * outputs - 1])
        )));
        assert!(refused(|| kernel.linear(layer, &input, usize::MAX, Output::Numbers(&mut [0.0; 9]))));
        let fewer = Linear { weights: &weights[1..], ..layer };
        assert!(refused(|| kernel.linear(fewer, &input, 2, Output::Numbers(&mut vec![0.0; 2 * outputs]))));
        if kernel.format() == Format::Int16 {
            let mut sums = vec![0.0; 2 * outputs];
            let worthless = Linear { worth: &worth[1..], ..layer };
            assert!(refused(move || kernel.linear(worthless, &input, 2, Output::Numbers(&mut sums))));
            let mut out = vec![0; kernel.words(2 * outputs)];
            let input = vec![0u32; kernel.words(16)];
            assert!(
                refused(move || kernel.linear(layer, &input, 2, Output::Gelu(&mut out))),
                "without steps"
            );
            let mut out = vec![0; kernel.words(64)];
            let mut scratch = AttentionScratch::default();
            let qkv = vec![0; kernel.words(192)];
            assert!(refused(move || kernel.attend(&qkv, 2, (32, 32, &[]), &mut scratch, &mut out)));
        }
        let one = [0.0; 16];
        let norm = Norm { gain: &one, shift: &one };
        assert!(refused(|| kernel.normalize(norm, (None, &[0.0; 17]), &mut [0.0; 17], &mut [0; 32])));
        assert!(refused(|| kernel.normalize(norm, (None, &[0.0; 16]), &mut [0.0; 32], &mut [0; 32])));
        assert!(refused(|| kernel.normalize(norm, (None, &[0.0; 32]), &mut [0.0; 32], &mut [0; 15])));
        let (few, all) = (vec![0.0; 16], [0.0; 32]);
        assert!(refused(|| kernel.normalize(norm, (Some(&few), &all), &mut [0.0; 32], &mut [0; 32])));
        let attend = |words: usize, rows, to: usize| {
            let mut scratch = AttentionScratch::default();
            kernel.attend(&vec![0; words], rows, (32, 32, &[1.0]), &mut scratch, &mut vec![0; to]);
        };
        assert!(refused(|| attend(kernel.words(96), 2, 64)));
        assert!(refused(|| attend(192, 2, kernel.words(64) - 1)));
        assert!(refused(|| attend(0, 0, 0)));
    }
}
