//! Proof always counts: a principal of one tenant reaches no other, and learns nothing of it.

use http::StatusCode;
use tenancy::{PlatformService, TenantLayer};
use tower::Layer;

use super::{app, ask, every_state, request, send, tokens};

#[tokio::test]
async fn a_foreign_principal_is_told_the_same_of_every_state() {
    let service = tokens().layer(every_state(|| app("shop")).await.into_service());
    for state in ["healthy", "pending", "unverified", "disabled", "suspended"] {
        let host = format!("{state}.example.com");
        let as_token = |token: &str| request("/", &[("host", &host), ("authorization", &format!("Bearer {token}"))]);
        let foreign = send(&service, as_token("globex")).await;
        assert_eq!((foreign.status, foreign.problem().as_str()), (StatusCode::FORBIDDEN, "tenant_mismatch"), "{state}");

        let served = ["healthy", "unverified"].contains(&state);
        let expected = if served { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        assert_eq!(send(&service, as_token(state)).await.status, expected, "its own");
        assert_eq!(send(&service, as_token("operator")).await.status, expected, "bound to none");
    }
    send(&service, request("/", &[("host", "nobody.example.com"), ("authorization", "Bearer acme")])).await.is_nobody();
}

#[tokio::test]
async fn without_a_credential_not_even_the_host_is_looked_at() {
    let service = tokens().layer(every_state(|| app("shop")).await.into_service());
    for host in ["healthy.example.com", "suspended.example.com", "nobody.example.com"] {
        let answer = ask(&service, host).await;
        assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::UNAUTHORIZED, "unauthenticated"));
    }
}

/// Credentials that are verified only inside of the layer find the tenant decided, and are weighed all the same.
#[tokio::test]
async fn a_credential_that_is_verified_inside_of_the_layer_is_weighed_too() {
    let registry = every_state(|| app("shop")).await;
    let service = TenantLayer::new(registry).layer(tokens().layer(PlatformService::<axum::Router>::default()));
    let of =
        |token: &str| request("/", &[("host", "healthy.example.com"), ("authorization", &format!("Bearer {token}"))]);
    let foreign = send(&service, of("globex")).await;
    assert_eq!((foreign.status, foreign.problem().as_str()), (StatusCode::FORBIDDEN, "tenant_mismatch"));
    assert_eq!(send(&service, of("healthy")).await.status, StatusCode::OK);
}
