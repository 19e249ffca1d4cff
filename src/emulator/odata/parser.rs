//! Tokens of a filter to a tree, with bounds on its depth and size.

use super::{
    SyntaxError,
    lexer::{Kind, Literal, Token, tokens},
};

/// Parentheses, negations and lambdas inside of each other. The tree is walked by recursion.
const MAX_DEPTH: usize = 100;
/// Comparisons and calls, as the service bounds the clauses of a query.
const MAX_CLAUSES: usize = 3_000;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expr {
    Or(Vec<Expr>),
    And(Vec<Expr>),
    Not(Box<Expr>),
    Compare {
        operator: Operator,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    Literal(Literal),
    /// A field, a range variable, or a path that this program has no fields for.
    Path(Vec<String>),
    Call {
        name: String,
        arguments: Vec<Expr>,
    },
    Lambda {
        path: Vec<String>,
        every: bool,
        body: Option<(String, Box<Expr>)>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::emulator) enum Operator {
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
}

impl Operator {
    pub(super) fn type_name(self) -> &'static str {
        match self {
            Self::Eq => "Equal",
            Self::Ne => "NotEqual",
            Self::Gt => "GreaterThan",
            Self::Ge => "GreaterThanOrEqual",
            Self::Lt => "LessThan",
            Self::Le => "LessThanOrEqual",
        }
    }

    /// The operator that says the same with its sides exchanged.
    pub(super) fn flipped(self) -> Self {
        match self {
            Self::Gt => Self::Lt,
            Self::Ge => Self::Le,
            Self::Lt => Self::Gt,
            Self::Le => Self::Ge,
            same => same,
        }
    }
}

pub(super) fn parse(text: &str) -> Result<Expr, SyntaxError> {
    let mut parser = Parser { text, tokens: tokens(text)?, next: 0, depth: 0, clauses: 0 };
    let expr = parser.or()?;
    parser.expect(&Kind::End)?;
    Ok(expr)
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
    clauses: usize,
}

impl Parser<'_> {
    fn or(&mut self) -> Result<Expr, SyntaxError> {
        self.chain("or", Self::and, Expr::Or)
    }

    fn and(&mut self) -> Result<Expr, SyntaxError> {
        self.chain("and", Self::comparison, Expr::And)
    }

    /// A chain is one flat list however long it is, so that its length costs no depth.
    fn chain(
        &mut self,
        word: &str,
        part: fn(&mut Self) -> Result<Expr, SyntaxError>,
        join: fn(Vec<Expr>) -> Expr,
    ) -> Result<Expr, SyntaxError> {
        let first = part(self)?;
        let mut parts = vec![first];
        while self.take_word(word) {
            parts.push(part(self)?);
        }
        Ok(if parts.len() == 1 { parts.swap_remove(0) } else { join(parts) })
    }

    fn comparison(&mut self) -> Result<Expr, SyntaxError> {
        self.clauses += 1;
        if self.clauses > MAX_CLAUSES {
            return Err(SyntaxError(format!(
                "The expression has too many clauses; at most {MAX_CLAUSES} are allowed. Use search.in for \
                 long lists of values."
            )));
        }
        let left = self.unary()?;
        let operator = match self.peek() {
            Kind::Word(word) => match word.as_str() {
                "eq" => Operator::Eq,
                "ne" => Operator::Ne,
                "gt" => Operator::Gt,
                "ge" => Operator::Ge,
                "lt" => Operator::Lt,
                "le" => Operator::Le,
                _ => return Ok(left),
            },
            _ => return Ok(left),
        };
        self.next += 1;
        let right = self.unary()?;
        Ok(Expr::Compare { operator, left: Box::new(left), right: Box::new(right) })
    }

    /// `not` binds tighter than a comparison.
    fn unary(&mut self) -> Result<Expr, SyntaxError> {
        if self.take_word("not") {
            let inner = self.deeper(Self::unary)?;
            return Ok(Expr::Not(Box::new(inner)));
        }
        self.primary()
    }

    fn primary(&mut self) -> Result<Expr, SyntaxError> {
        match self.peek().clone() {
            Kind::Open => {
                self.next += 1;
                let inner = self.deeper(Self::or)?;
                self.expect(&Kind::Close)?;
                Ok(inner)
            }
            Kind::Literal(literal) => {
                self.next += 1;
                Ok(Expr::Literal(literal))
            }
            Kind::Word(word) => {
                self.next += 1;
                if *self.peek() == Kind::Open {
                    return self.call(word);
                }
                self.path(word)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn call(&mut self, name: String) -> Result<Expr, SyntaxError> {
        self.expect(&Kind::Open)?;
        let mut arguments = Vec::new();
        if *self.peek() != Kind::Close {
            loop {
                arguments.push(self.deeper(Self::primary)?);
                if *self.peek() != Kind::Comma {
                    break;
                }
                self.next += 1;
            }
        }
        self.expect(&Kind::Close)?;
        Ok(Expr::Call { name, arguments })
    }

    fn path(&mut self, first: String) -> Result<Expr, SyntaxError> {
        let mut path = vec![first];
        while *self.peek() == Kind::Slash {
            self.next += 1;
            let Kind::Word(word) = self.peek().clone() else { return Err(self.unexpected()) };
            self.next += 1;
            if matches!(word.as_str(), "any" | "all") && *self.peek() == Kind::Open {
                return self.lambda(path, word == "all");
            }
            path.push(word);
        }
        Ok(Expr::Path(path))
    }

    fn lambda(&mut self, path: Vec<String>, every: bool) -> Result<Expr, SyntaxError> {
        self.expect(&Kind::Open)?;
        if !every && *self.peek() == Kind::Close {
            self.next += 1;
            return Ok(Expr::Lambda { path, every, body: None });
        }
        let Kind::Word(variable) = self.peek().clone() else { return Err(self.unexpected()) };
        self.next += 1;
        self.expect(&Kind::Colon)?;
        let body = self.deeper(Self::or)?;
        self.expect(&Kind::Close)?;
        Ok(Expr::Lambda { path, every, body: Some((variable, Box::new(body))) })
    }

    fn deeper(&mut self, part: fn(&mut Self) -> Result<Expr, SyntaxError>) -> Result<Expr, SyntaxError> {
        if self.depth == MAX_DEPTH {
            return Err(SyntaxError(format!(
                "The expression is nested too deeply; at most {MAX_DEPTH} levels are allowed."
            )));
        }
        self.depth += 1;
        let expr = part(self);
        self.depth -= 1;
        expr
    }

    fn peek(&self) -> &Kind {
        self.tokens.get(self.next).map_or(&Kind::End, |token| &token.kind)
    }

    fn take_word(&mut self, word: &str) -> bool {
        let here = matches!(self.peek(), Kind::Word(found) if found == word);
        self.next += usize::from(here);
        here
    }

    fn expect(&mut self, kind: &Kind) -> Result<(), SyntaxError> {
        if self.peek() != kind {
            return Err(self.unexpected());
        }
        self.next += 1;
        Ok(())
    }

    fn unexpected(&self) -> SyntaxError {
        let end = self.tokens.get(self.next).map_or(self.text.len(), |token| token.end);
        SyntaxError::at(self.text, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(expr: &Expr) -> String {
        let join = |parts: &[Expr], word: &str| {
            format!("({})", parts.iter().map(shape).collect::<Vec<_>>().join(&format!(" {word} ")))
        };
        match expr {
            Expr::Or(parts) => join(parts, "or"),
            Expr::And(parts) => join(parts, "and"),
            Expr::Not(inner) => format!("!{}", shape(inner)),
            Expr::Compare { operator, left, right } => {
                format!("[{} {operator:?} {}]", shape(left), shape(right))
            }
            Expr::Literal(Literal::Text(text)) => format!("'{text}'"),
            Expr::Literal(Literal::Int(value)) => value.to_string(),
            Expr::Literal(other) => format!("{other:?}"),
            Expr::Path(path) => path.join("/"),
            Expr::Call { name, arguments } => {
                format!("{name}({})", arguments.iter().map(shape).collect::<Vec<_>>().join(","))
            }
            Expr::Lambda { path, every, body } => format!(
                "{}.{}({})",
                path.join("/"),
                if *every { "all" } else { "any" },
                body.as_ref().map_or(String::new(), |(name, body)| format!("{name}: {}", shape(body)))
            ),
        }
    }

    #[test]
    fn precedence_is_not_then_comparison_then_and_then_or() {
        for (text, tree) in [
            ("a eq 1 or b eq 2 and c eq 3", "([a Eq 1] or ([b Eq 2] and [c Eq 3]))"),
            ("(a eq 1 or b eq 2) and c eq 3", "(([a Eq 1] or [b Eq 2]) and [c Eq 3])"),
            ("not a eq 1", "[!a Eq 1]"),
            ("not (a eq 1) and b", "(![a Eq 1] and b)"),
            ("not not a", "!!a"),
            ("tags/any(t: t eq 'x')", "tags.any(t: [t Eq 'x'])"),
            ("tags/any()", "tags.any()"),
            ("tags/all(t: t ne 'x' and t ne 'y')", "tags.all(t: ([t Ne 'x'] and [t Ne 'y']))"),
            ("search.in(a, 'x,y', ',')", "search.in(a,'x,y',',')"),
            ("a/b/c lt 5", "[a/b/c Lt 5]"),
            ("5 gt a", "[5 Gt a]"),
        ] {
            assert_eq!(shape(&parse(text).unwrap()), tree, "{text}");
        }
    }

    /// The first is the recorded one; the rest follow the same rule: the end of the token that is wrong.
    #[test]
    fn errors_name_the_place_the_service_names() {
        for (text, position) in [
            ("This is not a valid filter.", 7),
            ("a eq", 4),
            ("a eq 1 and", 10),
            ("(a eq 1", 7),
            ("a eq 1)", 7),
            ("", 0),
            ("a eq 1 b", 8),
            ("tags/any(t t eq 1)", 12),
            ("tags/all()", 10),
            ("tags/5", 6),
            ("search.in(a,)", 13),
        ] {
            assert_eq!(
                parse(text).unwrap_err().0,
                format!("Syntax error at position {position} in '{text}'."),
            );
        }
    }

    #[test]
    fn depth_and_length_are_bounded() {
        for hostile in ["(", "not ", "a/any(x: ", "f("] {
            let text = hostile.repeat(100_000);
            let SyntaxError(message) = parse(&text).unwrap_err();
            assert!(message.contains("nested too deeply"), "{hostile}: {message}");
        }
        let long = vec!["a eq 1"; 3_001].join(" or ");
        assert!(parse(&long).unwrap_err().0.contains("search.in"));
        assert!(parse(&vec!["a eq 1"; 3_000].join(" or ")).is_ok());
        assert!(parse(&format!("{}a{}", "(".repeat(90), ")".repeat(90))).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,60}") {
            let _ = parse(&text);
        }

        #[test]
        fn no_sequence_of_words_panics(
            words in proptest::collection::vec(
                proptest::sample::select(vec![
                    "a", "eq", "ne", "and", "or", "not", "(", ")", "'x'", "1", "-", "/", "any", "all", ":",
                    ",", "search.in", "null", "2026-01-01T00:00:00Z", "t", "'",
                ]),
                0..40,
            )
        ) {
            let _ = parse(&words.join(" "));
            let _ = parse(&words.concat());
        }
    }
}
