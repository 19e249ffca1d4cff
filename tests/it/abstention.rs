//! When the service says that it does not know, and in which language.

use std::{collections::BTreeMap, fs, path::Path};

use rag_api::generation::Language;

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Questions as short as people type them; what cannot be told may be taken for English, and for nothing else.
#[test]
fn the_language_of_short_questions_is_told() {
    let (mut told, mut wrong) = (BTreeMap::<String, (u32, u32)>::new(), Vec::new());
    for line in file("abstention/languages.tsv").lines().skip(1) {
        let (language, question) = line.split_once('\t').expect("two columns");
        let found = format!("{:?}", Language::of(question));
        let (right, all) = told.entry(language.to_owned()).or_default();
        *all += 1;
        *right += u32::from(found == language);
        if found != language {
            eprintln!("{question}: {found}");
            if found != "English" {
                wrong.push(format!("{question}: {found}"));
            }
        }
    }
    println!("{told:#?}");
    assert_eq!(told.len(), 10);
    assert_eq!(wrong, Vec::<String>::new());
    for (language, (right, all)) in told {
        assert!(all >= 20 && f64::from(right) / f64::from(all) >= 0.95, "{language}: {right} of {all}");
    }
}
