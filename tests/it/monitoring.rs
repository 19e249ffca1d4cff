//! Dashboards, alerts and the catalog entry name only what the service really gives.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

use rag_api::{
    generation::LlmError,
    telemetry::{
        Metrics,
        spans::{Ingested, Outcome},
    },
};
use serde_json::Value;

/// Prometheus adds these to what it scrapes.
const ADDED_LABELS: [&str; 2] = ["job", "instance"];

#[test]
fn rules_select_series_and_labels_that_exist() {
    let rules = yaml("scripts/monitoring/rules.yaml");
    let series = series();
    for rule in rules_of(&rules) {
        let expr = rule["expr"].as_str().unwrap();
        let recorded = expr.contains("rag_api:");
        let selectors = selectors(expr);
        assert!(recorded || !selectors.is_empty(), "{expr} selects nothing");
        for selector in selectors {
            assert!(selector.matchers.contains(r#"job="rag-api""#), "{expr} also counts other programs");
            selector.check(&series, expr);
        }
    }
}

#[test]
fn recorded_series_are_those_that_are_used() {
    let rules = yaml("scripts/monitoring/rules.yaml");
    let recorded: BTreeSet<&str> =
        rules_of(&rules).iter().filter_map(|rule| rule["record"].as_str()).collect();
    let used: BTreeSet<&str> = rules_of(&rules)
        .iter()
        .flat_map(|rule| rule["expr"].as_str().unwrap().split_whitespace())
        .filter(|word| word.starts_with("rag_api:"))
        .collect();
    assert_eq!(recorded, used);
}

#[test]
fn every_alert_says_what_to_do_and_is_seen_to_fire() {
    let rules = yaml("scripts/monitoring/rules.yaml");
    let tests = yaml("scripts/monitoring/rules_test.yaml");
    let fired: BTreeSet<&str> = list(&tests["tests"])
        .iter()
        .flat_map(|test| list(&test["alert_rule_test"]))
        .filter(|case| !list(&case["exp_alerts"]).is_empty())
        .filter_map(|case| case["alertname"].as_str())
        .collect();
    let mut alerts = BTreeSet::new();
    for rule in rules_of(&rules) {
        let Some(name) = rule["alert"].as_str() else { continue };
        alerts.insert(name);
        for annotation in ["summary", "action"] {
            assert!(rule["annotations"][annotation].is_string(), "{name} has no {annotation}");
        }
        assert!(matches!(rule["labels"]["severity"].as_str(), Some("critical" | "warning")), "{name}");
    }
    assert_eq!(alerts, fired);
}

#[test]
fn the_scrape_job_has_the_name_that_the_rules_ask_for() {
    let config = yaml("scripts/monitoring/prometheus.yaml");
    assert_eq!(config["scrape_configs"][0]["job_name"], "rag-api");
    assert_eq!(config["rule_files"][0], "rules.yaml");
}

#[test]
fn panels_of_grafana_select_series_and_labels_that_exist() {
    let board: Value = serde_json::from_str(&read("scripts/monitoring/grafana.json")).unwrap();
    let series = series();
    let mut ids = BTreeSet::new();
    let mut shown = BTreeSet::new();
    for panel in list(&board["panels"]) {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "the id of {title} is taken");
        if panel["type"] == "row" {
            continue;
        }
        assert!(!panel["description"].as_str().unwrap().is_empty(), "{title} says nothing of itself");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title} has no unit");
        let targets = list(&panel["targets"]);
        let refs: BTreeSet<&str> = targets.iter().filter_map(|target| target["refId"].as_str()).collect();
        assert!(!targets.is_empty() && refs.len() == targets.len(), "{title}: one refId a query");
        for target in targets {
            let expr = target["expr"].as_str().unwrap();
            for selector in selectors(expr) {
                assert!(selector.matchers.contains(r#"job="rag-api""#), "{title} shows other programs");
                selector.check(&series, expr);
                shown.insert(family(&selector.name).to_owned());
            }
        }
    }
    for name in ["http_requests_total", "llm_tokens_total", "rag_answers_total", "upstream_breaker_state"] {
        assert!(shown.contains(name), "no panel shows {name}");
    }
}

#[test]
fn datadog_is_asked_for_series_that_exist() {
    let given = series();
    let text = read("terraform/datadog/names.tf");
    let block = text.split_once("exposed = {").unwrap().1.split_once('}').unwrap().0;
    let named: Vec<&str> = block.split('"').skip(1).step_by(2).collect();
    assert!(named.len() >= 8, "{named:?}");
    for name in named {
        assert!(given.contains_key(name), "{name} does not exist");
    }
    let agent = yaml("scripts/monitoring/openmetrics.yaml");
    assert_eq!(agent["instances"][0]["namespace"], "rag_api");
}

#[test]
fn datadog_looks_for_the_words_that_the_log_uses() {
    let words = LlmError::Throttled { retry_after: None }.to_string();
    assert!(read("terraform/datadog/monitors.tf").contains(&words), "{words}");
}

#[test]
fn the_service_has_one_name() {
    let entity = yaml("service.datadog.yaml");
    let agent = yaml("scripts/monitoring/openmetrics.yaml");
    assert_eq!(entity["metadata"]["name"], "rag-api");
    assert_eq!(agent["instances"][0]["tags"][0], "service:rag-api");
    assert!(read("terraform/datadog/variables.tf").contains(r#"default     = "rag-api""#));
}

/// The labels of every series that the service gives; of a histogram `_bucket`, `_sum` and `_count`.
fn series() -> BTreeMap<String, BTreeSet<String>> {
    let metrics = Metrics::new("1", "a", Some("m")).unwrap();
    metrics.observe_request("/query", "POST", 200, Duration::ZERO);
    metrics.expect_upstream("azure_search");
    metrics.set_startup("load", Duration::ZERO);
    metrics.add_llm_cost(0.1);
    metrics.count_llm_request("ok");
    metrics.count_error("chat", "Throttled");
    let verdicts = [1, 1, 1];
    metrics.count_answer(&Outcome {
        mode: "generative",
        reason: None,
        grounded: true,
        evidence: false,
        verdicts,
    });
    metrics.count_ingestion(&Ingested {
        files: 3,
        unchanged: 1,
        failed: 1,
        removed: 1,
        chunks: 1,
        interrupted: false,
    });
    let mut series: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in metrics.render().unwrap().lines().filter(|line| !line.starts_with('#')) {
        let (head, labels) = match line.split_once('{') {
            Some((name, rest)) => (name, rest.split_once('}').unwrap().0),
            None => (line.split(' ').next().unwrap(), ""),
        };
        let labels =
            labels.split(',').filter_map(|label| label.split_once('=')).map(|(key, _)| key.to_owned());
        series.entry(head.to_owned()).or_default().extend(labels);
    }
    series
}

struct Selector {
    name: String,
    matchers: String,
}

impl Selector {
    fn check(&self, series: &BTreeMap<String, BTreeSet<String>>, expr: &str) {
        let labels =
            series.get(&self.name).unwrap_or_else(|| panic!("{} of {expr} does not exist", self.name));
        for matcher in self.matchers.split(", ") {
            let label = matcher.split(['=', '!']).next().unwrap();
            assert!(
                labels.contains(label) || ADDED_LABELS.contains(&label),
                "{} has no label {label}: {expr}",
                self.name
            );
        }
    }
}

/// `name{matchers}` wherever it stands. A metric without braces is none: the files always write them.
fn selectors(expr: &str) -> Vec<Selector> {
    let of_a_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    expr.match_indices('{')
        .map(|(at, _)| {
            let before = &expr[..at];
            let start = before.rfind(|c| !of_a_name(c)).map_or(0, |end| end + 1);
            let matchers = expr[at + 1..].split_once('}').unwrap().0;
            Selector { name: before[start..].to_owned(), matchers: matchers.to_owned() }
        })
        .collect()
}

fn family(name: &str) -> &str {
    ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

fn rules_of(rules: &Value) -> Vec<&Value> {
    list(&rules["groups"]).iter().flat_map(|group| list(&group["rules"])).collect()
}

/// Nothing where there is no list.
fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
