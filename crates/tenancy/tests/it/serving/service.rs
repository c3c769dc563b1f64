//! Every tenant as its own app: who is called, when it is ready, and what a change leaves of requests in flight.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Request, Response, StatusCode};
use tenancy::{CurrentTenant, PlatformService, Register, TenantConfig, TenantLayer};
use tokio::sync::Notify;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

use super::{app, ask, every_state, register, registry, request, send};

#[tokio::test]
async fn each_tenants_app_answers_its_own_host_and_prefix() {
    let registry = registry();
    for (id, url) in [
        ("acme", "https://acme.example.com"),
        ("api", "https://acme.example.com/api"),
        ("wild", "https://*.wild.example"),
    ] {
        registry.register(id, TenantConfig::new(url, app(id)), Register::default()).await.unwrap();
    }
    let service = registry.into_service();
    for (host, path, text) in [
        ("acme.example.com", "/", "acme /"),
        ("acme.example.com", "/apis", "acme /apis"),
        ("acme.example.com", "/api/orders", "api /api/orders"),
        ("any.wild.example", "/x", "wild /x"),
    ] {
        assert_eq!(send(&service, request(path, &[("host", host)])).await.text, text);
    }
}

#[tokio::test]
async fn every_state_is_answered_as_behind_a_layer() {
    let service = every_state(|| app("shop")).await.into_service();
    for state in ["healthy", "unverified"] {
        assert_eq!(ask(&service, &format!("{state}.example.com")).await.status, StatusCode::OK);
    }
    for state in ["pending", "disabled", "suspended"] {
        assert_eq!(ask(&service, &format!("{state}.example.com")).await.problem(), format!("tenant_{state}"));
    }
    ask(&service, "nobody.example.com").await.is_nobody();
}

/// Refuses to be called unless the very clone was ready.
#[derive(Default)]
struct Strict {
    ready: bool,
    asked: bool,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Service<Request<Body>> for Strict {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if !std::mem::replace(&mut self.asked, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<Body>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called without having been ready");
        ready(Ok(Response::new(Body::from("strict"))))
    }
}

#[tokio::test]
async fn a_platform_is_called_by_the_clone_that_was_ready() {
    let registry = registry();
    register(&registry, "acme", Strict::default()).await;
    let service = registry.into_service();
    for _ in 0..3 {
        assert_eq!(ask(&service, "acme.example.com").await.text, "strict");
    }
}

#[tokio::test]
async fn a_layer_calls_the_inner_service_that_was_ready_also_after_a_wait() {
    let registry = registry();
    let config = TenantConfig::lazy("https://beta.example.com", async || Ok::<_, String>(()));
    registry.register("beta", config, Register::InBackground).await.unwrap();
    let mut service = ServiceBuilder::new().layer(TenantLayer::new(registry)).service(Strict::default());
    for _ in 0..3 {
        let ready = ServiceExt::<Request<Body>>::ready(&mut service).await.unwrap();
        let response = ready.call(request("/", &[("host", "beta.example.com")])).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn a_platforms_own_error_is_the_services() {
    let registry = registry();
    let failing = service_fn(async |_: Request<Body>| Err::<Response<Body>, _>(std::io::Error::other("disk")));
    register(&registry, "acme", failing).await;
    let error = registry.into_service().oneshot(request("/", &[("host", "acme.example.com")])).await.unwrap_err();
    assert_eq!(error.to_string(), "disk");
}

#[tokio::test]
async fn a_request_in_flight_finishes_whatever_happens_to_its_tenant() {
    let registry = registry();
    let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = {
        let (entered, go_on) = (Arc::clone(&entered), Arc::clone(&go_on));
        move || async move {
            entered.notify_one();
            go_on.notified().await;
            "the old one"
        }
    };
    register(&registry, "acme", Router::new().route("/", get(slow))).await;
    let service = registry.clone().into_service();
    let in_flight = tokio::spawn({
        let service = service.clone();
        async move { ask(&service, "acme.example.com").await }
    });
    entered.notified().await;
    registry.replace("acme", TenantConfig::new("https://acme.example.com", app("new"))).await.unwrap();
    assert_eq!(ask(&service, "acme.example.com").await.text, "new /");
    registry.unregister("acme");
    ask(&service, "acme.example.com").await.is_nobody();
    go_on.notify_one();
    let answer = in_flight.await.unwrap();
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, "the old one"));
}

#[tokio::test]
async fn layers_of_ones_own_go_between_the_tenant_and_its_app() {
    let registry = registry();
    register(&registry, "acme", app("acme")).await;
    let service = ServiceBuilder::new()
        .layer(TenantLayer::new(registry))
        .map_response(|mut response: Response<Body>| {
            response.headers_mut().insert("x-between", "yes".parse().unwrap());
            response
        })
        .map_request(|request: Request<Body>| {
            assert!(request.extensions().get::<CurrentTenant<Router>>().is_some());
            request
        })
        .service(PlatformService::<Router>::default());
    assert_eq!(ask(&service, "acme.example.com").await.header("x-between"), Some("yes"));
    let alone = PlatformService::<Router>::default();
    assert_eq!(ask(&alone, "acme.example.com").await.status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn it_goes_to_axum_serve_as_it_is_and_knows_its_peers() {
    let registry = registry();
    register(&registry, "acme", app("acme")).await;
    register(&registry, "globex", app("globex")).await;
    let trusting = TenantLayer::new(registry).trusted_proxies(["127.0.0.0/8".parse::<tenancy::IpNet>().unwrap()]);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = tokio::spawn(axum::serve(listener, trusting.into_service()).into_future());
    let ask = |headers: &[(&'static str, &'static str)]| {
        let request = reqwest::Client::new().get(format!("http://{addr}/x"));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        async move { request.send().await.unwrap().text().await.unwrap() }
    };
    assert_eq!(ask(&[("host", "acme.example.com")]).await, "acme /x");
    assert_eq!(ask(&[("host", "acme.example.com"), ("x-forwarded-host", "globex.example.com")]).await, "globex /x");
    server.abort();
}
