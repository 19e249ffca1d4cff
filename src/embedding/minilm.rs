//! The forward pass: BERT through candle, masked mean pooling, L2 norm.

use std::path::Path;

use candle_core::{D, DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config, HiddenAct, PositionEmbeddingType};

use super::{EmbeddingError, LoadError, Tokenizer, WEIGHTS_SHA256, weights::map_verified};
use crate::domain::Embedding;

/// all-MiniLM-L6-v2 with its tokenizer: six layers, twelve heads, 384 dimensions.
pub struct MiniLm {
    tokenizer: Tokenizer,
    bert: BertModel,
    /// Cores to spread texts over.
    lanes: usize,
}

impl MiniLm {
    /// Maps and verifies the files in `model_dir`, then builds the layers.
    pub fn load(model_dir: &Path) -> Result<Self, LoadError> {
        let tokenizer = Tokenizer::load(model_dir)?;
        let map = map_verified(model_dir.join("model.safetensors"), WEIGHTS_SHA256)?;
        let weights = VarBuilder::from_slice_safetensors(&map, DType::F32, &Device::Cpu)?;
        let bert = BertModel::load(weights, &configuration())?;
        let lanes = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Self { tokenizer, bert, lanes })
    }

    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// One unit vector a text, in the order given; what lies behind 256 tokens is not read.
    pub fn embed(&self, texts: &[String]) -> Result<Vec<Embedding>, EmbeddingError> {
        let mut inputs = texts
            .iter()
            .map(|text| self.tokenizer.encode(text))
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .enumerate()
            .collect::<Vec<_>>();
        // Longest first: neighbours pad little, and the last lane to finish has a short batch.
        inputs.sort_by_key(|(_, ids)| std::cmp::Reverse(ids.len()));
        let batches = batches(&inputs, self.lanes);
        let mut vectors = vec![None; texts.len()];
        for (position, vector) in self.forward_all(&batches)?.into_iter().flatten() {
            vectors[position] = Some(vector);
        }
        vectors
            .into_iter()
            .map(|vector| vector.ok_or_else(|| EmbeddingError::Model("a text was not computed".into())))
            .collect()
    }

    fn forward_all(&self, batches: &[&[Input]]) -> Result<Vec<Vec<(usize, Embedding)>>, EmbeddingError> {
        if let [batch] = batches {
            return Ok(vec![self.forward(batch)?]);
        }
        let next = std::sync::atomic::AtomicUsize::new(0);
        let take = || {
            let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            batches.get(index).copied()
        };
        std::thread::scope(|scope| {
            let lanes: Vec<_> = (0..self.lanes.min(batches.len()))
                .map(|_| scope.spawn(|| std::iter::from_fn(take).map(|batch| self.forward(batch)).collect()))
                .collect();
            let mut done = Vec::with_capacity(batches.len());
            for lane in lanes {
                let computed: Result<Vec<_>, EmbeddingError> =
                    lane.join().map_err(|_| EmbeddingError::Model("the forward pass panicked".into()))?;
                done.extend(computed?);
            }
            Ok(done)
        })
    }

    /// One padded batch, longest text first. Shapes: ids and mask `(texts, tokens)`, hidden states
    /// `(texts, tokens, 384)`.
    fn forward(&self, batch: &[Input]) -> Result<Vec<(usize, Embedding)>, EmbeddingError> {
        let (texts, tokens) = (batch.len(), batch.first().map_or(0, |(_, ids)| ids.len()));
        let mut ids = Vec::with_capacity(texts * tokens);
        let mut mask = Vec::with_capacity(texts * tokens);
        for (_, text) in batch {
            ids.extend_from_slice(text);
            ids.resize(ids.len() + tokens - text.len(), 0);
            mask.resize(mask.len() + text.len(), 1.0f32);
            mask.resize(mask.len() + tokens - text.len(), 0.0);
        }
        let device = &self.bert.device;
        let ids = Tensor::from_vec(ids, (texts, tokens), device)?;
        let mask = Tensor::from_vec(mask, (texts, tokens), device)?;
        let hidden = self.bert.forward(&ids, &ids.zeros_like()?, Some(&mask))?;
        let mask = mask.unsqueeze(D::Minus1)?;
        let mean = hidden.broadcast_mul(&mask)?.sum(1)?.broadcast_div(&mask.sum(1)?)?;
        let unit = mean.broadcast_div(&mean.sqr()?.sum_keepdim(1)?.sqrt()?)?;
        batch
            .iter()
            .zip(unit.to_vec2::<f32>()?)
            .map(|((position, _), vector)| {
                let vector = Embedding::new(vector)
                    .ok_or_else(|| EmbeddingError::Model("a vector is not of unit length".into()))?;
                Ok((*position, vector))
            })
            .collect()
    }
}

/// A text's place in the caller's list, and its token ids.
type Input = (usize, Vec<u32>);

/// Padded tokens of one forward pass, at most: where throughput is highest (`benches/embedding.rs`).
const MAX_BATCH_TOKENS: usize = 1024;
/// Smaller batches would spend their time on overhead instead of keeping another core busy.
const MIN_BATCH_TOKENS: usize = 128;

/// Cuts a length-sorted list into batches of about the same number of padded tokens, one a lane where
/// they are not too small or too large for that.
fn batches(inputs: &[Input], lanes: usize) -> Vec<&[Input]> {
    let tokens: usize = inputs.iter().map(|(_, ids)| ids.len()).sum();
    let budget = tokens.div_ceil(lanes.max(1)).clamp(MIN_BATCH_TOKENS, MAX_BATCH_TOKENS);
    let mut batches = Vec::new();
    let mut rest = inputs;
    while let Some((_, longest)) = rest.first() {
        let fits = (budget / longest.len().max(1)).clamp(1, rest.len());
        let (batch, tail) = rest.split_at(fits);
        batches.push(batch);
        rest = tail;
    }
    batches
}

/// `config.json` of the model; written down because the pinned files do not include it.
fn configuration() -> Config {
    Config {
        vocab_size: 30_522,
        hidden_size: 384,
        num_hidden_layers: 6,
        num_attention_heads: 12,
        intermediate_size: 1_536,
        hidden_act: HiddenAct::Gelu,
        hidden_dropout_prob: 0.1,
        max_position_embeddings: 512,
        type_vocab_size: 2,
        initializer_range: 0.02,
        layer_norm_eps: 1e-12,
        pad_token_id: 0,
        position_embedding_type: PositionEmbeddingType::Absolute,
        use_cache: true,
        classifier_dropout: None,
        model_type: Some("bert".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_every_text_once_and_stay_within_the_budget() {
        let inputs: Vec<Input> =
            [256, 256, 200, 100, 7, 7, 7, 3].iter().enumerate().map(|(i, &n)| (i, vec![1; n])).collect();
        let batches = batches(&inputs, 2);
        assert_eq!(batches.iter().map(|batch| batch.len()).sum::<usize>(), inputs.len());
        for batch in batches {
            assert!(batch.len() == 1 || batch[0].1.len() * batch.len() <= MAX_BATCH_TOKENS);
        }
        assert!(super::batches(&[], 2).is_empty());
        let equal: Vec<Input> = (0..8).map(|i| (i, vec![1; 100])).collect();
        assert_eq!(super::batches(&equal, 2).iter().map(|batch| batch.len()).collect::<Vec<_>>(), [4, 4]);
    }
}
