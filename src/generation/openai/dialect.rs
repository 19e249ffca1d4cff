//! Which parameters a server turned out not to take; learned from its refusals and remembered.

use std::sync::atomic::{AtomicBool, Ordering};

use super::error::ErrorBody;
use crate::config::LlmConfig;

/// What is known about one server. Shared by all requests to it.
#[derive(Debug, Default)]
pub(super) struct Dialect {
    /// The server knows only `max_tokens`, the name before reasoning models.
    old_tokens: AtomicBool,
    no_effort: AtomicBool,
    no_verbosity: AtomicBool,
}

/// Which of the optional parameters one request carries, if they are configured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    old_tokens: bool,
    pub effort: bool,
    pub verbosity: bool,
}

impl Sent {
    pub fn tokens_field(self) -> &'static str {
        if self.old_tokens { "max_tokens" } else { "max_completion_tokens" }
    }
}

impl Dialect {
    pub fn current(&self) -> Sent {
        Sent {
            old_tokens: self.old_tokens.load(Ordering::Relaxed),
            effort: !self.no_effort.load(Ordering::Relaxed),
            verbosity: !self.no_verbosity.load(Ordering::Relaxed),
        }
    }

    /// Learns from a refusal of what was sent; `true` when another body is worth sending. Each
    /// parameter gives way once, so a request cannot go on for ever.
    pub fn learn(&self, config: &LlmConfig, sent: Sent, error: &ErrorBody) -> bool {
        let rules = [
            (
                config.max_output_tokens.is_some() && !sent.old_tokens,
                "max_completion_tokens",
                &self.old_tokens,
            ),
            (config.reasoning_effort.is_some() && sent.effort, "reasoning_effort", &self.no_effort),
            (config.verbosity.is_some() && sent.verbosity, "verbosity", &self.no_verbosity),
        ];
        for (was_sent, parameter, refused) in rules {
            if was_sent && error.refuses(parameter) {
                if !refused.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        parameter,
                        "the llm server does not take a parameter, it is left out from now on"
                    );
                }
                return true;
            }
        }
        false
    }
}
