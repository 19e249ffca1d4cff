//! Candle's own BERT: for CPUs without kernels of ours, and what the kernels are checked against.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config, HiddenAct, PositionEmbeddingType};

use super::{
    EmbeddingError, LoadError,
    bert::{HEADS, INNER, LAYERS, POSITIONS, VOCABULARY},
};
use crate::domain::EMBEDDING_DIMENSION;

pub(super) struct Portable {
    bert: BertModel,
}

impl Portable {
    pub fn new(file: &[u8]) -> Result<Self, LoadError> {
        let weights = VarBuilder::from_slice_safetensors(file, DType::F32, &Device::Cpu)?;
        Ok(Self { bert: BertModel::load(weights, &configuration())? })
    }

    /// The mean of the last hidden states over all tokens, not yet of unit length.
    pub fn forward(&self, ids: &[u32]) -> Result<Vec<f32>, EmbeddingError> {
        let ids = Tensor::new(ids, &Device::Cpu)?.unsqueeze(0)?;
        let hidden = self.bert.forward(&ids, &ids.zeros_like()?, None)?;
        Ok(hidden.squeeze(0)?.mean(0)?.to_vec1()?)
    }
}

/// `config.json` of the model; written down because the pinned files do not include it.
fn configuration() -> Config {
    Config {
        vocab_size: VOCABULARY,
        hidden_size: EMBEDDING_DIMENSION,
        num_hidden_layers: LAYERS,
        num_attention_heads: HEADS,
        intermediate_size: INNER,
        hidden_act: HiddenAct::Gelu,
        hidden_dropout_prob: 0.1,
        max_position_embeddings: POSITIONS,
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
