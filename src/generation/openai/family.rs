//! Which parameters a model takes, as far as its name tells.

/// A name that tells nothing, such as that of an Azure deployment, takes everything until the server says
/// otherwise; see [`super::dialect`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Family {
    pub temperature: bool,
    pub effort: bool,
    pub verbosity: bool,
}

/// As OpenAI's documentation has it in 2026: reasoning models take no temperature, those of GPT-5.1 and
/// later do where they are told not to reason; chat models know neither effort nor verbosity.
pub(super) fn family(model: &str, effort: Option<&str>) -> Family {
    let model = model.rsplit('/').next().unwrap_or(model).to_ascii_lowercase();
    let chat = Family { temperature: true, effort: false, verbosity: false };
    let o_series = model.strip_prefix('o').is_some_and(|rest| {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        (1..=2).contains(&digits) && rest[digits..].chars().next().is_none_or(|next| next == '-')
    });
    if o_series {
        return Family { temperature: false, effort: true, verbosity: false };
    }
    if let Some(version) = model.strip_prefix("gpt-5") {
        let reasons = effort != Some("none") || !version.starts_with('.');
        return match version {
            version if version.contains("chat") => chat,
            _ => Family { temperature: !reasons, effort: true, verbosity: true },
        };
    }
    if ["gpt-3", "gpt-4", "chatgpt-"].iter().any(|prefix| model.starts_with(prefix)) {
        return chat;
    }
    Family { temperature: true, effort: true, verbosity: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_families_of_2026_are_told_apart_and_other_names_take_everything() {
        let taken = |model: &str, effort: &str| {
            let Family { temperature, effort, verbosity } = family(model, Some(effort));
            (temperature, effort, verbosity)
        };
        for model in ["o1", "o3-mini", "o4-mini-2025-04-16", "openai/o3"] {
            assert_eq!(taken(model, "low"), (false, true, false), "{model}");
        }
        assert_eq!(taken("gpt-5-mini", "none"), (false, true, true));
        assert_eq!((taken("gpt-5.1", "low").0, taken("gpt-5.1", "none").0), (false, true));
        for model in ["gpt-4o-mini", "GPT-4.1", "gpt-3.5-turbo", "chatgpt-4o-latest", "gpt-5-chat-latest"] {
            assert_eq!(taken(model, "low"), (true, false, false), "{model}");
        }
        for model in ["llama-3.3-70b", "my-deployment", "olmo-2", "o", "", "qwen/qwen3", "o123"] {
            assert_eq!(taken(model, "low"), (true, true, true), "{model}");
        }
    }
}
