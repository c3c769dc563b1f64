//! Suspension: the control plane's word, which is no health and which no finding lifts.

use tenancy::{Health, Refusal, Register};

use super::{
    Answer, Judge, Registry, Work, Works, at, changes_so_far, enter, judged, nobody_at, open, permanent, registered,
    serves, transient, valid,
};

const URL: &str = "https://acme.example.com";
const HOST: &str = "acme.example.com";

fn suspended(reason: &str) -> Refusal {
    Refusal::Suspended { reason: reason.into() }
}

#[track_caller]
fn is_suspended(registry: &Registry, reason: &str) {
    assert_eq!(at(registry, HOST, "/"), Err(suspended(reason)));
    assert_eq!(registry.get("acme").err(), Some(suspended(reason)));
    assert_eq!(registry.status("acme").and_then(|status| status.suspended), Some(reason.into()));
}

#[tokio::test]
async fn a_suspended_tenant_is_refused_until_it_is_resumed() {
    let registry = open();
    enter(&registry, "acme", URL).await;
    assert!(registry.suspend("acme", "not paid"));
    is_suspended(&registry, "not paid");
    assert!(registry.resume("acme"));
    serves(&registry, HOST, "/", "acme");
    assert_eq!(registry.status("acme").unwrap().suspended, None);
}

#[tokio::test]
async fn both_say_whether_the_tenant_is_registered_and_something_changed() {
    let registry = open();
    assert!(!registry.suspend("acme", "not paid") && !registry.resume("acme"));
    enter(&registry, "acme", URL).await;
    assert!(!registry.resume("acme"));
    assert!(registry.suspend("acme", "not paid"));
    assert!(!registry.suspend("acme", "not paid"));
    assert!(registry.suspend("acme", "fraud"));
    is_suspended(&registry, "fraud");
    assert!(registry.resume("acme") && !registry.resume("acme"));
    assert!(registry.unregister("acme"));
    assert!(!registry.suspend("acme", "not paid") && !registry.resume("acme"));
    enter(&registry, "acme", URL).await;
    serves(&registry, HOST, "/", "acme");
}

#[tokio::test]
async fn it_counts_before_health_and_is_none() {
    let judge = Judge::new();
    let registry = judged(&judge).auto_validate(false).build();
    enter(&registry, "acme", URL).await;
    let mut events = registry.subscribe();
    assert!(registry.suspend("acme", "not paid"));
    for (answer, health) in [
        (None, Health::Pending),
        (Some(valid()), Health::Healthy),
        (Some(transient("t")), Health::Unverified),
        (Some(permanent("p")), Health::Disabled),
    ] {
        if let Some(answer) = answer {
            judge.tell("acme", answer);
            registered(registry.recheck("acme").await);
        }
        assert_eq!(registry.health("acme"), Some(health));
        is_suspended(&registry, "not paid");
    }
    assert_eq!(changes_so_far(&mut events).len(), 3);
    assert!(registry.resume("acme"));
    assert_eq!(changes_so_far(&mut events), []);
    assert_eq!(at(&registry, HOST, "/"), Err(Refusal::Disabled { reason: "p".into() }));
}

#[tokio::test]
async fn requests_do_not_build_a_suspended_lazy_tenant() {
    let (registry, works) = (open(), Works::default());
    registered(registry.register("acme", works.config(URL, "built"), Register::InBackground).await);
    assert!(registry.suspend("acme", "not paid"));
    assert_eq!(registry.resolve_lazy(HOST).await.unwrap_err(), suspended("not paid"));
    assert_eq!(registry.get_lazy("acme").await.unwrap_err(), suspended("not paid"));
    tokio::task::yield_now().await;
    assert_eq!((works.runs(), registry.health("acme")), (0, Some(Health::Pending)));
    assert!(registry.resume("acme"));
    assert!(registry.resolve_lazy(HOST).await.is_ok());
}

/// A request that asked before the suspension, and whose turn comes after it.
#[tokio::test]
async fn a_request_that_waits_for_a_validation_builds_nothing_that_was_suspended_meanwhile() {
    let (judge, works) = (Judge::of("acme", Answer::Hangs), Works::default());
    let registry = judged(&judge).build();
    registered(registry.register("acme", works.config(URL, "built"), Register::InBackground).await);
    judge.was_asked(1).await;
    let mut request = std::pin::pin!(registry.resolve_lazy(HOST));
    assert!(futures_util::poll!(&mut request).is_pending());
    assert!(registry.suspend("acme", "not paid"));
    judge.tell("acme", valid());
    let answer = super::within("an answer", request).await;
    assert_eq!((answer.unwrap_err(), works.runs()), (suspended("not paid"), 0));
}

#[tokio::test]
async fn a_recheck_builds_a_suspended_lazy_tenant_and_does_not_lift_the_suspension() {
    let (registry, works) = (open(), Works::that(Work::Succeeds));
    registered(registry.register("acme", works.config(URL, "built"), Register::InBackground).await);
    assert!(registry.suspend("acme", "not paid"));
    assert_eq!(registered(registry.recheck("acme").await).health, Health::Healthy);
    assert_eq!(works.runs(), 1);
    is_suspended(&registry, "not paid");
}

#[tokio::test]
async fn a_suspended_tenant_keeps_its_routes() {
    let registry = open();
    enter(&registry, "root", "https://example.com").await;
    enter(&registry, "acme", "https://example.com/acme").await;
    assert!(registry.suspend("acme", "not paid"));
    assert_eq!(at(&registry, "example.com", "/acme/x"), Err(suspended("not paid")));
    serves(&registry, "example.com", "/x", "root");
    nobody_at(&registry, "other.example.com", "/acme");
}

#[tokio::test]
async fn requests_in_flight_finish() {
    let registry = open();
    enter(&registry, "acme", URL).await;
    let held = registry.get("acme").unwrap();
    assert!(registry.suspend("acme", "not paid"));
    assert_eq!(*held.platform, "acme");
}
