//! Every request is reported once, with its tenant.

use std::sync::{Arc, Mutex};

use tenancy::{RequestReport, TenantLayer, TenantService};
use tower::{Layer, ServiceExt};
use tracing_subscriber::layer::SubscriberExt;

use super::{app, ask, every_state, request, send, tokens};

type Reports = Arc<Mutex<Vec<String>>>;

async fn reported() -> (TenantService<axum::Router>, Reports) {
    let reports = Reports::default();
    let service = TenantLayer::new(every_state(|| app("shop")).await)
        .on_request({
            let reports = Arc::clone(&reports);
            move |request: &RequestReport<'_>| {
                let tenant = request.tenant_id.map_or("-", |id| id.as_str());
                let status = request.status.map_or(0, |status| status.as_u16());
                reports.lock().unwrap().push(format!("{tenant} {} {status}", request.decision.as_str()));
            }
        })
        .into_service();
    (service, reports)
}

#[tokio::test]
async fn a_report_names_the_tenant_also_where_it_was_refused() {
    let (service, reports) = reported().await;
    for host in ["healthy", "pending", "disabled", "suspended", "nobody"] {
        ask(&service, &format!("{host}.example.com")).await;
    }
    let foreign = request("/", &[("host", "healthy.example.com"), ("authorization", "Bearer globex")]);
    send(&tokens().layer(service.clone()), foreign).await;
    send(&service, request("http://a.example.com/", &[("host", "b.example.com")])).await;
    assert_eq!(
        *reports.lock().unwrap(),
        [
            "healthy served 200",
            "pending pending 503",
            "disabled disabled 503",
            "suspended suspended 503",
            "- unknown_host 404",
            "healthy mismatch 403",
            "- rejected 400",
        ]
    );
}

#[tokio::test]
async fn a_request_that_was_given_up_is_reported_without_a_status() {
    let (service, reports) = reported().await;
    drop(service.oneshot(request("/", &[("host", "healthy.example.com")])));
    // Never polled, so never begun.
    assert!(reports.lock().unwrap().is_empty());

    let (mut service, reports) = reported().await;
    drop(tower::Service::call(&mut service, request("/", &[("host", "healthy.example.com")])));
    assert_eq!(*reports.lock().unwrap(), ["healthy served 0"]);
}

/// Writes down the names and fields of spans that were made.
struct Spans(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Spans {
    fn on_new_span(
        &self,
        attributes: &tracing::span::Attributes<'_>,
        _id: &tracing::span::Id,
        _context: tracing_subscriber::layer::Context<'_, S>,
    ) {
        struct Text(String);
        impl tracing::field::Visit for Text {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0 = format!("{field}={value:?}");
            }
        }
        let mut text = Text(String::new());
        attributes.record(&mut text);
        self.0.lock().unwrap().push(format!("{} {}", attributes.metadata().name(), text.0));
    }
}

#[tokio::test]
async fn the_inner_service_runs_in_a_span_with_the_tenant_unless_that_is_off() {
    let registry = every_state(|| app("shop")).await;
    let spans = Arc::new(Mutex::new(Vec::new()));
    let subscriber = tracing_subscriber::registry().with(Spans(Arc::clone(&spans)));
    let _listening = tracing::subscriber::set_default(subscriber);
    let with = TenantLayer::new(registry.clone()).into_service();
    let without = TenantLayer::new(registry).spans(false).into_service();
    ask(&without, "healthy.example.com").await;
    ask(&with, "disabled.example.com").await;
    assert!(spans.lock().unwrap().is_empty());
    ask(&with, "healthy.example.com").await;
    assert_eq!(*spans.lock().unwrap(), [r#"request tenant.id="healthy""#]);
}
