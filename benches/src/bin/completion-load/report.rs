//! What is printed: the JSON object, and the table of the same figures.

use std::fmt::Write as _;

use hdrhistogram::Histogram;
use http::Uri;
use serde_json::{Map, Value, json};

use crate::client::Pool;
use crate::failure::Kind;
use crate::memory::peak_rss_kib;
use crate::tally::Tally;
use crate::work::Result;

/// Fewer requests than this say nothing about allocations per request.
const ENOUGH_REQUESTS: u64 = 100;

/// One client's run.
pub(crate) struct Report {
    client: &'static str,
    url: String,
    /// Connections that came about, the first ones included.
    established: u64,
    result: Result,
    peak_rss_kib: Option<u64>,
}

impl Report {
    pub(crate) fn new(client: &'static str, url: &Uri, established: u64, result: Result) -> Self {
        Self {
            client,
            url: url.to_string(),
            established,
            result,
            peak_rss_kib: peak_rss_kib(),
        }
    }

    /// Whether any request failed.
    pub(crate) fn some_failed(&self) -> bool {
        self.result.tally.all_failed() > 0
    }

    /// Whether no connection could be established.
    pub(crate) fn never_connected(&self) -> bool {
        self.established == 0
    }

    /// The object that `--json` prints.
    pub(crate) fn to_json(&self) -> Value {
        let Result { tally, totals, .. } = &self.result;
        json!({
            "client": self.client,
            "url": self.url,
            "requests": tally.requests(),
            "succeeded": tally.succeeded,
            "cancelled": tally.cancelled,
            "failed": present(failed(tally)),
            "status": present(status(tally)),
            "retry_safe": tally.retry_safe,
            "reconnects": totals.reconnects,
            "resent": totals.resent,
            "duration_s": round(self.duration_s()),
            "requests_per_s": round(self.requests_per_s()),
            "latency_us": self.latency_json(),
            "bytes_received": tally.bytes_received,
            "allocations_per_request": self.per_request(self.result.counted.allocations).map(round),
            "allocated_bytes_per_request": self.per_request(self.result.counted.bytes).map(round),
            "settings_ack_ms": totals.settings_ack.map(|ack| round(ack.as_secs_f64() * 1e3)),
            "pool": totals.pool.map(pool_json),
            "peak_rss_kib": self.peak_rss_kib,
        })
    }

    fn latency_json(&self) -> Value {
        let latency = &self.result.tally.latency;
        if latency.is_empty() {
            return Value::Null;
        }
        let mut object = Map::new();
        for (name, value) in quantiles(latency) {
            object.insert(name.to_owned(), value.into());
        }
        object.into()
    }

    fn duration_s(&self) -> f64 {
        self.result.elapsed.as_secs_f64()
    }

    fn requests_per_s(&self) -> f64 {
        let seconds = self.duration_s();
        if seconds > 0.0 {
            self.result.tally.requests() as f64 / seconds
        } else {
            0.0
        }
    }

    fn per_request(&self, count: u64) -> Option<f64> {
        let Result {
            tally,
            counted_requests,
            ..
        } = &self.result;
        let enough = tally.requests() >= ENOUGH_REQUESTS && *counted_requests > 0;
        enough.then(|| count as f64 / *counted_requests as f64)
    }

    /// The rows of the table: a name and a value.
    fn rows(&self) -> Vec<(&'static str, String)> {
        let Result {
            tally,
            totals,
            counted,
            ..
        } = &self.result;
        let optional = |figure: Option<String>| figure.unwrap_or_else(|| "-".to_owned());
        let mut rows = vec![
            ("requests", tally.requests().to_string()),
            ("succeeded", listed(tally.succeeded, status(tally))),
            ("cancelled", tally.cancelled.to_string()),
            ("failed", listed(tally.all_failed(), failed(tally))),
            ("  may be retried", tally.retry_safe.to_string()),
            ("reconnects", totals.reconnects.to_string()),
            ("resent", totals.resent.to_string()),
            ("duration", format!("{:.3} s", self.duration_s())),
            ("requests/s", format!("{:.0}", self.requests_per_s())),
        ];
        for (name, value) in quantiles(&tally.latency) {
            let name = match name {
                "p50" => "latency p50",
                "p90" => "        p90",
                "p99" => "        p99",
                "p999" => "        p99.9",
                _ => "        max",
            };
            let value = if tally.latency.is_empty() {
                "-".to_owned()
            } else {
                format!("{value} us")
            };
            rows.push((name, value));
        }
        rows.extend([
            ("bytes received", tally.bytes_received.to_string()),
            (
                "allocations/request",
                optional(
                    self.per_request(counted.allocations)
                        .map(|n| format!("{n:.2}")),
                ),
            ),
            (
                "bytes allocated/request",
                optional(self.per_request(counted.bytes).map(|n| format!("{n:.0}"))),
            ),
            (
                "SETTINGS ack",
                optional(
                    totals
                        .settings_ack
                        .map(|ack| format!("{:.3} ms", ack.as_secs_f64() * 1e3)),
                ),
            ),
        ]);
        let pool = |figure: fn(Pool) -> u64| {
            let figure = totals.pool.map(figure);
            optional(figure.map(|count| count.to_string()))
        };
        rows.extend([
            ("pool capacity", pool(|pool| pool.capacity)),
            ("     in use", pool(|pool| pool.in_use)),
            ("     high water", pool(|pool| pool.high_water)),
            ("     rented", pool(|pool| pool.rented)),
            ("     returned", pool(|pool| pool.returned)),
            ("     overflow", pool(|pool| pool.overflow)),
            ("     stale", pool(|pool| pool.stale)),
            (
                "peak memory",
                optional(self.peak_rss_kib.map(|kib| format!("{kib} KiB"))),
            ),
        ]);
        rows
    }
}

/// What `--json` prints for `--compare`.
pub(crate) fn compared_json(reports: &[Report]) -> Value {
    let mut ratios = Map::new();
    for (name, of) in ratio_table(reports) {
        let figures = of
            .into_iter()
            .map(|(figure, ratio)| (figure.to_owned(), json!(ratio.map(round))));
        ratios.insert(name, Value::Object(figures.collect()));
    }
    json!({
        "runs": reports.iter().map(Report::to_json).collect::<Vec<_>>(),
        "ratios": ratios,
    })
}

/// The table: a column for each run, and below it how the first compares to the others.
pub(crate) fn table(reports: &[Report]) -> String {
    let mut text = String::new();
    let columns: Vec<_> = reports.iter().map(Report::rows).collect();
    let Some((first, report)) = columns.first().zip(reports.first()) else {
        return text;
    };
    // Writing to a String does not fail.
    let _ok = writeln!(text, "{}", report.url);
    let _ok = write!(text, "{:<24}", "client");
    for report in reports {
        let _ok = write!(text, " {:>width$}", report.client, width = width(&columns));
    }
    text.push('\n');
    for (line, (name, _)) in first.iter().enumerate() {
        let _ok = write!(text, "{name:<24}");
        for column in &columns {
            let _ok = write!(text, " {:>width$}", column[line].1, width = width(&columns));
        }
        text.push('\n');
    }
    for (name, ratios) in ratio_table(reports) {
        let _ok = writeln!(text, "\n{name}");
        for (figure, ratio) in ratios {
            let ratio = ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}"));
            let _ok = writeln!(text, "  {figure:<27} {ratio:>9}");
        }
    }
    text
}

/// The width of the widest value, and no less than a client's name takes.
fn width(columns: &[Vec<(&str, String)>]) -> usize {
    let values = columns.iter().flatten().map(|(_, value)| value.len());
    values.max().unwrap_or(0).max(10)
}

type Ratios = Vec<(&'static str, Option<f64>)>;

/// The first run's figures divided by each other run's.
fn ratio_table(reports: &[Report]) -> Vec<(String, Ratios)> {
    let Some((first, others)) = reports.split_first() else {
        return Vec::new();
    };
    let against = |other: &Report| {
        let ratio = |figure: &dyn Fn(&Report) -> Option<f64>| {
            let (ours, theirs) = (figure(first)?, figure(other)?);
            (theirs > 0.0).then_some(ours / theirs)
        };
        let quantile = |q: f64| {
            move |report: &Report| {
                let latency = &report.result.tally.latency;
                (!latency.is_empty()).then(|| latency.value_at_quantile(q) as f64)
            }
        };
        let ratios = vec![
            (
                "requests_per_s",
                ratio(&|report| Some(report.requests_per_s())),
            ),
            ("latency_us_p50", ratio(&quantile(0.5))),
            ("latency_us_p99", ratio(&quantile(0.99))),
            (
                "allocations_per_request",
                ratio(&|report| report.per_request(report.result.counted.allocations)),
            ),
            (
                "allocated_bytes_per_request",
                ratio(&|report| report.per_request(report.result.counted.bytes)),
            ),
        ];
        (format!("{}/{}", first.client, other.client), ratios)
    };
    others.iter().map(against).collect()
}

fn quantiles(latency: &Histogram<u64>) -> [(&'static str, u64); 5] {
    [
        ("p50", latency.value_at_quantile(0.5)),
        ("p90", latency.value_at_quantile(0.9)),
        ("p99", latency.value_at_quantile(0.99)),
        ("p999", latency.value_at_quantile(0.999)),
        ("max", latency.max()),
    ]
}

fn pool_json(pool: Pool) -> Value {
    json!({
        "capacity": pool.capacity,
        "in_use": pool.in_use,
        "high_water": pool.high_water,
        "rented": pool.rented,
        "returned": pool.returned,
        "overflow": pool.overflow,
        "stale": pool.stale,
    })
}

/// How many failed, by kind.
fn failed(tally: &Tally) -> impl Iterator<Item = (String, u64)> {
    let count = |kind| tally.failed[kind as usize];
    let kinds = Kind::ALL.into_iter();
    kinds.map(move |kind| (kind.name().to_owned(), count(kind)))
}

/// How many were answered, by class of status.
fn status(tally: &Tally) -> impl Iterator<Item = (String, u64)> {
    let classes = (0..).zip(tally.status);
    classes.map(|(class, count)| (format!("{class}xx"), count))
}

/// An object of the counts that are not zero.
fn present(counts: impl Iterator<Item = (String, u64)>) -> Map<String, Value> {
    let present = counts.filter(|&(_, count)| count > 0);
    present.map(|(name, count)| (name, count.into())).collect()
}

/// A sum, and in brackets what it is made of.
fn listed(sum: u64, parts: impl Iterator<Item = (String, u64)>) -> String {
    let present = parts.filter(|&(_, count)| count > 0);
    let parts: Vec<_> = present
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    if parts.is_empty() {
        sum.to_string()
    } else {
        format!("{sum} ({})", parts.join(", "))
    }
}

/// To a tenth of a thousandth: more digits would only pretend.
fn round(figure: f64) -> f64 {
    (figure * 1e4).round() / 1e4
}
