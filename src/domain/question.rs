//! What a caller asks for, checked once at the edge.

use std::fmt;

/// What is wrong with a caller's input, in words for the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidInput {
    pub field: &'static str,
    pub reason: String,
}

impl InvalidInput {
    fn new(field: &'static str, reason: impl Into<String>) -> Self {
        Self { field, reason: reason.into() }
    }
}

impl fmt::Display for InvalidInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.reason)
    }
}

impl std::error::Error for InvalidInput {}

/// 1 to 4,000 characters after trimming. Its `Debug` hides the text: questions are not logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Question(String);

impl Question {
    pub const MAX_CHARS: usize = 4_000;

    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        let text = text.trim();
        let chars = text.chars().count();
        if chars == 0 {
            return Err(InvalidInput::new("question", "must not be empty"));
        }
        if chars > Self::MAX_CHARS {
            return Err(InvalidInput::new(
                "question",
                format!("has {chars} characters, at most {} are allowed", Self::MAX_CHARS),
            ));
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Question({} characters)", self.0.chars().count())
    }
}

/// How many passages to return: 1 to 50, default 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopK(usize);

impl TopK {
    pub const MAX: usize = 50;

    pub fn parse(value: u64) -> Result<Self, InvalidInput> {
        match usize::try_from(value) {
            Ok(k) if (1..=Self::MAX).contains(&k) => Ok(Self(k)),
            _ => Err(InvalidInput::new("top_k", format!("must be 1 to {}", Self::MAX))),
        }
    }

    pub fn get(self) -> usize {
        self.0
    }
}

impl Default for TopK {
    fn default() -> Self {
        Self(3)
    }
}

/// Which lists are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SearchMode {
    #[default]
    Hybrid,
    Vector,
    Keyword,
}

impl SearchMode {
    pub const ALL: [Self; 3] = [Self::Keyword, Self::Vector, Self::Hybrid];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hybrid => "hybrid",
            Self::Vector => "vector",
            Self::Keyword => "keyword",
        }
    }
}

impl std::str::FromStr for SearchMode {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.as_str() == text)
            .ok_or_else(|| InvalidInput::new("mode", "must be hybrid, vector or keyword"))
    }
}

/// Weight of the vector list in the fusion, 0 to 10; 1 counts both lists alike.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VectorWeight(f32);

impl VectorWeight {
    pub fn parse(value: f64) -> Result<Self, InvalidInput> {
        if (0.0..=10.0).contains(&value) {
            Ok(Self(value as f32))
        } else {
            Err(InvalidInput::new("vector_weight", "must be 0 to 10"))
        }
    }

    pub fn get(self) -> f32 {
        self.0
    }
}

/// Inclusive range of page numbers; an absent end is open. Sources without pages never match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRange {
    pub min: Option<u32>,
    pub max: Option<u32>,
}

/// Values of one field are alternatives, fields are joined by "and". An empty list does not restrict.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub source: Vec<String>,
    pub tags: Vec<String>,
    pub language: Vec<String>,
    pub page_number: Option<PageRange>,
}

impl Filter {
    /// Values a filter may hold in all, so that a request cannot build a query of any size.
    pub const MAX_VALUES: usize = 100;
    const MAX_VALUE_CHARS: usize = 1_000;

    /// Checks the bounds that the fields alone cannot express.
    pub fn checked(self) -> Result<Self, InvalidInput> {
        let lists = [&self.source, &self.tags, &self.language];
        if lists.iter().map(|list| list.len()).sum::<usize>() > Self::MAX_VALUES {
            return Err(InvalidInput::new("filter", format!("holds more than {} values", Self::MAX_VALUES)));
        }
        if lists.into_iter().flatten().any(|value| value.chars().count() > Self::MAX_VALUE_CHARS) {
            return Err(InvalidInput::new(
                "filter",
                format!("holds a value of more than {} characters", Self::MAX_VALUE_CHARS),
            ));
        }
        if let Some(PageRange { min: Some(min), max: Some(max) }) = self.page_number
            && min > max
        {
            return Err(InvalidInput::new("filter.page_number", "has min above max"));
        }
        Ok(self)
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Who spoke in an earlier turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    User,
    Assistant,
}

/// One earlier turn of the conversation.
#[derive(Clone, PartialEq, Eq)]
pub struct Turn {
    pub role: Role,
    pub content: String,
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Turn({:?}, {} characters)", self.role, self.content.chars().count())
    }
}

/// Earlier turns, oldest first: at most 20, 20,000 characters in all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History(Vec<Turn>);

impl History {
    pub const MAX_TURNS: usize = 20;
    pub const MAX_CHARS: usize = 20_000;

    pub fn parse(turns: Vec<Turn>) -> Result<Self, InvalidInput> {
        if turns.len() > Self::MAX_TURNS {
            return Err(InvalidInput::new(
                "history",
                format!("has {} turns, at most {} are allowed", turns.len(), Self::MAX_TURNS),
            ));
        }
        let chars: usize = turns.iter().map(|turn| turn.content.chars().count()).sum();
        if chars > Self::MAX_CHARS {
            return Err(InvalidInput::new(
                "history",
                format!("has {chars} characters, at most {} are allowed", Self::MAX_CHARS),
            ));
        }
        Ok(Self(turns))
    }

    /// The latest turns that fit, of a conversation of any length.
    pub fn recent(mut turns: Vec<Turn>) -> Result<Self, InvalidInput> {
        let mut left = Self::MAX_CHARS;
        let fitting = turns.iter().rev().take(Self::MAX_TURNS).take_while(|turn| {
            let chars = turn.content.chars().count();
            let fits = chars <= left;
            left = left.saturating_sub(chars);
            fits
        });
        let fitting = fitting.count();
        Self::parse(turns.split_off(turns.len() - fitting))
    }

    pub fn turns(&self) -> &[Turn] {
        &self.0
    }
}

/// What one caller wants of the model, over what is configured.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sampling {
    pub max_output_tokens: Option<u32>,
    /// 0 to 2.
    pub temperature: Option<f32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_trimmed_and_bounded_in_characters_not_bytes() {
        assert_eq!(Question::parse("  why?\n").unwrap().as_str(), "why?");
        assert!(Question::parse(" \n\t").is_err());
        assert!(Question::parse(&"あ".repeat(4_000)).is_ok());
        assert!(Question::parse(&"あ".repeat(4_001)).is_err());
    }

    #[test]
    fn of_a_long_conversation_the_latest_turns_are_kept() {
        let turn = |content: String| Turn { role: Role::User, content };
        let kept = |turns: Vec<Turn>| History::recent(turns).unwrap().turns().len();
        assert_eq!(kept((0..50).map(|i| turn(i.to_string())).collect()), History::MAX_TURNS);
        let long = || turn("x".repeat(History::MAX_CHARS / 2));
        assert_eq!(kept(vec![turn("x".into()), long(), long(), turn(String::new())]), 3);
        assert_eq!(kept(vec![turn("x".repeat(History::MAX_CHARS + 1))]), 0);
    }

    #[test]
    fn a_question_does_not_print_itself() {
        assert!(!format!("{:?}", Question::parse("secret plan").unwrap()).contains("secret"));
    }

    #[test]
    fn bounds_hold_at_both_ends() {
        assert!(TopK::parse(0).is_err() && TopK::parse(51).is_err());
        assert!(TopK::parse(1).is_ok() && TopK::parse(50).is_ok());
        assert!(VectorWeight::parse(f64::NAN).is_err() && VectorWeight::parse(-0.1).is_err());
        assert!(VectorWeight::parse(10.0).is_ok());
        let upside_down = PageRange { min: Some(2), max: Some(1) };
        assert!(Filter { page_number: Some(upside_down), ..Filter::default() }.checked().is_err());
    }
}
