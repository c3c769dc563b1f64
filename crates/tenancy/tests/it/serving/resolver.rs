//! Tenants that a resolver names instead of host and path.

use std::net::IpAddr;

use http::StatusCode;
use tenancy::{
    Chain, ClaimResolver, HeaderResolver, HostResolver, IpNet, PeerAddr, Principal, RequestHead, Resolution,
    TenantLayer, TenantResolver, TenantService, resolver_fn,
};

use super::{app, every_state, request, send};

async fn by(resolver: impl TenantResolver + 'static) -> TenantService<axum::Router> {
    TenantLayer::with_resolver(every_state(|| app("shop")).await, resolver).into_service()
}

#[tokio::test]
async fn a_named_tenant_passes_the_same_gate() {
    let service = by(HeaderResolver::default()).await;
    for (id, code) in
        [("pending", "tenant_pending"), ("disabled", "tenant_disabled"), ("suspended", "tenant_suspended")]
    {
        assert_eq!(send(&service, request("/", &[("x-tenant-id", id)])).await.problem(), code);
    }
    for id in ["healthy", "unverified"] {
        assert_eq!(send(&service, request("/", &[("x-tenant-id", id)])).await.status, StatusCode::OK);
    }
    send(&service, request("/", &[("x-tenant-id", "nobody")])).await.is_nobody();
    send(&service, request("/", &[("host", "healthy.example.com")])).await.is_nobody();
}

#[tokio::test]
async fn a_rejection_is_a_problem_with_its_status_and_code() {
    let teapot = resolver_fn(|_: &RequestHead<'_>| Resolution::reject(StatusCode::IM_A_TEAPOT, "teapot"));
    let answer = send(&by(teapot).await, request("/", &[])).await;
    assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::IM_A_TEAPOT, "teapot"));

    let chain = Chain::new().then(HeaderResolver::default());
    let answer = send(&by(chain).await, request("/", &[("x-tenant-id", "a"), ("x-tenant-id", "b")])).await;
    assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::FORBIDDEN, "tenant_mismatch"));
}

#[tokio::test]
async fn the_principal_is_weighed_with_a_chain_and_without() {
    for service in [
        by(HeaderResolver::default()).await,
        by(Chain::new().then(ClaimResolver).then(HeaderResolver::default())).await,
    ] {
        let asks = |tenant: Option<&str>, bound_to: &str| {
            let headers: Vec<_> = tenant.map(|id| ("x-tenant-id", id)).into_iter().collect();
            let mut request = request("/", &headers);
            request.extensions_mut().insert(Principal::token("user-7").with_tenant(bound_to));
            request
        };
        assert_eq!(send(&service, asks(None, "healthy")).await.status, StatusCode::OK);
        assert_eq!(send(&service, asks(Some("healthy"), "healthy")).await.status, StatusCode::OK);
        assert_eq!(send(&service, asks(Some("healthy"), "globex")).await.problem(), "tenant_mismatch");
        assert_eq!(send(&service, asks(Some("pending"), "globex")).await.problem(), "tenant_mismatch");
        send(&service, asks(None, "globex")).await.is_nobody();
    }
}

#[tokio::test]
async fn a_resolver_sees_the_peer_and_the_host_that_a_trusted_proxy_forwards() {
    let by_peer = resolver_fn(|head: &RequestHead<'_>| match head.peer {
        Some(IpAddr::V4(peer)) if peer.is_private() => Resolution::hint("healthy"),
        _ => Resolution::NotMine,
    });
    let from = |peer: &str, headers: &[(&str, &str)]| {
        let mut request = request("/", headers);
        request.extensions_mut().insert(PeerAddr(peer.parse().unwrap()));
        request
    };
    let service = by(by_peer).await;
    assert_eq!(send(&service, from("[::ffff:10.0.0.1]:80", &[])).await.status, StatusCode::OK);
    send(&service, from("192.0.2.7:80", &[])).await.is_nobody();

    let service = TenantLayer::with_resolver(
        every_state(|| app("shop")).await,
        HostResolver::subdomain_of("example.com").unwrap(),
    )
    .trusted_proxies(["10.0.0.0/8".parse::<IpNet>().unwrap()])
    .into_service();
    let headers = [("host", "internal.example.com"), ("x-forwarded-host", "healthy.example.com")];
    assert_eq!(send(&service, from("10.0.0.1:80", &headers)).await.status, StatusCode::OK);
    send(&service, from("192.0.2.7:80", &headers)).await.is_nobody();
}
