//! Tenants that are built by their first request.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use http::StatusCode;
use tenancy::{Principal, Register, TenantConfig, TenantRegistry};
use tokio::sync::Semaphore;
use tower::Layer;

use super::{app, ask, registry, request, send, tokens};

/// A lazy tenant whose factory counts its runs and waits for a permit.
async fn lazy(registry: &TenantRegistry<Router>) -> (Arc<AtomicUsize>, Arc<Semaphore>) {
    let (runs, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let config = TenantConfig::lazy("https://beta.example.com", {
        let (runs, gate) = (Arc::clone(&runs), Arc::clone(&gate));
        move || {
            runs.fetch_add(1, Ordering::SeqCst);
            let gate = Arc::clone(&gate);
            async move {
                let _permit = gate.acquire().await.map_err(|_| "no database")?;
                Ok::<_, &str>(app("beta"))
            }
        }
    });
    registry.register("beta", config, Register::InBackground).await.unwrap();
    (runs, gate)
}

#[tokio::test]
async fn fifty_first_requests_build_once_and_are_all_served() {
    let registry = registry();
    let (runs, gate) = lazy(&registry).await;
    let service = registry.into_service();
    let requests: Vec<_> = (0..50)
        .map(|_| {
            let service = service.clone();
            tokio::spawn(async move { ask(&service, "beta.example.com").await })
        })
        .collect();
    while runs.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    assert!(requests.iter().all(|request| !request.is_finished()));
    gate.add_permits(1);
    for request in requests {
        let answer = request.await.unwrap();
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, "beta /"));
    }
    assert_eq!(ask(&service, "beta.example.com").await.status, StatusCode::OK);
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_failed_factory_is_a_state_and_not_a_500() {
    let registry = registry();
    let (runs, gate) = lazy(&registry).await;
    gate.close();
    let service = registry.into_service();
    assert_eq!(ask(&service, "beta.example.com").await.problem(), "tenant_disabled");
    assert_eq!(ask(&service, "beta.example.com").await.problem(), "tenant_disabled");
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_caller_who_goes_away_does_not_stop_the_building() {
    let registry = registry();
    let (runs, gate) = lazy(&registry).await;
    let service = registry.into_service();
    let first = tokio::spawn({
        let service = service.clone();
        async move { ask(&service, "beta.example.com").await }
    });
    while runs.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    first.abort();
    assert!(first.await.is_err());
    gate.add_permits(1);
    assert_eq!(ask(&service, "beta.example.com").await.status, StatusCode::OK);
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn nothing_is_built_for_a_suspended_tenant_or_for_another_tenants_principal() {
    let registry = registry();
    let (runs, _gate) = lazy(&registry).await;
    let service = registry.clone().into_service();

    let guarded = tokens().layer(service.clone());
    let foreign = request("/", &[("host", "beta.example.com"), ("authorization", "Bearer acme")]);
    let answer = send(&guarded, foreign).await;
    assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::FORBIDDEN, "tenant_mismatch"));

    registry.suspend("beta", "not paid");
    assert_eq!(ask(&service, "beta.example.com").await.problem(), "tenant_suspended");
    assert_eq!(runs.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_host_that_changes_hands_during_the_wait_is_judged_again() {
    let registry = registry();
    let (runs, gate) = lazy(&registry).await;
    let service = registry.clone().into_service();
    let waiting = tokio::spawn(async move {
        let mut request = request("/", &[("host", "beta.example.com")]);
        request.extensions_mut().insert(Principal::token("user-7").with_tenant("beta"));
        send(&service, request).await
    });
    while runs.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    registry.unregister("beta");
    let config = TenantConfig::new("https://beta.example.com", app("gamma"));
    registry.register("gamma", config, Register::default()).await.unwrap();
    gate.add_permits(1);
    assert_eq!(waiting.await.unwrap().problem(), "tenant_mismatch");
}
