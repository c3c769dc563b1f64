//! W3C Trace Context: a request that belongs to a caller's trace goes on with it.
//!
//! The request middleware calls [`continue_trace`] right after it made the request's span.
//! Invariant: nothing global. The propagator is a value, so that tests and an embedding program cannot disturb it.

use http::HeaderMap;
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

const TRACEPARENT: &str = "traceparent";

/// Makes `span` a child of the caller's span that `traceparent` and `tracestate` name, and answers the trace's id for
/// the log. An absent or malformed header starts a trace of its own.
///
/// Call it before the span is entered for the first time: its parent is fixed from then on. Where nothing is exported
/// the answer is the caller's trace id alone, so that log lines can still be joined with the caller's.
pub fn continue_trace(span: &Span, headers: &HeaderMap) -> Option<String> {
    // Most requests belong to no trace, and then there is nothing to take out.
    if !headers.contains_key(TRACEPARENT) {
        return trace_id(span);
    }
    let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers));
    let remote = parent.span().span_context().clone();
    if remote.is_valid() {
        // Fails where no layer keeps traces, and where the span is filtered out; neither is worth a word per request.
        let _ = span.set_parent(parent);
    }
    trace_id(span).or_else(|| remote.is_valid().then(|| remote.trace_id().to_string()))
}

/// The id of the trace that `span` is part of, where traces are kept.
#[must_use]
pub fn trace_id(span: &Span) -> Option<String> {
    let context = span.context();
    let context = context.span().span_context().clone();
    context.is_valid().then(|| context.trace_id().to_string())
}

struct Headers<'h>(&'h HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        // Two `traceparent` are none: which of them is the caller's cannot be known.
        let mut values = self.0.get_all(key).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok(),
            (None, _) | (Some(_), Some(_)) => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
