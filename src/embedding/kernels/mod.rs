//! Matrix kernels of the forward pass, chosen by what the CPU can do; the only unsafe code besides memory maps.
//!
//! [`Kernel`] is the safe face: it checks every size before it hands pointers to the algorithms in `generic` and
//! `attention`, which are written once over the instruction sets in `x86` and `neon`.
#![allow(unsafe_code, reason = "instructions chosen at run time and sums kept in registers need it")]

mod attention;
mod board;
mod functions;
mod generic;
mod isa;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

use attention::AttentionTask;
pub use board::{Board, Claim, Stage, Unit, Window};
use generic::{LinearTask, NormTask, Target};
use isa::{Isa, VECTORS};

/// The largest integer element, of either sign.
pub const UNIT: f32 = 32_767.0;
/// Elements of a row whose products are summed as integers; the sums of such blocks are added as numbers.
pub const BLOCK: usize = 384;

/// One set of kernels that this CPU can run; there is no other way to get one than [`Kernel::all`].
#[derive(Clone, Copy)]
pub struct Kernel {
    operations: &'static Operations,
}

/// What activations and weights are rounded to before they are multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    F32,
    Bf16,
    /// Integers of 16 bits, exactly summed: fixed-point numbers whose worth the matrices bring along.
    Int16,
}

struct Operations {
    name: &'static str,
    format: Format,
    lanes: usize,
    /// Elements in a 32-bit word.
    depth: usize,
    rows: usize,
    linear: unsafe fn(&LinearTask),
    normalize: unsafe fn(&NormTask),
    attend: unsafe fn(&AttentionTask),
}

/// Compiles the algorithms for an instruction set.
macro_rules! operations {
    ($constant:ident, $isa:ty, $format:ident, $name:literal, $features:literal) => {
        const $constant: Operations = {
            // SAFETY, all three: these run only through a `Kernel`, which exists only where the features do.
            #[target_feature(enable = $features)]
            unsafe fn linear(task: &LinearTask) {
                unsafe { generic::linear::<$isa>(task) }
            }
            #[target_feature(enable = $features)]
            unsafe fn normalize(task: &NormTask) {
                unsafe { generic::normalize::<$isa>(task) }
            }
            #[target_feature(enable = $features)]
            unsafe fn attend(task: &AttentionTask) {
                unsafe { attention::attend::<$isa>(task) }
            }
            Operations {
                name: $name,
                format: Format::$format,
                lanes: <$isa>::LANES,
                depth: <$isa>::DEPTH,
                rows: <$isa>::ROWS,
                linear,
                normalize,
                attend,
            }
        };
    };
}

#[cfg(target_arch = "x86_64")]
operations!(
    AVX512_INT16,
    x86::Avx512Int16,
    Int16,
    "avx512-int16",
    "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"
);
#[cfg(target_arch = "x86_64")]
operations!(
    AVX512_BF16,
    x86::Avx512Bf16,
    Bf16,
    "avx512-bf16",
    "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16"
);
#[cfg(target_arch = "x86_64")]
operations!(AVX512, x86::Avx512, F32, "avx512-f32", "avx512f,avx512bw,avx512vl,avx512dq");
#[cfg(target_arch = "x86_64")]
operations!(AVX2_INT16, x86::Avx2Int16, Int16, "avx2-int16", "avx2,fma");
#[cfg(target_arch = "x86_64")]
operations!(AVX2, x86::Avx2, F32, "avx2-f32", "avx2,fma");
#[cfg(target_arch = "aarch64")]
operations!(NEON, neon::Neon, F32, "neon-f32", "neon");

/// What linear layers write.
pub enum Output<'a> {
    /// Plain numbers.
    Numbers(&'a mut [f32]),
    /// Elements for the next layer.
    Elements(&'a mut [u32]),
    /// Elements for the next layer, through GELU.
    Gelu(&'a mut [u32]),
}

/// What linear layers write into a [`Window`], as in [`Output`].
#[derive(Clone, Copy)]
pub enum Form {
    Numbers,
    Elements,
    Gelu,
}

/// A linear layer whose weights [`Kernel::pack`] has arranged.
#[derive(Clone, Copy)]
pub struct Linear<'a> {
    pub weights: &'a [u32],
    /// One number an output.
    pub bias: &'a [f32],
    /// What the integer 1 is worth in the sums of each output; of [`Format::Int16`] only.
    pub worth: &'a [f32],
    /// Integers in 1 of each output's GELU; of [`Format::Int16`] and layers with [`Form::Gelu`] only.
    pub steps: &'a [f32],
    pub inputs: usize,
}

/// Weights as [`Kernel::pack`] takes them, one row of `inputs` an output.
pub struct Rows<'w, R: Fn(usize) -> &'w [f32]> {
    pub inputs: usize,
    pub row: R,
    /// What the weights of each output are multiplied by.
    pub factors: &'w [f32],
    /// What the weights of each input are multiplied by; of [`Format::Int16`] only.
    pub worth: &'w [f32],
}

/// Gain and shift of a LayerNorm.
#[derive(Clone, Copy)]
pub struct Norm<'a> {
    pub gain: &'a [f32],
    pub shift: &'a [f32],
}

/// Memory that attention computes in, kept from call to call.
#[derive(Default)]
pub struct AttentionScratch {
    keys: Vec<u32>,
    values: Vec<u32>,
    scores: Vec<f32>,
    shares: Vec<u32>,
}

impl Kernel {
    /// Every kernel this CPU can run, the fastest first.
    pub fn all() -> Vec<Self> {
        #[allow(unused_mut, reason = "other architectures have none")]
        let mut all: Vec<&'static Operations> = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512dq");
            if avx512 && is_x86_feature_detected!("avx512vnni") {
                all.push(&AVX512_INT16);
            }
            if avx512 && is_x86_feature_detected!("avx512bf16") {
                all.push(&AVX512_BF16);
            }
            if avx512 {
                all.push(&AVX512);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                all.push(&AVX2_INT16);
                all.push(&AVX2);
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            all.push(&NEON);
        }
        all.into_iter().map(|operations| Self { operations }).collect()
    }

    pub fn name(self) -> &'static str {
        self.operations.name
    }

    pub fn format(self) -> Format {
        self.operations.format
    }

    /// Words that `elements` activations or weights take.
    pub fn words(self, elements: usize) -> usize {
        elements / self.operations.depth
    }

    /// Columns that are packed together; the outputs of a layer must be a multiple.
    pub fn panel(self) -> usize {
        VECTORS * self.operations.lanes
    }

    /// Arranges weights as the kernel reads them; integers are the nearest ones, at most [`UNIT`] of either sign.
    pub fn pack<'w, R: Fn(usize) -> &'w [f32]>(self, rows: &Rows<'w, R>, to: &mut [u32]) {
        let (panel, depth) = (self.panel(), self.operations.depth);
        let steps = rows.inputs / depth;
        assert!(
            rows.inputs.is_multiple_of(depth) && to.len().is_multiple_of(panel * steps),
            "weights do not fill panels"
        );
        let fixed = self.format() == Format::Int16;
        assert_eq!(rows.worth.len(), if fixed { rows.inputs } else { 0 }, "inputs are worth something else");
        for (index, to) in to.chunks_exact_mut(panel * steps).enumerate() {
            for column in 0..panel {
                let (weights, factor) =
                    ((rows.row)(index * panel + column), rows.factors[index * panel + column]);
                assert_eq!(weights.len(), rows.inputs, "a row of weights has another length");
                let to = to[column..].iter_mut().step_by(panel);
                let pairs = weights.as_chunks::<2>().0;
                match self.format() {
                    Format::F32 => to.zip(weights).for_each(|(to, weight)| *to = (weight * factor).to_bits()),
                    Format::Bf16 => to.zip(pairs).for_each(|(to, [low, high])| {
                        *to = bf16(low * factor) | bf16(high * factor) << 16;
                    }),
                    Format::Int16 => {
                        let worth = rows.worth.as_chunks::<2>().0;
                        to.zip(pairs.iter().zip(worth)).for_each(|(to, ([low, high], [one, other]))| {
                            *to = int16(low * factor * one) | int16(high * factor * other) << 16;
                        });
                    }
                }
            }
        }
    }

    /// `output = activations · weights + bias` for each row.
    pub fn linear(self, layer: Linear<'_>, activations: &[u32], rows: usize, output: Output<'_>) {
        let outputs = layer.bias.len();
        let (form, to) = match output {
            Output::Numbers(to) => (Form::Numbers, bytemuck::cast_slice_mut(to)),
            Output::Elements(to) => (Form::Elements, to),
            Output::Gelu(to) => (Form::Gelu, to),
        };
        let width = self.width(form, outputs);
        let words = rows.checked_mul(width).filter(|&words| words <= to.len());
        assert!(words.is_some(), "too little room for the output");
        self.linear_into(layer, activations, form, Window::of(&mut to[..rows * width], width));
    }

    /// The layer that computes only these panels of its outputs.
    pub fn panels(self, layer: Linear<'_>, panels: std::ops::Range<usize>) -> Linear<'_> {
        let words = self.words(layer.inputs * self.panel());
        let outputs = panels.start * self.panel()..panels.end * self.panel();
        let part = |numbers: &'_ [f32]| if numbers.is_empty() { 0..0 } else { outputs.clone() };
        Linear {
            weights: &layer.weights[panels.start * words..panels.end * words],
            bias: &layer.bias[outputs.clone()],
            worth: &layer.worth[part(layer.worth)],
            steps: &layer.steps[part(layer.steps)],
            inputs: layer.inputs,
        }
    }

    /// [`Kernel::linear`] for as many rows as the window has.
    pub fn linear_into(self, layer: Linear<'_>, activations: &[u32], form: Form, window: Window<'_>) {
        let (depth, outputs, rows) = (self.operations.depth, layer.bias.len(), window.rows);
        assert!(
            layer.inputs.is_multiple_of(depth) && outputs.is_multiple_of(self.panel()),
            "the layer does not fill panels"
        );
        assert_eq!(layer.weights.len() * depth, layer.inputs * outputs, "weights of another shape");
        if self.format() == Format::Int16 {
            let steps = if matches!(form, Form::Gelu) { outputs } else { layer.steps.len() };
            assert!(
                layer.worth.len() == outputs && layer.steps.len() == steps,
                "outputs are worth something else"
            );
        }
        assert!(activations.len() * depth >= layer.inputs * rows, "too few activations");
        assert_eq!(window.width, self.width(form, outputs), "a window of another width");
        let (to, stride) = match form {
            Form::Numbers => (Target::Numbers(window.start.cast()), window.stride),
            Form::Elements => (Target::Elements(window.start), window.stride * depth),
            Form::Gelu => (Target::Gelu(window.start), window.stride * depth),
        };
        let task = LinearTask {
            weights: layer.weights.as_ptr(),
            bias: layer.bias.as_ptr(),
            worth: layer.worth.as_ptr(),
            steps: layer.steps.as_ptr(),
            inputs: layer.inputs,
            outputs,
            activations: activations.as_ptr(),
            rows,
            to,
            stride,
        };
        // SAFETY: the features exist, as `self` does. The panels cover `inputs * outputs` elements of weights
        // and `outputs` of bias and, where they are read, of worth and steps; rows of activations end within their slice and rows of output are as
        // wide as the window, as asserted above; the window is nobody else's.
        unsafe { (self.operations.linear)(&task) }
    }

    /// Words that a row of `outputs` takes.
    fn width(self, form: Form, outputs: usize) -> usize {
        match form {
            Form::Numbers => outputs,
            Form::Elements | Form::Gelu => self.words(outputs),
        }
    }

    /// `numbers = LayerNorm(from + add)` for each row, and the same as elements. `from` is what `numbers` holds if there is
    /// no other.
    pub fn normalize(
        self,
        norm: Norm<'_>,
        (from, add): (Option<&[f32]>, &[f32]),
        numbers: &mut [f32],
        elements: &mut [u32],
    ) {
        let width = norm.gain.len();
        assert!(
            width > 0 && width.is_multiple_of(self.operations.lanes) && norm.shift.len() == width,
            "odd width"
        );
        assert!(numbers.len().is_multiple_of(width) && add.len() == numbers.len(), "rows of another width");
        assert!(from.is_none_or(|from| from.len() == numbers.len()), "too few or too many rows");
        assert!(elements.len() * self.operations.depth >= numbers.len(), "too little room for the elements");
        let (rows, numbers) = (numbers.len() / width, numbers.as_mut_ptr());
        let task = NormTask {
            from: from.map_or(numbers.cast_const(), <[f32]>::as_ptr),
            rows,
            numbers,
            add: add.as_ptr(),
            gain: norm.gain.as_ptr(),
            shift: norm.shift.as_ptr(),
            elements: elements.as_mut_ptr(),
            width,
        };
        // SAFETY: the features exist, as `self` does. `rows * width` numbers, as many to begin with and to add and room
        // for as many elements were asserted; rows are read in whole vectors because `lanes` divides `width`.
        unsafe { (self.operations.normalize)(&task) }
    }

    /// Self-attention over one sequence: `qkv` has rows of queries, keys and values, `to` gets rows of
    /// `hidden` elements. The factor of the scores and log2(e) must be in the weights of the queries. `worth`, of
    /// [`Format::Int16`] only, is what the integer 1 is worth in the scores of each head.
    pub fn attend(
        self,
        qkv: &[u32],
        rows: usize,
        (hidden, head, worth): (usize, usize, &[f32]),
        scratch: &mut AttentionScratch,
        to: &mut [u32],
    ) {
        let width = self.words(hidden);
        assert!(to.len() >= rows * width, "too little room for the output");
        let window = Window::of(&mut to[..rows * width], width);
        self.attend_into(qkv, (hidden, head, worth), 0, scratch, window);
    }

    /// [`Kernel::attend`] for as many heads as the window is wide, from the head `first` on, over as many rows.
    pub fn attend_into(
        self,
        qkv: &[u32],
        (hidden, head, worth): (usize, usize, &[f32]),
        first: usize,
        scratch: &mut AttentionScratch,
        window: Window<'_>,
    ) {
        let Operations { lanes, depth, rows: tile, .. } = *self.operations;
        let (rows, width) = (window.rows, window.width * depth);
        assert!(
            rows > 0 && head > 0 && head.is_multiple_of(2 * lanes) && hidden.is_multiple_of(head),
            "odd heads"
        );
        assert!(width.is_multiple_of(head) && first * head + width <= hidden, "a window of other heads");
        assert!(qkv.len() * depth >= 3 * hidden * rows, "too few queries, keys and values");
        assert!(
            self.format() != Format::Int16 || worth.len() == hidden / head,
            "scores are worth something else"
        );
        let padded = rows.next_multiple_of(lanes);
        grow(&mut scratch.keys, head / depth * padded);
        grow(&mut scratch.values, padded.div_ceil(depth) * head);
        grow(&mut scratch.scores, tile * padded);
        grow(&mut scratch.shares, tile * padded);
        let task = AttentionTask {
            qkv: qkv.as_ptr(),
            hidden,
            head,
            rows,
            keys: scratch.keys.as_mut_ptr(),
            values: scratch.values.as_mut_ptr(),
            scores: scratch.scores.as_mut_ptr(),
            shares: scratch.shares.as_mut_ptr(),
            heads: (first, width / head),
            worth: worth.as_ptr(),
            to: window.start,
            to_stride: window.stride * depth,
        };
        // SAFETY: the features exist, as `self` does. Inputs hold `rows` rows and the window the heads, as
        // asserted; it is nobody else's; the scratch was grown to what the task's fields document; heads are
        // read in pairs of whole vectors because `2 * lanes` divides `head`.
        unsafe { (self.operations.attend)(&task) }
    }
}

fn grow<T: Copy + Default>(memory: &mut Vec<T>, length: usize) {
    if memory.len() < length {
        memory.resize(length, T::default());
    }
}

/// The nearest integer, ties to even, in 16 bits of a word: what lies below 1 is lost beside 1.5 * 2^23.
fn int16(number: f32) -> u32 {
    (number.clamp(-UNIT, UNIT) + 12_582_912.0).to_bits() & 0xffff
}

/// The nearest `bf16`, ties to even. Weights are finite, so that no NaN has to be kept.
fn bf16(number: f32) -> u32 {
    let bits = number.to_bits();
    bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16
}
