//! What the layer adds to a request, in processor time: an axum handler with and without it, called without a socket.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use futures_util::FutureExt;
use http::Request;
use tenancy::TenantLayer;
use tower::{Service, ServiceBuilder};

use crate::Outcome;
use crate::report::{Report, median, range};
use crate::setup::{host, registry};

const TENANTS: usize = 1_000;
const ROUNDS: usize = 11;
const CALLS: usize = 200_000;

/// Processor time of this thread, in nanoseconds (`/proc/thread-self/schedstat`, proc(5)).
fn processor_time() -> Outcome<u64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(stat.split_whitespace().next().ok_or("no figure")?.parse()?)
}

/// Nanoseconds of processor time per request.
fn time<S, B>(service: &mut S, hosts: &[Arc<str>]) -> Outcome<f64>
where
    S: Service<Request<Body>, Response = http::Response<B>>,
    S::Error: std::fmt::Debug,
{
    let before = processor_time()?;
    for i in 0..CALLS {
        let mut request = Request::new(Body::empty());
        request.headers_mut().insert(http::header::HOST, http::HeaderValue::from_str(&hosts[i % hosts.len()])?);
        let response = service.call(request).now_or_never().expect("nothing to wait for").expect("an answer");
        assert_eq!(response.status(), http::StatusCode::OK);
    }
    Ok((processor_time()? - before) as f64 / CALLS as f64)
}

pub(crate) fn measure(report: &mut Report) -> Outcome {
    let hosts: Vec<Arc<str>> = (0..TENANTS).map(|i| host(i).into()).collect();
    let mut bare = Router::new().route("/", get(|| async { "hello" }));
    let layer = TenantLayer::new(registry(TENANTS));
    let mut layered = ServiceBuilder::new().layer(layer).service(bare.clone());
    let (mut without, mut with, mut more) = (vec![], vec![], vec![]);
    for round in 0..=ROUNDS {
        let a = time(&mut bare, &hosts)?;
        let b = time(&mut layered, &hosts)?;
        // The first round warms up.
        if round > 0 {
            without.push(a);
            with.push(b);
            more.push(b - a);
        }
    }
    let (low, high) = range(&more);
    let added = median(more);
    report.show("axum handler in process, bare", format!("{:.0} ns of processor time", median(without)));
    report.judge(
        "the same within TenantLayer",
        format!("{:.0} ns, {added:.0} ns more (rounds {low:.0} to {high:.0})", median(with)),
        "under 1 µs more",
        added < 1_000.0,
    );
    Ok(())
}
