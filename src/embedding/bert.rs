//! BERT's forward pass over one sequence, without padding, on packed weights.

use std::{ops::Range, sync::Mutex};

use candle_core::safetensors::SliceSafetensors;
use memmap2::{Mmap, MmapMut};

use super::{
    EmbeddingError, LoadError, MAX_TOKENS,
    kernels::{AttentionScratch, Kernel, Linear, Norm, Output},
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
    inputs: usize,
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
        let mut sources = Vec::new();
        let mut layers = Vec::new();
        for layer in 0..LAYERS {
            let name = |rest: &str| format!("encoder.layer.{layer}.{rest}");
            let mut matrix = |names: &[&str], inputs, outputs, factor: f32| -> Result<Matrix, LoadError> {
                let start = sources.last().map_or(0, |source: &Source| source.at.end);
                let mut bias = Vec::with_capacity(names.len() * outputs);
                let mut parts = Vec::new();
                for (index, part) in names.iter().enumerate() {
                    let factor = if index == 0 { factor } else { 1.0 };
                    let numbers = tensors.get(&name(&format!("{part}.bias")), &[outputs])?;
                    bias.extend(numbers.iter().map(|number| number * factor));
                    parts.push((tensors.get(&name(&format!("{part}.weight")), &[outputs, inputs])?, factor));
                }
                let at = start..start + kernel.words(inputs * bias.len());
                sources.push(Source { parts, inputs, at: at.clone() });
                Ok(Matrix { at, bias, inputs })
            };
            // Attention counts in powers of two, and its scores are divided by the root of the head's width.
            let scale = std::f32::consts::LOG2_E / (HEAD as f32).sqrt();
            let projections = ["attention.self.query", "attention.self.key", "attention.self.value"];
            layers.push(Layer {
                qkv: matrix(&projections, HIDDEN, HIDDEN, scale)?,
                mixed: matrix(&["attention.output.dense"], HIDDEN, HIDDEN, 1.0)?,
                up: matrix(&["intermediate.dense"], HIDDEN, INNER, 1.0)?,
                down: matrix(&["output.dense"], INNER, HIDDEN, 1.0)?,
                mixed_norm: tensors.norm(&name("attention.output.LayerNorm"))?,
                down_norm: tensors.norm(&name("output.LayerNorm"))?,
            });
        }
        let packed = pack_all(kernel, &sources, threads)?;
        let words = tensors.get("embeddings.word_embeddings.weight", &[VOCABULARY, HIDDEN])?;
        let positions = tensors.get("embeddings.position_embeddings.weight", &[POSITIONS, HIDDEN])?;
        let segments = tensors.get("embeddings.token_type_embeddings.weight", &[2, HIDDEN])?;
        let places = positions[..MAX_TOKENS * HIDDEN]
            .chunks_exact(HIDDEN)
            .flat_map(|position| position.iter().zip(segments).map(|(a, b)| a + b))
            .collect();
        let start = words.as_ptr() as usize - file.as_ptr() as usize;
        let words = start..start + size_of_val(words);
        let first_norm = tensors.norm("embeddings.LayerNorm")?;
        weights::let_go(&file);
        Ok(Self { kernel, words, places, first_norm, packed, layers, file })
    }

    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// The mean of the last hidden states over all tokens, not yet of unit length.
    pub fn forward(&self, ids: &[u32], scratch: &mut Scratch) -> Result<Vec<f32>, EmbeddingError> {
        let rows = ids.len();
        let Scratch { numbers, sums, elements, qkv, mixed, inner, attention } = scratch;
        let kernel = self.kernel;
        let numbers = room(numbers, rows * HIDDEN);
        let sums = room(sums, rows * HIDDEN);
        let elements = room(elements, kernel.words(rows * HIDDEN));
        let qkv = room(qkv, kernel.words(rows * 3 * HIDDEN));
        let mixed = room(mixed, kernel.words(rows * HIDDEN));
        let inner = room(inner, kernel.words(rows * INNER));

        self.start(ids, numbers, elements)?;
        for layer in &self.layers {
            kernel.linear(self.view(&layer.qkv), elements, rows, Output::Elements(qkv));
            kernel.attend(qkv, rows, (HIDDEN, HEAD), attention, mixed);
            kernel.linear(self.view(&layer.mixed), mixed, rows, Output::Numbers(sums));
            kernel.normalize(layer.mixed_norm.view(), numbers, sums, elements);
            kernel.linear(self.view(&layer.up), elements, rows, Output::Gelu(inner));
            kernel.linear(self.view(&layer.down), inner, rows, Output::Numbers(sums));
            kernel.normalize(layer.down_norm.view(), numbers, sums, elements);
        }
        Ok(mean(numbers))
    }

    /// What the first layer gets: words and places, normalized.
    pub fn start(
        &self,
        ids: &[u32],
        numbers: &mut [f32],
        elements: &mut [u32],
    ) -> Result<(), EmbeddingError> {
        let rows = ids.len();
        if !(1..=MAX_TOKENS).contains(&rows) {
            return Err(EmbeddingError::Model(format!("{rows} tokens; 1 to {MAX_TOKENS} are possible")));
        }
        self.look_up(ids, numbers)?;
        self.kernel.normalize(self.first_norm.view(), numbers, &self.places[..rows * HIDDEN], elements);
        Ok(())
    }

    fn look_up(&self, ids: &[u32], rows: &mut [f32]) -> Result<(), EmbeddingError> {
        let words: &[f32] = bytemuck::try_cast_slice(&self.file[self.words.clone()])
            .map_err(|error| EmbeddingError::Model(error.to_string()))?;
        for (&id, row) in ids.iter().zip(rows.chunks_exact_mut(HIDDEN)) {
            let start = id as usize * HIDDEN;
            let word = words
                .get(start..start + HIDDEN)
                .ok_or_else(|| EmbeddingError::Model(format!("token {id} is not in the vocabulary")))?;
            row.copy_from_slice(word);
        }
        Ok(())
    }

    pub fn view<'a>(&'a self, matrix: &'a Matrix) -> Linear<'a> {
        // Pages are aligned for anything.
        let words: &[u32] = bytemuck::cast_slice(&self.packed);
        Linear { weights: &words[matrix.at.clone()], bias: &matrix.bias, inputs: matrix.inputs }
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

/// The matrices that are packed into one, by rows of `inputs` weights, and their factors.
struct Source<'w> {
    parts: Vec<(&'w [f32], f32)>,
    inputs: usize,
    at: Range<usize>,
}

fn pack_all(kernel: Kernel, sources: &[Source<'_>], threads: usize) -> Result<MmapMut, LoadError> {
    let words = sources.last().map_or(0, |source| source.at.end);
    let mut packed = weights::memory(words * size_of::<u32>())?;
    let mut rest: &mut [u32] = bytemuck::cast_slice_mut(&mut packed);
    let mut jobs = Vec::new();
    for source in sources {
        let (to, tail) = rest.split_at_mut(source.at.len());
        jobs.push((source, to));
        rest = tail;
    }
    let jobs = Mutex::new(jobs);
    let work = || {
        loop {
            let job = jobs.lock().ok().and_then(|mut jobs| jobs.pop());
            let Some((source, to)) = job else { return };
            let rows = source.parts[0].0.len() / source.inputs;
            let row = |output: usize| {
                let (weights, _) = source.parts[output / rows];
                let start = output % rows * source.inputs;
                &weights[start..start + source.inputs]
            };
            kernel.pack(source.inputs, row, |output| source.parts[output / rows].1, to);
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

struct Tensors<'f>(SliceSafetensors<'f>);

impl Tensors<'_> {
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

    fn norm(&self, name: &str) -> Result<OwnedNorm, LoadError> {
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
