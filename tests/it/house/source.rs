//! Reads Rust source just well enough to see who imports whom: tokens, modules, first path segments.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// One source file, as text and as tokens.
pub struct Source {
    /// Relative to the package, with `/` separators: `src/http/query.rs`.
    pub path: String,
    pub text: String,
    tokens: Vec<Token>,
}

/// A word or a sign, with the modules around it.
struct Token {
    text: String,
    line: usize,
    /// From the crate root: `["http", "query", "tests"]`.
    module: Vec<String>,
}

/// The first segments of a path that leaves the file: a room of ours or a crate of others.
#[derive(Debug, PartialEq, Eq)]
pub struct Import {
    pub line: usize,
    /// For `crate::` and `super::` paths that reach the crate root: the room. Else a possible crate.
    pub name: String,
    pub ours: bool,
    /// Inside a module called `tests`: not shipped.
    pub in_tests: bool,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let tokens = with_modules(tokenize(text), &module_of(path));
        Self { path: path.to_owned(), text: text.to_owned(), tokens }
    }

    /// Every Rust file below the folders of the package.
    pub fn all(folders: &[&str]) -> Vec<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut paths = Vec::new();
        folders.iter().for_each(|folder| collect(&root.join(folder), &mut paths));
        paths.sort();
        paths
            .iter()
            .map(|path| {
                let relative = path.strip_prefix(root).unwrap().to_str().unwrap();
                Self::new(&relative.replace('\\', "/"), &fs::read_to_string(path).unwrap())
            })
            .collect()
    }

    /// `src/http/query.rs` and `src/http/mod.rs` are in `http`; `src/rag.rs` is in `rag`.
    pub fn room(&self) -> &str {
        let inside = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        inside.split('/').next().unwrap_or(inside)
    }

    /// Whether the file is one of `places`: `retrieval/local` is that folder, `app` is `src/app.rs` or `src/app/`.
    pub fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| {
            self.path == format!("src/{place}.rs") || self.path.starts_with(&format!("src/{place}/"))
        })
    }

    pub fn imports(&self) -> Vec<Import> {
        let text = |at: usize| self.tokens.get(at).map_or("", |token| token.text.as_str());
        let mut imports = Vec::new();
        for (at, token) in self.tokens.iter().enumerate() {
            let before = at.checked_sub(1).map_or("", text);
            if before == "::" || before == "." || !is_word(&token.text) {
                continue;
            }
            let follows = text(at + 1) == "::";
            let import = |name: &str, ours: bool| Import {
                line: token.line,
                name: name.to_owned(),
                ours,
                in_tests: token.module.iter().any(|name| name == "tests"),
            };
            match token.text.as_str() {
                "crate" if follows => {
                    imports.extend(self.heads(at + 2).iter().map(|name| import(name, true)));
                }
                "super" if follows => {
                    let mut next = at + 2;
                    let mut depth = token.module.len().saturating_sub(1);
                    while text(next) == "super" && text(next + 1) == "::" {
                        (next, depth) = (next + 2, depth.saturating_sub(1));
                    }
                    if depth == 0 {
                        imports.extend(self.heads(next).iter().map(|name| import(name, true)));
                    }
                }
                "self" => {}
                name if follows || before == "use" => imports.push(import(name, false)),
                _ => {}
            }
        }
        imports
    }

    /// Lines of words, as `unsafe`, or of macro calls, as `println!`; outside modules called `tests`.
    pub fn lines_with(&self, wanted: &str) -> Vec<usize> {
        let (word, call) = wanted.strip_suffix('!').map_or((wanted, false), |word| (word, true));
        let next = |at: usize| self.tokens.get(at + 1).map_or("", |token| token.text.as_str());
        self.tokens
            .iter()
            .enumerate()
            .filter(|(at, token)| token.text == word && (!call || next(*at) == "!"))
            .filter(|(_, token)| !token.module.iter().any(|name| name == "tests"))
            .map(|(_, token)| token.line)
            .collect()
    }

    /// Lines of `allow(…)` attributes without `reason = …`.
    pub fn unexplained_exceptions(&self) -> Vec<usize> {
        let text = |at: usize| self.tokens.get(at).map_or("", |token| token.text.as_str());
        (1..self.tokens.len())
            .filter(|&at| text(at) == "allow" && text(at + 1) == "(" && matches!(text(at - 1), "[" | ","))
            .filter(|&at| {
                let end = (at..self.tokens.len()).find(|&end| text(end) == ")").unwrap_or(at);
                !(at..end).any(|inside| text(inside) == "reason")
            })
            .map(|at| self.tokens[at].line)
            .collect()
    }

    /// The names a path or a `{…}` group of paths begins with.
    fn heads(&self, at: usize) -> Vec<String> {
        let text = |at: usize| self.tokens.get(at).map_or("", |token| token.text.as_str());
        if text(at) != "{" {
            return vec![text(at).to_owned()];
        }
        let (mut heads, mut depth) = (Vec::new(), 0);
        for here in at..self.tokens.len() {
            match text(here) {
                "{" => depth += 1,
                "}" if depth == 1 => break,
                "}" => depth -= 1,
                name if depth == 1 && matches!(text(here - 1), "{" | ",") => heads.push(name.to_owned()),
                _ => {}
            }
        }
        heads
    }
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

fn module_of(path: &str) -> Vec<String> {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
    let mut module: Vec<_> = inside.split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|name| ["mod", "lib", "main"].contains(&name.as_str())) {
        module.pop();
    }
    module
}

fn with_modules(words: Vec<(String, usize)>, file: &[String]) -> Vec<Token> {
    let mut module = file.to_vec();
    // For each open brace: whether it opened a module.
    let mut braces = Vec::new();
    let mut tokens: Vec<Token> = Vec::with_capacity(words.len());
    for (text, line) in words {
        let before = |back: usize| tokens.len().checked_sub(back).map_or("", |at| tokens[at].text.as_str());
        match text.as_str() {
            "{" => {
                let opens = before(2) == "mod";
                if opens {
                    module.push(before(1).to_owned());
                }
                braces.push(opens);
            }
            "}" if braces.pop() == Some(true) => {
                module.pop();
            }
            _ => {}
        }
        tokens.push(Token { text, line, module: module.clone() });
    }
    tokens
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Words, `::` and single signs with their lines; comments and literals are dropped.
fn tokenize(text: &str) -> Vec<(String, usize)> {
    let chars: Vec<char> = text.chars().collect();
    let (mut tokens, mut at, mut line) = (Vec::new(), 0, 1);
    while at < chars.len() {
        let rest = &chars[at..];
        let length = match rest {
            ['/', '/', ..] => rest.iter().position(|&c| c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => comment(rest),
            ['"', ..] => string(rest),
            ['b' | 'c', '"', ..] => 1 + string(&rest[1..]),
            ['r', '"' | '#', ..] if raw(rest, 1).is_some() => raw(rest, 1).unwrap(),
            ['b' | 'c', 'r', '"' | '#', ..] if raw(rest, 2).is_some() => raw(rest, 2).unwrap(),
            ['\'', '\\', ..] => 3 + rest[3..].iter().position(|&c| c == '\'').unwrap_or(0),
            ['\'', _, '\'', ..] => 3,
            [c, ..] if c.is_alphanumeric() || *c == '_' => {
                let end = rest.iter().position(|c| !(c.is_alphanumeric() || *c == '_')).unwrap_or(rest.len());
                tokens.push((rest[..end].iter().collect(), line));
                end
            }
            [':', ':', ..] => {
                tokens.push(("::".to_owned(), line));
                2
            }
            [c, ..] => {
                if !c.is_whitespace() {
                    tokens.push((c.to_string(), line));
                }
                1
            }
            [] => break,
        };
        let length = length.clamp(1, rest.len());
        line += rest[..length].iter().filter(|&&c| c == '\n').count();
        at += length;
    }
    tokens
}

fn comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != '"' {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// Length of a raw string whose `#` and `"` begin at `from`; `None` for a raw identifier.
fn raw(rest: &[char], from: usize) -> Option<usize> {
    let hashes = rest[from..].iter().take_while(|&&c| c == '#').count();
    let open = from + hashes;
    (rest.get(open) == Some(&'"')).then(|| {
        let closes =
            |at: usize| rest[at] == '"' && rest[at + 1..].iter().take_while(|&&c| c == '#').count() >= hashes;
        (open + 1..rest.len()).find(|&at| closes(at)).map_or(rest.len(), |at| at + 1 + hashes)
    })
}
