//! Filters over documents: what passes, and what is refused with which words.

use serde_json::{Value, json};

use super::{super::eval::Candidate, *};
use crate::emulator::definition;

fn index() -> Definition {
    let body = json!({"name": "ab", "fields": [
        {"name": "id", "type": "Edm.String", "key": true},
        {"name": "content", "type": "Edm.String", "filterable": false},
        {"name": "source", "type": "Edm.String"},
        {"name": "chunk", "type": "Edm.Int32"},
        {"name": "big", "type": "Edm.Int64"},
        {"name": "price", "type": "Edm.Double"},
        {"name": "open", "type": "Edm.Boolean"},
        {"name": "at", "type": "Edm.DateTimeOffset"},
        {"name": "tags", "type": "Collection(Edm.String)"},
        {"name": "pages", "type": "Collection(Edm.Int32)"}
    ]});
    definition::read(body.as_object().unwrap()).unwrap()
}

fn passes(filter: &str, document: &Value) -> bool {
    let filter = Resolver::filter(&index(), filter).unwrap_or_else(|error| panic!("{filter}: {}", error.0));
    filter.predicate.holds(&Candidate { document: document.as_object().unwrap(), number: 0, matches: &[] })
}

#[test]
fn documents_pass_or_do_not() {
    let document = json!({
        "id": "1", "source": "o'brien.md", "chunk": 5, "big": 9_007_199_254_740_993_i64, "price": 2.5, "open": true,
        "at": "2026-11-20T10:00:00Z", "tags": ["rag", "search"], "pages": [1, 2, 30]
    });
    let empty = json!({"id": "2", "tags": []});
    for (filter, full, none) in [
        ("source eq 'o''brien.md'", true, false),
        ("source eq 'O''Brien.md'", false, false),
        ("source ne 'x'", true, true),
        ("source eq null", false, true),
        ("source ne null", true, false),
        ("null eq source", false, true),
        ("source gt 'n'", true, false),
        ("source lt null", false, false),
        ("not (source lt null)", true, true),
        ("chunk ge 5 and chunk le 5", true, false),
        ("5 gt chunk", false, false),
        ("6 gt chunk", true, false),
        ("chunk eq 5.0", true, false),
        ("chunk lt 4 or price eq 2.5", true, false),
        ("chunk lt 4 and price eq 2.5 or open", true, false),
        ("big eq 9007199254740993", true, false),
        ("big eq 9007199254740992", false, false),
        ("price gt 2 and price lt 3", true, false),
        ("open", true, false),
        ("not open", false, true),
        ("open eq true", true, false),
        ("open ne true", false, true),
        ("not open eq false", true, false),
        ("not (open eq true)", false, true),
        ("at eq 2026-11-20T12:00:00+02:00", true, false),
        ("at ge 2026-11-20T10:00:00.001Z", false, false),
        ("at lt 2027-01-01T00:00:00Z", true, false),
        ("tags/any()", true, false),
        ("tags/any(t: t eq 'rag')", true, false),
        ("tags/any(t: t eq 'a' or search.in(t, 'b, rag'))", true, false),
        ("tags/all(t: t ne 'rag')", false, true),
        ("tags/all(t: t ne 'x' and not search.in(t, 'y z'))", true, true),
        ("not tags/any(t: t eq 'rag')", false, true),
        ("pages/any(p: p gt 10 and p lt 40)", true, false),
        ("pages/all(p: p lt 10)", false, true),
        ("search.in(source, 'a,o''brien.md', ',')", true, false),
        ("search.in(source, 'a|o''brien.md', '|')", true, false),
        ("search.in(source, 'a b')", false, false),
        ("true", true, true),
        ("false or not false", true, true),
    ] {
        assert_eq!((passes(filter, &document), passes(filter, &empty)), (full, none), "{filter}");
    }
}

#[test]
fn what_cannot_be_asked_is_refused() {
    for (filter, words) in [
        ("This is not a valid filter.", "Syntax error at position 7 in 'This is not a valid filter.'."),
        ("url eq 'x'", "Could not find a property named 'url' on type 'search.document'."),
        ("a/b eq 'x'", "Could not find a property named 'a/b' on type 'search.document'."),
        ("content eq 'x'", "'content' is not a filterable field."),
        ("chunk eq 'x'", "Found operand types 'Edm.Int32' and 'Edm.String' for operator kind 'Equal'."),
        ("source eq 5", "Found operand types 'Edm.String' and 'Edm.Int32'"),
        ("at eq '2026-11-20T10:00:00Z'", "incompatible types"),
        ("open gt true", "incompatible types"),
        ("source", "single boolean value"),
        ("chunk eq big", "Comparison must be between"),
        ("tags eq 'x'", "Use any or all"),
        ("source/any(t: t eq 'x')", "following a collection"),
        ("tags/any(t: source eq 'x')", "range variable"),
        ("tags/any(t: tags/any(u: u eq t))", "can be used"),
        ("tags/any(t: t ne 'x')", "In 'any' over"),
        ("tags/all(t: t eq 'x')", "In 'all' over"),
        ("tags/any(t: t eq 'x' and t eq 'y')", "In 'any' over"),
        ("pages/any(p: pages/any(q: q eq 1))", "Nested lambda"),
        ("search.in(chunk, '1,2')", "Edm.String"),
        ("search.in(source)", "takes a field"),
        ("search.in(source, 'a', '')", "takes a field"),
        ("search.ismatchscoring('x')", "is not emulated"),
        ("geo.distance(source, 'x') lt 5", "is not emulated"),
        ("contains(source, 'x')", "cannot be used here"),
        ("search.ismatch('x', 'chunk')", "searchable"),
        ("search.ismatch('x', 'content', 'full', 'any')", "is not emulated"),
        ("search.ismatch()", "one, two or four"),
    ] {
        let error = Resolver::filter(&index(), filter).unwrap_err().0;
        assert!(error.contains(words), "{filter}: {error}");
    }
}

#[test]
fn text_queries_of_a_filter_are_kept_apart() {
    let filter = Resolver::filter(
        &index(),
        "search.ismatch('a', 'content') or search.ismatch('b', null, 'simple', 'all')",
    )
    .unwrap();
    assert_eq!(filter.predicate, Predicate::Any(vec![Predicate::Matches(0), Predicate::Matches(1)]));
    assert_eq!(filter.queries.len(), 2);
}

proptest::proptest! {
    #[test]
    fn no_filter_panics(
        words in proptest::collection::vec(
            proptest::sample::select(vec![
                "source", "chunk", "open", "tags", "pages", "at", "eq", "ne", "lt", "and", "or", "not", "(", ")",
                "'x'", "1", "2.5", "null", "true", "2026-01-01T00:00:00Z", "/any(t:", "/all(t:", "t", ",",
                "search.in(", "search.ismatch(",
            ]),
            0..25,
        )
    ) {
        if let Ok(filter) = Resolver::filter(&index(), &words.join(" ")) {
            let document = json!({"source": "x", "chunk": 1, "tags": ["x"], "pages": [1]});
            filter.predicate.holds(&Candidate { document: document.as_object().unwrap(), number: 0, matches: &[] });
        }
    }
}
