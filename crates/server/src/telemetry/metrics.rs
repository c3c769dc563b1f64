//! The instruments of the HTTP layer, named by OpenTelemetry's semantic conventions for HTTP servers.
//!
//! The request middleware records here; other modules make their own instruments from the `Meter`.
//! Invariant: no label's values are chosen by clients: the method is one of the known ones, the route is a template.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, Meter, UpDownCounter};

/// The content type of Prometheus' text format, version 0.0.4.
pub const METRICS_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The conventions' boundaries, with three finer ones in front: most answers here come from memory in microseconds.
const SECONDS: [f64; 17] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// What is counted about requests. Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    request_duration: Histogram<f64>,
    active_requests: UpDownCounter<i64>,
}

impl Metrics {
    /// Instruments of `meter`.
    #[must_use]
    pub fn new(meter: &Meter) -> Self {
        Self {
            request_duration: meter
                .f64_histogram("http.server.request.duration")
                .with_unit("s")
                .with_description("Duration of HTTP requests")
                .with_boundaries(SECONDS.to_vec())
                .build(),
            active_requests: meter
                .i64_up_down_counter("http.server.active_requests")
                .with_description("HTTP requests that are being answered")
                .build(),
        }
    }

    /// Notes an answered request. `route` is the template (`/v1/tenants/{id}`), none where nothing matched.
    pub fn record_request(&self, method: &str, route: Option<&str>, status: u16, elapsed: Duration) {
        let route = route.map(|route| KeyValue::new("http.route", route.to_owned()));
        let method = KeyValue::new("http.request.method", known_method(method));
        let status = KeyValue::new("http.response.status_code", i64::from(status));
        let seconds = elapsed.as_secs_f64();
        match route {
            Some(route) => self.request_duration.record(seconds, &[method, status, route]),
            None => self.request_duration.record(seconds, &[method, status]),
        }
    }

    /// Counts a request as active until the answer is dropped, also where the client goes away before.
    #[must_use = "the request is counted as active only while this lives"]
    pub fn request_started(&self, method: &str) -> ActiveRequest {
        let attributes = [KeyValue::new("http.request.method", known_method(method))];
        self.active_requests.add(1, &attributes);
        ActiveRequest { active_requests: self.active_requests.clone(), attributes }
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub struct ActiveRequest {
    active_requests: UpDownCounter<i64>,
    attributes: [KeyValue; 1],
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.active_requests.add(-1, &self.attributes);
    }
}

/// The method, or `_OTHER` as the conventions want it: methods are free text in HTTP, and each would be a new series.
fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("_OTHER")
}
