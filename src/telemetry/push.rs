//! Pushes what `/metrics` shows to an OpenTelemetry receiver, as platforms without a scraper need it.

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prometheus::proto::{Metric, MetricFamily, MetricType};
use reqwest::blocking::Client;
use serde_json::{Value, json};

use super::{Metrics, start::headers};
use crate::config::{OtlpConfig, ServiceInfo, TelemetryConfig};

const INTERVAL: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(5);
/// For the last values, at the end of the process.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);
/// OTLP's number for values counted since the start of the process.
const CUMULATIVE: u8 = 2;

/// Pushes until it is dropped, and once more then.
pub struct Push {
    stop: mpsc::Sender<()>,
    done: mpsc::Receiver<()>,
}

impl Drop for Push {
    fn drop(&mut self) {
        // A receiver that is away is no failure of this program.
        let _ = self.stop.send(());
        let _ = self.done.recv_timeout(FLUSH_LIMIT);
    }
}

/// `None`: nobody asked for it. It works on a thread of its own, so that a receiver that hangs costs
/// requests nothing.
pub fn push(config: &TelemetryConfig, service: &ServiceInfo, metrics: &Metrics) -> Option<Push> {
    let config = config.metrics.clone()?;
    let (stop, stopped) = mpsc::channel();
    let (finished, done) = mpsc::channel();
    let (service, metrics) = (service.clone(), metrics.clone());
    let work = move || {
        let start = SystemTime::now();
        let Ok(client) = Client::builder().timeout(TIMEOUT).build() else { return };
        loop {
            let last = stopped.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout);
            send(&client, &config, &request(&metrics.gather(), &service, start));
            if last {
                let _ = finished.send(());
                return;
            }
        }
    };
    std::thread::Builder::new().name("metrics-push".into()).spawn(work).ok()?;
    Some(Push { stop, done })
}

/// A push that fails is not repeated: the next one counts the same events.
fn send(client: &Client, config: &OtlpConfig, body: &Value) {
    let mut request = client.post(format!("{}/v1/metrics", config.endpoint)).json(body);
    for (name, value) in headers(config) {
        request = request.header(name, value);
    }
    if request.send().and_then(reqwest::blocking::Response::error_for_status).is_err() {
        tracing::debug!("the metrics could not be pushed");
    }
}

/// OTLP 1.x in its JSON form; 64-bit numbers are text there.
fn request(families: &[MetricFamily], service: &ServiceInfo, start: SystemTime) -> Value {
    let span = (nanoseconds(start), nanoseconds(SystemTime::now()));
    let metrics: Vec<Value> = families.iter().map(|family| metric(family, &span)).collect();
    let resource = [
        ("service.name", service.name.as_str()),
        ("service.version", service.version.as_str()),
        ("deployment.environment.name", service.env.as_str()),
    ];
    json!({"resourceMetrics": [{
        "resource": {"attributes": resource.map(|(name, value)| attribute(name, value))},
        "scopeMetrics": [{"scope": {"name": "rag-api"}, "metrics": metrics}]
    }]})
}

fn metric(family: &MetricFamily, (start, now): &(String, String)) -> Value {
    let kind = family.get_field_type();
    let points: Vec<Value> = family
        .get_metric()
        .iter()
        .map(|metric| {
            let labels = metric.get_label().iter().map(|label| attribute(label.name(), label.value()));
            let mut point = match kind {
                MetricType::HISTOGRAM => histogram(metric),
                MetricType::COUNTER => json!({"asDouble": metric.get_counter().get_value()}),
                _ => json!({"asDouble": metric.get_gauge().get_value()}),
            };
            point["attributes"] = labels.collect();
            point["startTimeUnixNano"] = start.as_str().into();
            point["timeUnixNano"] = now.as_str().into();
            point
        })
        .collect();
    let mut metric = json!({"name": family.name(), "description": family.help()});
    let (field, data) = match kind {
        MetricType::HISTOGRAM => {
            ("histogram", json!({"dataPoints": points, "aggregationTemporality": CUMULATIVE}))
        }
        MetricType::COUNTER => {
            ("sum", json!({"dataPoints": points, "aggregationTemporality": CUMULATIVE, "isMonotonic": true}))
        }
        _ => ("gauge", json!({"dataPoints": points})),
    };
    metric[field] = data;
    metric
}

/// Prometheus counts each bucket with those below it, OTLP by itself, and with one above the last bound.
fn histogram(metric: &Metric) -> Value {
    let histogram = metric.get_histogram();
    let finite = histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite());
    let (mut bounds, mut counts, mut below) = (Vec::new(), Vec::new(), 0);
    for bucket in finite {
        bounds.push(bucket.upper_bound());
        counts.push((bucket.cumulative_count() - below).to_string());
        below = bucket.cumulative_count();
    }
    let total = histogram.get_sample_count();
    counts.push(total.saturating_sub(below).to_string());
    json!({"count": total.to_string(), "sum": histogram.get_sample_sum(), "bucketCounts": counts, "explicitBounds": bounds})
}

fn attribute(name: &str, value: &str) -> Value {
    json!({"key": name, "value": {"stringValue": value}})
}

fn nanoseconds(time: SystemTime) -> String {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, EnvReader};

    #[test]
    fn counters_gauges_and_histograms_become_otlp() {
        let metrics = Metrics::new("1", "sha", Some("m")).unwrap();
        metrics.count_llm_tokens(10, 5);
        metrics.observe_llm(Duration::from_millis(3));
        metrics.observe_llm(Duration::from_secs(90));
        let service = Config::read(EnvReader::from_pairs([])).unwrap().service;
        let body = request(&metrics.gather(), &service, SystemTime::now());
        let all = body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().unwrap();
        let find = |name: &str| all.iter().find(|metric| metric["name"] == name).unwrap();
        let tokens = &find("llm_tokens_total")["sum"];
        assert_eq!((&tokens["isMonotonic"], &tokens["aggregationTemporality"]), (&json!(true), &json!(2)));
        assert_eq!(tokens["dataPoints"][0]["asDouble"], 10.0);
        assert_eq!(tokens["dataPoints"][0]["attributes"][0], attribute("direction", "input"));
        let seconds = &find("llm_duration_seconds")["histogram"]["dataPoints"][0];
        assert_eq!((&seconds["count"], &seconds["explicitBounds"][2]), (&json!("2"), &json!(0.005)));
        let counts = seconds["bucketCounts"].as_array().unwrap();
        assert_eq!((counts.len(), &counts[2], &counts[15]), (16, &json!("1"), &json!("1")));
        assert_eq!(find("build_info")["gauge"]["dataPoints"][0]["asDouble"], 1.0);
    }
}
