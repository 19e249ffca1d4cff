//! Which parameters a server turned out not to take; learned from its refusals and remembered.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{
    error::ErrorBody,
    family::{Family, family},
};
use crate::config::{LlmApi, LlmConfig};

/// What is known about one server. Shared by all requests to it.
#[derive(Debug)]
pub(super) struct Dialect {
    /// What gives way, in the order of [`Parameter::ALL`].
    refused: [AtomicBool; Parameter::ALL.len()],
}

/// What a server may not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parameter {
    /// `max_completion_tokens`; servers from before reasoning models know `max_tokens` alone.
    NewTokens,
    Temperature,
    Effort,
    Verbosity,
    /// JSON by a schema.
    Schema,
    /// Usage at the end of a stream.
    StreamUsage,
    /// `store: false`, which tells OpenAI not to keep the exchange.
    Store,
}

impl Parameter {
    const ALL: [Self; 7] = [
        Self::NewTokens,
        Self::Temperature,
        Self::Effort,
        Self::Verbosity,
        Self::Schema,
        Self::StreamUsage,
        Self::Store,
    ];

    /// The names by which refusals call it.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::NewTokens => &["max_completion_tokens"],
            Self::Temperature => &["temperature"],
            Self::Effort => &["reasoning_effort", "reasoning.effort"],
            Self::Verbosity => &["verbosity", "text.verbosity"],
            Self::Schema => &["response_format", "text.format", "json_schema"],
            Self::StreamUsage => &["stream_options"],
            Self::Store => &["store"],
        }
    }
}

/// Which of the parameters one request carries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent([bool; Parameter::ALL.len()]);

impl Sent {
    pub fn has(self, parameter: Parameter) -> bool {
        self.0[parameter as usize]
    }

    pub fn without(mut self, parameter: Parameter) -> Self {
        self.0[parameter as usize] = false;
        self
    }
}

impl Dialect {
    /// Begins with what the model's name tells.
    pub fn new(config: &LlmConfig) -> Self {
        let Family { temperature, effort, verbosity } =
            family(&config.model, config.reasoning_effort.as_deref());
        let dialect = Self { refused: [const { AtomicBool::new(false) }; Parameter::ALL.len()] };
        for (parameter, configured, takes) in [
            (Parameter::Temperature, config.temperature.is_some(), temperature),
            (Parameter::Effort, config.reasoning_effort.is_some(), effort),
            (Parameter::Verbosity, config.verbosity.is_some(), verbosity),
        ] {
            if configured && !takes {
                dialect.refuse(parameter, "models of this name do not take a parameter, it is left out");
            }
        }
        dialect
    }

    /// What a request may carry now, of what is configured.
    pub fn current(&self, config: &LlmConfig) -> Sent {
        Sent(Parameter::ALL.map(|parameter| {
            let configured = match parameter {
                Parameter::NewTokens => config.max_output_tokens.is_some() && config.api == LlmApi::Chat,
                Parameter::Temperature => config.temperature.is_some(),
                Parameter::Effort => config.reasoning_effort.is_some(),
                Parameter::Verbosity => config.verbosity.is_some(),
                Parameter::Schema => config.structured,
                Parameter::StreamUsage => config.api == LlmApi::Chat,
                Parameter::Store => config.api == LlmApi::Responses,
            };
            configured && !self.refused[parameter as usize].load(Ordering::Relaxed)
        }))
    }

    /// Learns from a refusal of what was sent; `true` when another body is worth sending. Each
    /// parameter gives way once, so a request cannot go on for ever.
    pub fn learn(&self, sent: Sent, error: &ErrorBody) -> bool {
        let refused = Parameter::ALL.into_iter().find(|parameter| {
            sent.has(*parameter) && parameter.names().iter().any(|name| error.refuses(name))
        });
        if let Some(parameter) = refused {
            self.refuse(parameter, "the llm server does not take a parameter, it is left out from now on");
        }
        refused.is_some()
    }

    fn refuse(&self, parameter: Parameter, why: &'static str) {
        if !self.refused[parameter as usize].swap(true, Ordering::Relaxed) {
            tracing::warn!(parameter = parameter.names()[0], "{why}");
        }
    }
}
