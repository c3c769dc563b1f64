//! What is logged, in which form, and where traces and metrics go.
//!
//! `crate::telemetry` builds everything from it.
//! Invariant: the filter has been parsed once when this exists, so that starting the logs cannot fail for it.

use tracing_subscriber::EnvFilter;

use super::app_env::AppEnv;
use super::reader::Reader;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For people.
    Text,
}

/// Logs, traces, metrics.
#[derive(Debug, Clone)]
pub struct TelemetryConfig {
    /// The resource attribute `service.name`.
    pub service_name: &'static str,
    /// The resource attribute `service.version`.
    pub version: &'static str,
    /// The resource attribute `deployment.environment.name`.
    pub environment: &'static str,
    /// `LOG_FORMAT`, with `auto` decided.
    pub log_format: LogFormat,
    /// `LOG_FILTER`.
    pub log_filter: String,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT` without a slash at the end; none sends nothing.
    pub otlp_endpoint: Option<String>,
}

impl TelemetryConfig {
    pub(super) fn read(reader: &mut Reader<'_>, app_env: AppEnv) -> Self {
        Self {
            service_name: "tenant-registry",
            version: env!("CARGO_PKG_VERSION"),
            environment: app_env.as_str(),
            log_format: reader.parsed("LOG_FORMAT", LogFormat::Json, |text| match text {
                "auto" if app_env.is_dev() => Ok(LogFormat::Text),
                "auto" | "json" => Ok(LogFormat::Json),
                "text" => Ok(LogFormat::Text),
                _ => Err("must be `auto`, `json` or `text`".to_owned()),
            }),
            log_filter: reader.parsed("LOG_FILTER", String::new(), |text| match EnvFilter::builder().parse(text) {
                Ok(_) => Ok(text.to_owned()),
                Err(error) => Err(format!("must be directives like `info,sqlx=warn` ({error})")),
            }),
            otlp_endpoint: reader
                .optional_url("OTEL_EXPORTER_OTLP_ENDPOINT")
                .map(|url| url.trim_end_matches('/').to_owned()),
        }
    }
}
