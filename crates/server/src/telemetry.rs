//! Logs, traces and metrics: one place builds them, everything else uses `tracing` and a `Meter`.
//!
//! `main` calls [`init`] once, and [`Telemetry::shutdown`] last; tests call [`build`] as often as they like, since
//! nothing here is global: only [`Telemetry::install`] makes a subscriber the process's own.
//! Invariant: a collector that is slow, broken or gone never delays a request, and the exit by no more than
//! [`SHUTDOWN_BOUND`]. Everything for it goes through bounded queues to threads that nobody waits for.

mod metrics;
mod otlp;
mod propagation;
mod span_fields;
#[cfg(test)]
mod tests;

pub use metrics::{ActiveRequest, METRICS_CONTENT_TYPE, Metrics};
pub use propagation::{continue_trace, trace_id};

pub use crate::config::TelemetryConfig;

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use prometheus::{Registry, TextEncoder};
use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::LogFormat;

/// How long [`Telemetry::shutdown`] waits for the last batches.
pub const SHUTDOWN_BOUND: Duration = Duration::from_secs(3);

/// The scope of this service's instruments and spans.
const SCOPE: &str = "tenant-registry";

/// Why telemetry could not be started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `LOG_FILTER` is not a filter.
    #[error("the log filter is not valid: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// An exporter could not be made from `OTEL_EXPORTER_OTLP_ENDPOINT`.
    #[error("the OTLP exporter could not be made: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// The Prometheus registry did not take the collector.
    #[error("the metrics registry could not be made: {0}")]
    Registry(#[from] opentelemetry_sdk::error::OTelSdkError),
    /// The process has a subscriber already.
    #[error("another subscriber is installed in this process: {0}")]
    Installed(#[from] tracing_subscriber::util::TryInitError),
}

/// Everything that observes this service.
#[derive(Debug)]
pub struct Telemetry {
    dispatch: Dispatch,
    tracer_provider: Option<SdkTracerProvider>,
    logger_provider: Option<SdkLoggerProvider>,
    meter_provider: SdkMeterProvider,
    registry: Registry,
    meter: Meter,
    metrics: Metrics,
}

/// Builds telemetry that logs to standard error, and installs it for the process.
///
/// # Errors
/// As [`build`] and [`Telemetry::install`].
pub fn init(config: &TelemetryConfig) -> Result<Telemetry, TelemetryError> {
    let telemetry = build(config, io::stderr)?;
    telemetry.install()?;
    Ok(telemetry)
}

/// Builds telemetry that logs to `writer`, and installs nothing.
///
/// # Errors
/// The filter does not parse, or an exporter cannot be made. An endpoint that does not answer is no error.
pub fn build<W>(config: &TelemetryConfig, writer: W) -> Result<Telemetry, TelemetryError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let resource = Resource::builder()
        .with_service_name(config.service_name)
        .with_attribute(KeyValue::new("service.version", config.version))
        .with_attribute(KeyValue::new("deployment.environment.name", config.environment))
        .build();

    let registry = Registry::new();
    let prometheus = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        // One scope is all there is: its name on every line would only cost.
        .scope_info_enabled(false)
        .build()?;
    let mut meter_provider = SdkMeterProvider::builder().with_resource(resource.clone()).with_reader(prometheus);

    let logs = format_layer(config.log_format, writer).with_filter(log_filter(config)?);
    let subscriber = tracing_subscriber::registry().with(logs);
    let (dispatch, tracer_provider, logger_provider) = match &config.otlp_endpoint {
        // Without a collector there is no layer for it either: spans then cost next to nothing.
        None => (Dispatch::new(subscriber), None, None),
        Some(endpoint) => {
            let exporters = otlp::Exporters::new(endpoint)?;
            meter_provider = meter_provider.with_periodic_exporter(exporters.metrics);
            let tracers = SdkTracerProvider::builder()
                .with_resource(resource.clone())
                .with_batch_exporter(exporters.traces)
                .build();
            let loggers =
                SdkLoggerProvider::builder().with_resource(resource).with_batch_exporter(exporters.logs).build();
            // Traces do not follow LOG_FILTER: who silences the log still wants to see requests.
            let traces = tracing_opentelemetry::layer()
                .with_tracer(tracers.tracer(SCOPE))
                .with_filter(LevelFilter::INFO)
                .with_filter(filter_fn(|metadata| !otlp::is_own_traffic(metadata.target())));
            let bridge = OpenTelemetryTracingBridge::new(&loggers)
                .with_filter(log_filter(config)?)
                .with_filter(filter_fn(|metadata| !otlp::is_own_traffic(metadata.target())));
            (Dispatch::new(subscriber.with(traces).with(bridge)), Some(tracers), Some(loggers))
        }
    };

    let meter_provider = meter_provider.build();
    let meter = meter_provider.meter(SCOPE);
    let metrics = Metrics::new(&meter);
    Ok(Telemetry { dispatch, tracer_provider, logger_provider, meter_provider, registry, meter, metrics })
}

/// Log lines as JSON or for people. The list of spans goes along, so that a line deep inside a request has the request's
/// id; the event's own fields stand at the top, where searches expect them.
fn format_layer<S, W>(format: LogFormat, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'l> LookupSpan<'l>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    match format {
        LogFormat::Json => {
            let lines = layer.json().flatten_event(true).with_current_span(false).with_span_list(true);
            lines.fmt_fields(span_fields::SpanFields).boxed()
        }
        // No colours: dev logs are piped and pasted more often than admired, and a terminal is not always one.
        LogFormat::Text => layer.with_ansi(false).boxed(),
    }
}

/// `LOG_FILTER`, with the exporters' chatter limited to warnings unless they are named there.
fn log_filter(config: &TelemetryConfig) -> Result<EnvFilter, TelemetryError> {
    let quiet = if config.log_filter.contains("opentelemetry") { "" } else { ",opentelemetry=warn" };
    Ok(EnvFilter::builder().parse(format!("{}{quiet}", config.log_filter))?)
}

impl Telemetry {
    /// Makes this the process's subscriber, for `tracing` and for the `log` crate.
    ///
    /// # Errors
    /// The process has one already.
    pub fn install(&self) -> Result<(), TelemetryError> {
        Ok(self.dispatch.clone().try_init()?)
    }

    /// The subscriber, for tests: `tracing::dispatcher::with_default(telemetry.dispatch(), || …)`.
    #[must_use]
    pub fn dispatch(&self) -> &Dispatch {
        &self.dispatch
    }

    /// For instruments of other modules. What they record shows in `/metrics` and over OTLP alike.
    #[must_use]
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// The instruments of the HTTP layer.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// A handle for the `/metrics` route, which outlives borrows of `self`.
    #[must_use]
    pub fn metrics_reader(&self) -> MetricsReader {
        MetricsReader { registry: self.registry.clone() }
    }

    /// The body of `GET /metrics`; its content type is [`METRICS_CONTENT_TYPE`].
    #[must_use]
    pub fn metrics_text(&self) -> String {
        self.metrics_reader().text()
    }

    /// Sends what is left and ends, within [`SHUTDOWN_BOUND`]. Blocks: call it after the runtime, or in
    /// `spawn_blocking`. Answers whether everything was sent.
    ///
    /// Each signal flushes on a thread of its own, so that one bound holds for all. The threads are not joined: one that
    /// hangs in a dead connection ends with the process.
    pub fn shutdown(self) -> bool {
        let meters = self.meter_provider;
        let mut flushes: Vec<Flush> = vec![Box::new(move || meters.shutdown())];
        if let Some(provider) = self.tracer_provider {
            flushes.push(Box::new(move || provider.shutdown_with_timeout(SHUTDOWN_BOUND)));
        }
        if let Some(provider) = self.logger_provider {
            flushes.push(Box::new(move || provider.shutdown_with_timeout(SHUTDOWN_BOUND)));
        }
        flush_all(flushes, SHUTDOWN_BOUND)
    }
}

/// Reads the metrics of a [`Telemetry`].
#[derive(Debug, Clone)]
pub struct MetricsReader {
    registry: Registry,
}

impl MetricsReader {
    /// The body of `GET /metrics`.
    #[must_use]
    pub fn text(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_else(|error| {
            // A scrape with a comment is better than none, and the target shows as up but empty.
            tracing::error!(%error, "the metrics could not be written");
            format!("# {error}\n")
        })
    }
}

type Flush = Box<dyn FnOnce() -> OTelSdkResult + Send>;

/// Whether all of them succeeded within `bound`.
fn flush_all(flushes: Vec<Flush>, bound: Duration) -> bool {
    let (sender, receiver) = mpsc::channel();
    // A thread that cannot be started drops its sender, and shows as a missing answer.
    let _ = thread::Builder::new().name("telemetry-shutdown".to_owned()).spawn(move || {
        let all_sent = thread::scope(|scope| {
            let running: Vec<_> = flushes.into_iter().map(|flush| scope.spawn(flush)).collect();
            running.into_iter().all(|flush| matches!(flush.join(), Ok(Ok(()))))
        });
        let _ = sender.send(all_sent);
    });
    receiver.recv_timeout(bound).unwrap_or(false)
}
