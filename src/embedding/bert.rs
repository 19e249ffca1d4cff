//! BERT's forward pass over one sequence, without padding, on packed weights.

use std::{ops::Range, sync::Mutex};

use candle_core::safetensors::SliceSafetensors;
use memmap2::{Mmap, MmapMut};

use super::{
    EmbeddingError, LoadError, MAX_TOKENS, fixed,
    kernels::{AttentionScratch, Format, Kernel, Linear, Norm, Output, Rows},
    weights,
};
use crate::domain::EMBEDDING_DIMENSION as HIDDEN;

pub(super) const LAYERS: usize = 6;
pub(super) const HEADS: usize = 12;
pub(super) const INNER: usize = 1_536;
pub(super) const VOCABULARY: usize = 30_522;
pub(super) const POSITIONS: usize = 512;
pub(super) const HEAD: usize = HIDDEN / HEADS;

/// The model in the form one kernel wants it.
pub(super) struct Bert {
    kernel: Kernel,
    /// The file, of which only the rows of words that occur come into memory again.
    file: Mmap,
    words: Range<usize>,
    /// What is added to the word at each position: position and segment.
    places: Vec<f32>,
    first_norm: OwnedNorm,
    /// All packed matrices in the order they are used in, so that fetching ahead crosses their borders.
    packed: MmapMut,
    pub(super) layers: Vec<Layer>,
}

pub(super) struct Layer {
    pub qkv: Matrix,
    /// What the integer 1 is worth in the scores of each head; of fixed-point kernels only.
    pub heads: Vec<f32>,
    pub mixed: Matrix,
    pub mixed_norm: OwnedNorm,
    pub up: Matrix,
    pub down: Matrix,
    pub down_norm: OwnedNorm,
}

pub(super) struct Matrix {
    /// Within `Bert::packed`, in words.
    at: Range<usize>,
    bias: Vec<f32>,
    worth: Vec<f32>,
    steps: Vec<f32>,
    inputs: usize,
}

/// A matrix to be packed: parts below each other, of rows of `inputs` weights. The numbers behind are those of [`Linear`]
/// and [`Rows`].
pub(super) struct Plan<'w> {
    parts: Vec<&'w [f32]>,
    inputs: usize,
    pub bias: Vec<f32>,
    pub factors: Vec<f32>,
    pub input_worth: Vec<f32>,
    pub worth: Vec<f32>,
    pub steps: Vec<f32>,
}

pub(super) struct OwnedNorm {
    gain: Vec<f32>,
    shift: Vec<f32>,
}

/// Memory one forward pass computes in, kept from text to text.
#[derive(Default)]
pub(super) struct Scratch {
    /// The residual stream, `rows * HIDDEN`.
    numbers: Vec<f32>,
    sums: Vec<f32>,
    elements: Vec<u32>,
    qkv: Vec<u32>,
    mixed: Vec<u32>,
    inner: Vec<u32>,
    attention: AttentionScratch,
}

impl Bert {
    /// Packs the weights in `file` on `threads` threads, and lets the file's pages go.
    pub fn pack(file: Mmap, kernel: Kernel, threads: usize) -> Result<Self, LoadError> {
        let tensors = Tensors(SliceSafetensors::new(&file)?);
        let first_norm = tensors.norm("embeddings.LayerNorm")?;
        let plans = tensors.plans(kernel.format(), &first_norm)?;
        let matrices: Vec<_> = plans.iter().flat_map(|plan| &plan.matrices).collect();
        let packed = pack_all(kernel, &matrices, threads)?;
        let mut end = 0;
        let mut matrix = |plan: Plan<'_>| {
            let start = end;
            end += plan.words(kernel);
            let Plan { bias, worth, steps, inputs, .. } = plan;
            Matrix { at: start..end, bias, worth, steps, inputs }
        };
        let layers = plans.into_iter().map(|plan| {
            let LayerPlan { matrices, heads, mixed_norm, down_norm } = plan;
            let [qkv, mixed, up, down] = matrices.map(&mut matrix);
            Layer { qkv, heads, mixed, mixed_norm, up, down, down_norm }
        });
        let layers = layers.collect();
        let words = tensors.get("embeddings.word_embeddings.weight", &[VOCABULARY, HIDDEN])?;
        let positions = tensors.get("embeddings.position_embeddings.weight", &[POSITIONS, HIDDEN])?;
        let segments = tensors.get("embeddings.token_type_embeddings.weight", &[2, HIDDEN])?;
        let places = positions[..MAX_TOKENS * HIDDEN]
            .chunks_exact(HIDDEN)
            .flat_map(|position| position.iter().zip(segments).map(|(a, b)| a + b))
            .collect();
        let start = words.as_ptr() as usize - file.as_ptr() as usize;
        let words = start..start + size_of_val(words);
        weights::let_go(&file);
        Ok(Self { kernel, words, places, first_norm, packed, layers, file })
    }

    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// The mean of the last hidden states over all tokens, not yet of unit length.
    pub fn forward(&self, ids: &[u32], scratch: &mut Scratch) -> Result<Vec<f32>, EmbeddingError> {
        self.check(ids)?;
        let rows = ids.len();
        let Scratch { numbers, sums, elements, qkv, mixed, inner, attention } = scratch;
        let kernel = self.kernel;
        let numbers = room(numbers, rows * HIDDEN);
        let sums = room(sums, rows * HIDDEN);
        let elements = room(elements, kernel.words(rows * HIDDEN));
        let qkv = room(qkv, kernel.words(rows * 3 * HIDDEN));
        let mixed = room(mixed, kernel.words(rows * HIDDEN));
        let inner = room(inner, kernel.words(rows * INNER));

        self.start(ids, 0, numbers, elements);
        for layer in &self.layers {
            kernel.linear(self.view(&layer.qkv), elements, rows, Output::Elements(qkv));
            kernel.attend(qkv, rows, (HIDDEN, HEAD, &layer.heads), attention, mixed);
            kernel.linear(self.view(&layer.mixed), mixed, rows, Output::Numbers(sums));
            kernel.normalize(layer.mixed_norm.view(), (None, sums), numbers, elements);
            kernel.linear(self.view(&layer.up), elements, rows, Output::Gelu(inner));
            kernel.linear(self.view(&layer.down), inner, rows, Output::Numbers(sums));
            kernel.normalize(layer.down_norm.view(), (None, sums), numbers, elements);
        }
        Ok(mean(numbers))
    }

    /// Refuses what [`Bert::forward`] and [`Bert::start`] cannot compute.
    pub fn check(&self, ids: &[u32]) -> Result<(), EmbeddingError> {
        if !(1..=MAX_TOKENS).contains(&ids.len()) {
            let count = ids.len();
            return Err(EmbeddingError::Model(format!("{count} tokens; 1 to {MAX_TOKENS} are possible")));
        }
        match ids.iter().find(|&&id| id as usize >= VOCABULARY) {
            Some(id) => Err(EmbeddingError::Model(format!("token {id} is not in the vocabulary"))),
            None => Ok(()),
        }
    }

    /// What the first layer gets of checked tokens, the first of which has the position `first`: words and places,
    /// normalized.
    pub fn start(&self, ids: &[u32], first: usize, numbers: &mut [f32], elements: &mut [u32]) {
        // Pages are aligned for anything, and so were the rows found to be in them.
        let words: &[f32] = bytemuck::cast_slice(&self.file[self.words.clone()]);
        for (&id, row) in ids.iter().zip(numbers.chunks_exact_mut(HIDDEN)) {
            row.copy_from_slice(&words[id as usize * HIDDEN..][..HIDDEN]);
        }
        let places = &self.places[first * HIDDEN..][..ids.len() * HIDDEN];
        self.kernel.normalize(self.first_norm.view(), (None, places), numbers, elements);
    }

    pub fn view<'a>(&'a self, matrix: &'a Matrix) -> Linear<'a> {
        // Pages are aligned for anything.
        let words: &[u32] = bytemuck::cast_slice(&self.packed);
        Linear {
            weights: &words[matrix.at.clone()],
            bias: &matrix.bias,
            worth: &matrix.worth,
            steps: &matrix.steps,
            inputs: matrix.inputs,
        }
    }
}

impl OwnedNorm {
    pub fn view(&self) -> Norm<'_> {
        Norm { gain: &self.gain, shift: &self.shift }
    }
}

/// The mean of rows.
pub(super) fn mean(rows: &[f32]) -> Vec<f32> {
    let mut mean = vec![0.0f32; HIDDEN];
    for row in rows.chunks_exact(HIDDEN) {
        mean.iter_mut().zip(row).for_each(|(sum, number)| *sum += number);
    }
    let count = (rows.len() / HIDDEN) as f32;
    mean.iter_mut().for_each(|sum| *sum /= count);
    mean
}

impl<'w> Plan<'w> {
    /// Of parts with their biases, each multiplied by its factor.
    fn new(parts: Vec<(&'w [f32], &[f32], f32)>, inputs: usize) -> Self {
        let biases = parts.iter().flat_map(|(_, bias, factor)| bias.iter().map(move |bias| bias * factor));
        let factors = parts.iter().flat_map(|(_, bias, factor)| bias.iter().map(|_| *factor));
        Self {
            bias: biases.collect(),
            factors: factors.collect(),
            parts: parts.into_iter().map(|(weights, ..)| weights).collect(),
            inputs,
            input_worth: Vec::new(),
            worth: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// The weights of one output.
    pub fn row(&self, output: usize) -> &'w [f32] {
        let outputs = self.parts[0].len() / self.inputs;
        &self.parts[output / outputs][output % outputs * self.inputs..][..self.inputs]
    }

    fn words(&self, kernel: Kernel) -> usize {
        kernel.words(self.inputs * self.bias.len())
    }
}

/// What is read of one layer.
pub(super) struct LayerPlan<'w> {
    /// Queries, keys and values; what mixes the heads; up and down.
    pub matrices: [Plan<'w>; 4],
    pub heads: Vec<f32>,
    pub mixed_norm: OwnedNorm,
    pub down_norm: OwnedNorm,
}

fn pack_all(kernel: Kernel, plans: &[&Plan<'_>], threads: usize) -> Result<MmapMut, LoadError> {
    let words: usize = plans.iter().map(|plan| plan.words(kernel)).sum();
    let mut packed = weights::memory(words * size_of::<u32>())?;
    let mut rest: &mut [u32] = bytemuck::cast_slice_mut(&mut packed);
    let mut jobs = Vec::new();
    for &plan in plans {
        let (to, tail) = rest.split_at_mut(plan.words(kernel));
        jobs.push((plan, to));
        rest = tail;
    }
    let jobs = Mutex::new(jobs);
    let work = || {
        loop {
            let job = jobs.lock().ok().and_then(|mut jobs| jobs.pop());
            let Some((plan, to)) = job else { return };
            let Plan { inputs, factors, input_worth, .. } = plan;
            let row = |output| plan.row(output);
            kernel.pack(&Rows { inputs: *inputs, row, factors, worth: input_worth }, to);
        }
    };
    std::thread::scope(|scope| {
        (1..threads).for_each(|_| {
            scope.spawn(work);
        });
        work();
    });
    Ok(packed)
}

pub(super) struct Tensors<'f>(pub SliceSafetensors<'f>);

impl Tensors<'_> {
    /// All layers, with the factors that elements of this format need.
    pub fn plans(&self, format: Format, first_norm: &OwnedNorm) -> Result<Vec<LayerPlan<'_>>, LoadError> {
        let mut plans = (0..LAYERS).map(|layer| self.layer(layer)).collect::<Result<Vec<_>, _>>()?;
        if format == Format::Int16 {
            let mut before = first_norm;
            for LayerPlan { matrices, heads, mixed_norm, down_norm } in &mut plans {
                *heads = fixed::fix(matrices, before.view(), mixed_norm.view());
                before = down_norm;
            }
        }
        Ok(plans)
    }

    fn get(&self, name: &str, shape: &[usize]) -> Result<&[f32], LoadError> {
        let tensor = self.0.get(name)?;
        if tensor.shape() != shape {
            return Err(LoadError::Model(format!("{name} is of shape {:?}, not {shape:?}", tensor.shape())));
        }
        let numbers: &[f32] = bytemuck::try_cast_slice(tensor.data())
            .map_err(|error| LoadError::Model(format!("{name}: {error}")))?;
        if numbers.len() != shape.iter().product::<usize>() {
            return Err(LoadError::Model(format!("{name} is not of 32-bit numbers")));
        }
        Ok(numbers)
    }

    fn layer(&self, layer: usize) -> Result<LayerPlan<'_>, LoadError> {
        let name = |rest: &str| format!("encoder.layer.{layer}.{rest}");
        let matrix = |names: &[&str], inputs, outputs, first: f32| {
            let parts = names.iter().enumerate().map(|(index, part)| {
                let weights = self.get(&name(&format!("{part}.weight")), &[outputs, inputs])?;
                let bias = self.get(&name(&format!("{part}.bias")), &[outputs])?;
                Ok((weights, bias, if index == 0 { first } else { 1.0 }))
            });
            Ok::<_, LoadError>(Plan::new(parts.collect::<Result<_, LoadError>>()?, inputs))
        };
        // Attention counts in powers of two, and its scores are divided by the root of the head's width.
        let scale = std::f32::consts::LOG2_E / (HEAD as f32).sqrt();
        let projections = ["attention.self.query", "attention.self.key", "attention.self.value"];
        Ok(LayerPlan {
            matrices: [
                matrix(&projections, HIDDEN, HIDDEN, scale)?,
                matrix(&["attention.output.dense"], HIDDEN, HIDDEN, 1.0)?,
                matrix(&["intermediate.dense"], HIDDEN, INNER, 1.0)?,
                matrix(&["output.dense"], INNER, HIDDEN, 1.0)?,
            ],
            heads: Vec::new(),
            mixed_norm: self.norm(&name("attention.output.LayerNorm"))?,
            down_norm: self.norm(&name("output.LayerNorm"))?,
        })
    }

    pub fn norm(&self, name: &str) -> Result<OwnedNorm, LoadError> {
        let get = |part| self.get(&format!("{name}.{part}"), &[HIDDEN]).map(<[f32]>::to_vec);
        Ok(OwnedNorm { gain: get("weight")?, shift: get("bias")? })
    }
}

/// The first `length` items, growing the memory when a longer text than ever comes.
fn room<T: Copy + Default>(memory: &mut Vec<T>, length: usize) -> &mut [T] {
    if memory.len() < length {
        memory.resize(length, T::default());
    }
    &mut memory[..length]
}
