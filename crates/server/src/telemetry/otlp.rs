//! The exporters that send traces, metrics and logs to a collector, by OTLP over HTTP.
//!
//! `telemetry::build` makes them where an endpoint is configured.
//! Invariant: what the exporters do themselves is never exported. An export that makes spans and log lines, which are
//! exported, which makes spans and log lines, would go on for ever.

use std::time::Duration;

use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, MetricExporter, Protocol, RetryPolicy, SpanExporter, WithExportConfig as _,
    WithHttpConfig as _,
};

/// Longest time of one export. Below the bound of the shutdown, so that a dead collector's last batch fails in time.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(2);

/// One exporter for each signal.
pub(super) struct Exporters {
    pub(super) traces: SpanExporter,
    pub(super) metrics: MetricExporter,
    pub(super) logs: LogExporter,
}

impl Exporters {
    /// Exporters below the base URL `endpoint`. Connects to nothing yet.
    pub(super) fn new(endpoint: &str) -> Result<Self, ExporterBuildError> {
        // The exporters use a blocking client on threads of their own: their batch threads have no reactor, so an
        // asynchronous client would panic there.
        let url = |signal: &str| format!("{endpoint}/v1/{signal}");
        // One retry: the batches that follow tell the collector more than the one that is being repeated.
        let retry = || RetryPolicy::recommended().with_max_retries(1);
        Ok(Self {
            traces: SpanExporter::builder()
                .with_http()
                .with_protocol(Protocol::HttpBinary)
                .with_endpoint(url("traces"))
                .with_timeout(EXPORT_TIMEOUT)
                .with_retry_policy(retry())
                .build()?,
            metrics: MetricExporter::builder()
                .with_http()
                .with_protocol(Protocol::HttpBinary)
                .with_endpoint(url("metrics"))
                .with_timeout(EXPORT_TIMEOUT)
                .with_retry_policy(retry())
                .build()?,
            logs: LogExporter::builder()
                .with_http()
                .with_protocol(Protocol::HttpBinary)
                .with_endpoint(url("logs"))
                .with_timeout(EXPORT_TIMEOUT)
                .with_retry_policy(retry())
                .build()?,
        })
    }
}

/// Whether a target belongs to the exporters or to the HTTP client below them. Other uses of that client are silenced
/// with it: our own spans around them say what matters.
pub(super) fn is_own_traffic(target: &str) -> bool {
    let root = target.split("::").next().unwrap_or(target);
    root.starts_with("opentelemetry") || matches!(root, "hyper" | "hyper_util" | "reqwest" | "h2" | "rustls" | "tower")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exporters_and_their_client_are_own_traffic_and_nothing_else_is() {
        for target in [
            "hyper::client",
            "hyper_util::client::legacy",
            "reqwest",
            "h2::proto",
            "opentelemetry_sdk",
            "opentelemetry-otlp",
        ] {
            assert!(is_own_traffic(target), "{target}");
        }
        for target in ["server::api", "hyperspace", "sqlx::query", "tower_http::trace"] {
            assert!(!is_own_traffic(target), "{target}");
        }
    }
}
