//! A generated answer between the two steps of its check.

use super::{Checked, Draft, LlmError};
use crate::domain::{Answer, Removed};

/// What the model wrote, compared by words; what these leave open waits for vectors from another room.
pub struct Written {
    answer: Answer,
    /// `None`: there is nothing to check.
    draft: Option<Draft>,
}

impl Written {
    /// Fails when nothing of the text is left to show.
    pub(super) fn new(answer: Answer, draft: Draft) -> Result<Self, LlmError> {
        if draft.text().is_empty() {
            return Err(LlmError::Malformed { reason: "it has nothing but markers" });
        }
        let answer = Answer { text: draft.text().to_owned(), ..answer };
        Ok(Self { answer, draft: Some(draft) })
    }

    pub fn text(&self) -> &str {
        &self.answer.text
    }

    /// What to embed for [`Written::judged`]: sentence and quote in turn; often nothing.
    pub fn texts(&self) -> Vec<String> {
        self.draft.as_ref().map(Draft::texts).unwrap_or_default()
    }

    /// The answer with its verdicts. `cosines` has one value a pair of `texts`; `None`: words alone.
    pub fn judged(self, cosines: Option<&[f32]>) -> Answer {
        let Some(draft) = self.draft else { return self.answer };
        let Checked { text, grounding, support, dangling, neutralised, .. } = draft.judge(cosines);
        let removed = Removed { markers: dangling, links: neutralised };
        Answer { text, grounding, support, removed, ..self.answer }
    }
}

/// One that has no citations to check.
impl From<Answer> for Written {
    fn from(answer: Answer) -> Self {
        Self { answer, draft: None }
    }
}
