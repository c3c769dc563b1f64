//! The instruments of the HTTP layer, named by OpenTelemetry's semantic conventions for HTTP servers.
//!
//! The request middleware records here; other modules make their own instruments from the `Meter`.
//! Invariant: no label's values are chosen by clients: the method is one of the known ones, the route is a template.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundHistogram, Histogram, Meter};

/// The content type of Prometheus' text format, version 0.0.4.
pub const METRICS_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The conventions' boundaries, with three finer ones in front: most answers here come from memory in microseconds.
const SECONDS: [f64; 17] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Methods that have a label of their own. Methods are free text in HTTP, and each would be a new series.
const METHODS: [&str; 9] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE"];
/// The label of every other method, as the conventions want it.
const OTHER: &str = "_OTHER";

/// What is counted about requests. Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Instruments>);

#[derive(Debug)]
struct Instruments {
    request_duration: Histogram<f64>,
    /// The histogram bound to its labels: labels that are resolved once.
    bound: RwLock<HashMap<(usize, u16), ByRoute>>,
    /// Requests under way, by method.
    active: Arc<Active>,
}

/// By route, within one method and status.
type ByRoute = HashMap<Box<str>, BoundHistogram<f64>>;

/// One number for each of [`METHODS`], and the last for all others.
type Active = [AtomicI64; METHODS.len() + 1];

impl Metrics {
    /// Instruments of `meter`.
    #[must_use]
    pub fn new(meter: &Meter) -> Self {
        let active: Arc<Active> = Arc::default();
        let watched = Arc::clone(&active);
        meter
            .i64_observable_up_down_counter("http.server.active_requests")
            .with_description("HTTP requests that are being answered")
            .with_callback(move |counter| {
                for (place, active) in watched.iter().enumerate() {
                    let active = active.load(Ordering::Relaxed);
                    counter.observe(active, &[KeyValue::new("http.request.method", label(place))]);
                }
            })
            .build();
        let request_duration = meter
            .f64_histogram("http.server.request.duration")
            .with_unit("s")
            .with_description("Duration of HTTP requests")
            .with_boundaries(SECONDS.to_vec())
            .build();
        Self(Arc::new(Instruments { request_duration, bound: RwLock::default(), active }))
    }

    /// Notes an answered request. `route` is the template (`/v1/tenants/{id}`), none where nothing matched.
    pub fn record_request(&self, method: &str, route: Option<&str>, status: u16, elapsed: Duration) {
        let (series, seconds) = ((place(method), status), elapsed.as_secs_f64());
        let named = route.unwrap_or_default();
        let bound = self.0.bound.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(bound) = bound.get(&series).and_then(|routes| routes.get(named)) {
            return bound.record(seconds);
        }
        drop(bound);
        let mut labels = vec![
            KeyValue::new("http.request.method", label(series.0)),
            KeyValue::new("http.response.status_code", i64::from(status)),
        ];
        labels.extend(route.map(|route| KeyValue::new("http.route", route.to_owned())));
        let bound = self.0.request_duration.bind(&labels);
        bound.record(seconds);
        let mut all = self.0.bound.write().unwrap_or_else(PoisonError::into_inner);
        all.entry(series).or_default().insert(named.into(), bound);
    }

    /// Counts a request as active until the answer is dropped, also where the client goes away before.
    #[must_use = "the request is counted as active only while this lives"]
    pub fn request_started(&self, method: &str) -> ActiveRequest {
        let (metrics, place) = (self.clone(), place(method));
        metrics.count(place, 1);
        ActiveRequest { metrics, place }
    }

    fn count(&self, place: usize, by: i64) {
        if let Some(active) = self.0.active.get(place) {
            active.fetch_add(by, Ordering::Relaxed);
        }
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub struct ActiveRequest {
    metrics: Metrics,
    place: usize,
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.metrics.count(self.place, -1);
    }
}

fn place(method: &str) -> usize {
    METHODS.iter().position(|known| *known == method).unwrap_or(METHODS.len())
}

fn label(place: usize) -> &'static str {
    METHODS.get(place).copied().unwrap_or(OTHER)
}
