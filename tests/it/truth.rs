//! What is written in several places is the same in all: port, user, routes, variables, release values, translations.

use std::{collections::BTreeSet, fs, path::Path};

use rag_api::config::{Config, EnvReader};

/// What platforms and tools read beside the program, and never the program itself.
const OF_OTHERS: [&str; 10] = [
    "CARGO_HOME",
    "DD_API_KEY",
    "DD_APM_ENABLED",
    "DD_APM_NON_LOCAL_TRAFFIC",
    "DD_AZURE_RESOURCE_GROUP",
    "DD_AZURE_SUBSCRIPTION_ID",
    "DD_HOSTNAME",
    "DD_LOGS_ENABLED",
    "DD_SITE",
    "LLAMA_ARG_MODEL",
];

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// What follows each occurrence of `mark`, as far as `wanted` goes; there must be one.
fn behind(file: &str, mark: &str, wanted: impl Fn(char) -> bool) -> Vec<String> {
    let text = read(file);
    let found: Vec<String> =
        text.split(mark).skip(1).map(|rest| rest.chars().take_while(|c| wanted(*c)).collect()).collect();
    assert!(!found.is_empty(), "{file} has no {mark:?} any more: correct the test");
    found
}

fn defaults() -> Config {
    Config::read(EnvReader::from_pairs([])).unwrap()
}

#[test]
fn the_port_is_the_same_everywhere() {
    let port = defaults().server.port.to_string();
    for (file, mark) in [
        ("Dockerfile", "EXPOSE "),
        ("Dockerfile", " PORT="),
        ("compose.yaml", "PORT: \""),
        ("compose.yaml", "PORT:-8000}:"),
        ("terraform/modules/workload/settings.tf", "port             = "),
        ("charts/rag-api/templates/deployment.yaml", "containerPort: "),
        ("charts/rag-api/templates/networkpolicy.yaml", "protocol: TCP, port: 8"),
        (".env.example", "\nPORT="),
        ("README.md", "localhost:"),
    ] {
        for found in behind(file, mark, |c| c.is_ascii_digit()) {
            let found = if mark.ends_with('8') { format!("8{found}") } else { found };
            // Other programs of the README listen elsewhere.
            let other = file == "README.md" && ["8080", "4318", "8126"].contains(&found.as_str());
            assert!(found == port || other, "{file}: {mark}{found}, but the port is {port}");
        }
    }
}

#[test]
fn image_chart_and_compose_run_as_one_user() {
    let user = behind("Dockerfile", "--chown=", |c| c.is_ascii_digit()).remove(0);
    assert!(user.parse::<u32>().unwrap() >= 10_000);
    assert!(behind("Dockerfile", "USER ", |c| c.is_ascii_digit()).contains(&user));
    for mark in ["runAsUser: ", "runAsGroup: ", "fsGroup: "] {
        assert_eq!(behind("charts/rag-api/values.yaml", mark, |c| c.is_ascii_digit()), [user.as_str()]);
    }
}

/// The routes of the server, from where they are mounted.
fn routes() -> BTreeSet<String> {
    ["src/http/mod.rs", "src/http/openai/mod.rs"]
        .iter()
        .flat_map(|file| behind(file, ".route(\"", |c| c != '"'))
        .collect()
}

#[test]
fn every_path_that_is_probed_or_scraped_is_a_route() {
    let routes = routes();
    for (file, mark) in [
        ("terraform/modules/workload/app.tf", "path                    = \""),
        ("charts/rag-api/templates/deployment.yaml", "httpGet: {path: "),
        ("charts/rag-api/templates/servicemonitor.yaml", "path: "),
        ("compose.yaml", "localhost:8000"),
        ("charts/rag-api/templates/NOTES.txt", "curl localhost:8000"),
        ("README.md", "localhost:8000"),
    ] {
        let path = |c: char| c.is_ascii_alphanumeric() || c == '/' || c == '_';
        for found in behind(file, mark, path) {
            // A base address is the beginning of routes.
            let base = found.is_empty() || routes.iter().any(|route| route.starts_with(&format!("{found}/")));
            assert!(base || routes.contains(&found), "{file} asks for {found}, which is no route");
        }
    }
}

#[test]
fn every_variable_that_is_set_is_read() {
    let mut known: BTreeSet<&str> = Config::variable_names().into_iter().collect();
    known.extend(OF_OTHERS);
    for file in ["Dockerfile", "compose.yaml", "terraform/modules/workload/settings.tf"] {
        let text = read(file);
        let set = text.lines().filter_map(|line| {
            let line = line.trim_start().trim_start_matches("ENV ").trim_start_matches("- ");
            let name: String = line
                .chars()
                .take_while(|c| c.is_ascii_uppercase() || *c == '_' || c.is_ascii_digit())
                .collect();
            let rest = line[name.len()..].trim_start();
            let sets = rest.starts_with('=') || (rest.starts_with(':') && file.ends_with(".yaml"));
            (sets && name.contains('_')).then_some(name)
        });
        let set: BTreeSet<String> = set.collect();
        assert!(set.len() >= 3, "{file}: {set:?}");
        for name in set {
            assert!(known.contains(name.as_str()), "{file} sets {name}, which nobody reads");
        }
    }
}

#[test]
fn every_place_that_releases_names_the_three_values_of_a_release() {
    for file in [
        "Dockerfile",
        "compose.yaml",
        "scripts/image/build.sh",
        "scripts/deploy_canary.sh",
        "scripts/deploy_blue_green.sh",
        "terraform/modules/workload/settings.tf",
    ] {
        // The two rollouts share a file that does it.
        let text = read(file)
            + &if file.starts_with("scripts/deploy_") {
                read("scripts/deploy/azure.sh")
            } else {
                String::new()
            };
        for name in ["APP_VERSION", "BUILD_SHA", "IMAGE_TAG"] {
            assert!(text.contains(name), "{file} does not name {name}");
        }
    }
}

#[test]
fn platforms_wait_longer_than_the_server_drains() {
    let grace = defaults().server.shutdown_grace.as_secs().to_string();
    assert_eq!(
        behind("terraform/modules/workload/settings.tf", "shutdown_seconds = ", |c| c.is_ascii_digit()),
        [grace.as_str()]
    );
    assert_eq!(
        behind("charts/rag-api/values.yaml", "shutdownGraceSeconds: ", |c| c.is_ascii_digit()),
        [grace.as_str()]
    );
}

#[test]
fn the_image_has_one_name() {
    for (file, mark) in [("service.datadog.yaml", "name: "), ("charts/rag-api/Chart.yaml", "name: ")] {
        let names = behind(file, mark, |c| c.is_ascii_alphanumeric() || c == '-');
        assert!(names.contains(&env!("CARGO_PKG_NAME").to_owned()), "{file}: {names:?}");
    }
    for file in ["compose.yaml", "scripts/image/build.sh"] {
        assert!(read(file).contains(env!("CARGO_PKG_NAME")), "{file}");
    }
}

#[test]
fn translations_hold_the_same_commands_variables_and_links() {
    let original = Page::of(&read("README.md"));
    // Where the page is not understood any more, there would be nothing to compare.
    assert!(original.code.len() > 30 && original.names.len() > 60, "correct the test");
    assert!(original.links.len() > 10 && original.rows.len() > 60, "correct the test");
    for link in &original.links {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(link);
        assert!(path.exists(), "README.md links to {link}, which is not there");
    }
    let wrong: Vec<String> = ["README.zh.md", "README.ja.md"]
        .iter()
        .flat_map(|file| Page::of(&read(file)).differences(file, &original))
        .collect();
    assert!(wrong.is_empty(), "\n  {}", wrong.join("\n  "));
}

#[test]
fn what_a_translation_leaves_out_would_be_seen() {
    let original = "Set `PORT`, see [here](a.md).\n\n    run --once   # fast\n\n```json\n{\"a\": 1}\n```\n\n\
                    ```mermaid\na[files]\n```\n\n| name | size |\n| --- | --- |\n| `HOST` | 8 of 16 |\n";
    let differences = |translation: &str| Page::of(translation).differences("x.md", &Page::of(original));
    let words = original.replace("# fast", "# vite").replace("files", "fichiers").replace("8 of 16", "16/8");
    assert_eq!(differences(&words), Vec::<String>::new());
    for (part, instead, said) in [
        ("--once", "--twice", "x.md: missing the code \"    run --once\""),
        ("{\"a\": 1}\n", "", "x.md: missing the code \"{\\\"a\\\": 1}\""),
        ("`PORT`", "the port", "x.md: missing the name \"PORT\""),
        ("`HOST`", "HOST", "x.md: missing the name \"HOST\""),
        ("a.md", "https://a.example", "x.md: missing the link \"a.md\""),
        ("| `HOST` | 8 of 16 |\n", "`HOST`", "x.md: 2 table rows instead of 3"),
        ("8 of 16", "8 of 17", "x.md: other figures in a row than \"| `HOST` | 8 of 16 |\""),
        ("Set `PORT`", "Set `PORT", "x.md: a backtick without its other half"),
    ] {
        let found = differences(&original.replacen(part, instead, 1));
        assert!(found.contains(&said.to_owned()), "{part} → {instead}: {found:?}");
    }
    let twice = original.replace("    run --once   # fast", "    run --once\n    run --once");
    assert_eq!(differences(&twice), ["x.md: the same code, in another order or number of lines"]);
}

/// What of a page is the same in every language.
struct Page {
    code: Vec<String>,
    names: BTreeSet<String>,
    links: BTreeSet<String>,
    rows: Vec<String>,
    ticks: usize,
}

impl Page {
    fn of(text: &str) -> Page {
        let (mut code, mut prose, mut fence) = (Vec::new(), String::new(), None);
        for line in text.lines() {
            if let Some(kind) = line.strip_prefix("```") {
                fence = fence.is_none().then_some(kind);
            } else if fence == Some("mermaid") {
                // Its labels are words.
            } else if fence.is_some() || line.starts_with("    ") {
                // Comments are words too, and end what is typed.
                code.push(line.split(" # ").next().unwrap_or_default().trim_end().to_owned());
            } else {
                prose.push_str(line);
                prose.push('\n');
            }
        }
        let shouted = |word: &&str| {
            word.len() > 1
                && word.starts_with(|c: char| c.is_ascii_uppercase())
                && !word.contains(|c: char| c.is_ascii_lowercase())
        };
        let names =
            prose.split('`').skip(1).step_by(2).flat_map(|span| {
                span.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(shouted)
            });
        let links = prose.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
        Page {
            code,
            names: names.map(str::to_owned).collect(),
            links: links.filter(|link| !link.contains("://")).map(str::to_owned).collect(),
            rows: prose.lines().filter(|line| line.starts_with('|')).map(str::to_owned).collect(),
            ticks: prose.matches('`').count(),
        }
    }

    /// What `file`, which is this page, has otherwise than the original; one sentence each.
    fn differences(&self, file: &str, original: &Page) -> Vec<String> {
        let mut found = Vec::new();
        let mut compare = |what: &str, ours: BTreeSet<&String>, theirs: BTreeSet<&String>| {
            found.extend(theirs.difference(&ours).map(|one| format!("{file}: missing the {what} {one:?}")));
            found.extend(
                ours.difference(&theirs).map(|one| format!("{file}: README.md has no {what} {one:?}")),
            );
        };
        compare("code", self.code.iter().collect(), original.code.iter().collect());
        compare("name", self.names.iter().collect(), original.names.iter().collect());
        compare("link", self.links.iter().collect(), original.links.iter().collect());
        if found.is_empty() && self.code != original.code {
            found.push(format!("{file}: the same code, in another order or number of lines"));
        }
        if !self.ticks.is_multiple_of(2) {
            found.push(format!("{file}: a backtick without its other half"));
        }
        let (ours, theirs) = (self.rows.len(), original.rows.len());
        if ours != theirs {
            found.push(format!("{file}: {ours} table rows instead of {theirs}"));
            return found;
        }
        let rows = self.rows.iter().zip(&original.rows);
        let other = rows.filter(|(ours, theirs)| figures(ours) != figures(theirs));
        found.extend(other.map(|(_, row)| format!("{file}: other figures in a row than {row:?}")));
        found
    }
}

/// The numbers of a row in ascending order, as languages put them differently.
fn figures(row: &str) -> Vec<&str> {
    let mut figures: Vec<&str> =
        row.split(|c: char| !c.is_ascii_digit()).filter(|run| !run.is_empty()).collect();
    figures.sort_unstable();
    figures
}
