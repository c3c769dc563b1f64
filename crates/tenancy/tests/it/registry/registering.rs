//! `register`: what is there afterwards, who is refused, and that a refusal changes nothing.

use std::sync::Arc;

use serde_json::json;
use tenancy::{Health, Refusal, Register, RegistryError, TenantConfig};
use tokio::sync::Barrier;

use super::{
    Answer, Judge, changes_so_far, enter, eventually, judged, marked, nobody_at, open, permanent, registered, serves,
    taken, transient, within,
};

#[tokio::test]
async fn registering_validates_and_waits_by_default() {
    let judge = Judge::new();
    let registry = judged(&judge).build();
    let status = enter(&registry, "acme", "https://acme.example.com").await;
    assert_eq!(
        (status.health, judge.calls(), Register::default()),
        (Health::Healthy, 1, Register::AwaitFirstValidation)
    );
    serves(&registry, "acme.example.com", "/", "acme");
}

#[tokio::test]
async fn registering_in_the_background_answers_at_once_and_validates_later() {
    let judge = Judge::of("acme", Answer::Hangs);
    let registry = judged(&judge).build();
    let config = marked("https://acme.example.com", "acme");
    let status = within("an answer", registry.register("acme", config, Register::InBackground)).await;
    assert_eq!(registered(status).health, Health::Pending);
    judge.tell("acme", super::valid());
    eventually("validated", || registry.health("acme") == Some(Health::Healthy)).await;
}

#[tokio::test]
async fn a_pending_tenant_is_refused_and_told_when_to_come_again() {
    let registry = judged(&Judge::new()).auto_validate(false).build();
    enter(&registry, "acme", "https://acme.example.com").await;
    for answer in [registry.resolve_by_host("acme.example.com"), registry.get("acme")] {
        assert!(matches!(answer, Err(Refusal::Pending { retry_after }) if !retry_after.is_zero()), "{answer:?}");
    }
}

#[tokio::test]
async fn without_auto_validation_a_tenant_is_pending_until_a_recheck() {
    let judge = Judge::new();
    let registry = judged(&judge).auto_validate(false).build();
    assert_eq!(enter(&registry, "acme", "https://acme.example.com").await.health, Health::Pending);
    tokio::task::yield_now().await;
    assert_eq!((judge.calls(), registry.health("acme")), (0, Some(Health::Pending)));
    assert_eq!(registered(registry.recheck("acme").await).health, Health::Healthy);
}

#[tokio::test]
async fn without_a_validator_every_tenant_is_valid_at_once_whatever_auto_validate_says() {
    for auto in [true, false] {
        let registry: super::Registry = tenancy::TenantRegistry::builder().auto_validate(auto).build();
        let config = marked("https://acme.example.com", "acme");
        let status = registered(registry.register("acme", config, Register::InBackground).await);
        assert_eq!(status.health, Health::Healthy);
        assert!(status.last_valid_at.is_some());
        serves(&registry, "acme.example.com", "/", "acme");
    }
}

#[tokio::test]
async fn a_tenant_whose_first_validation_fails_is_registered_and_the_status_says_how_it_stands() {
    let judge = Judge::of("later", transient("timed out"));
    judge.tell("never", permanent("wrong key"));
    let registry = judged(&judge).build();
    let later = enter(&registry, "later", "https://later.example.com").await;
    let never = enter(&registry, "never", "https://never.example.com").await;
    assert_eq!(
        (later.health, later.reason.as_deref(), later.consecutive_failures),
        (Health::Pending, Some("timed out"), 1)
    );
    assert_eq!(
        (never.health, never.reason.as_deref(), never.last_valid_at),
        (Health::Disabled, Some("wrong key"), None)
    );
    assert_eq!(registry.list(), [later, never]);
    assert_eq!(registry.get("never").unwrap_err(), Refusal::Disabled { reason: "wrong key".into() });
}

#[tokio::test]
async fn registering_an_id_twice_names_the_holder_and_changes_nothing() {
    let registry = open();
    enter(&registry, "acme", "https://acme.example.com").await;
    let before = registry.list();
    let mut events = registry.subscribe();
    let again = registry.register("acme", marked("https://other.example.com", "other"), Register::default()).await;
    assert_eq!(again, Err(RegistryError::AlreadyRegistered { tenant_id: "acme".into() }));
    assert_eq!((registry.list(), changes_so_far(&mut events)), (before, vec![]));
    serves(&registry, "acme.example.com", "/", "acme");
    nobody_at(&registry, "other.example.com", "/");
    enter(&registry, "other", "https://other.example.com").await;
}

#[track_caller]
fn is_alone(registry: &super::Registry, id: &str) {
    let ids: Vec<_> = registry.list().into_iter().map(|status| status.tenant_id).collect();
    assert_eq!(ids, [id]);
}

/// In both orders, by the URL itself and by an alias, and however the route is spelled.
#[tokio::test]
async fn a_route_of_another_tenant_is_an_error_that_names_it_and_changes_nothing() {
    let (one, other) = ("https://example.com/api", "http://user@EXAMPLE.com.:8443/api/");
    for (first, second) in [(one, other), (other, one)] {
        let registry = open();
        enter(&registry, "first", first).await;
        let result = registry.register("second", marked(second, "second"), Register::default()).await;
        taken(&result, "example.com", "/api", "first");
        let config = marked("https://fine.example.com", "second").alias(second);
        taken(&registry.register("second", config, Register::default()).await, "example.com", "/api", "first");
        is_alone(&registry, "first");
        nobody_at(&registry, "fine.example.com", "/");
        serves(&registry, "example.com", "/api", "first");
    }
}

#[tokio::test]
async fn the_same_wildcard_is_taken_and_other_prefixes_and_hosts_are_not() {
    let registry = open();
    enter(&registry, "wild", "https://*.example.com").await;
    let result = registry.register("other", marked("https://*.Example.com/", "other"), Register::default()).await;
    taken(&result, "*.example.com", "/", "wild");
    for (id, url) in [
        ("a", "https://*.example.com/a"),
        ("b", "https://a.example.com"),
        ("c", "https://example.com"),
        ("d", "https://a.example.com/a"),
    ] {
        enter(&registry, id, url).await;
    }
}

/// Runs `claim` in 16 tasks at once, and gives the number of those that won.
async fn winners<F>(claim: impl Fn(usize) -> F) -> usize
where
    F: Future<Output = bool> + Send + 'static,
{
    let together = Arc::new(Barrier::new(16));
    let tasks: Vec<_> = (0..16)
        .map(|n| {
            let (together, claim) = (Arc::clone(&together), claim(n));
            tokio::spawn(async move {
                together.wait().await;
                claim.await
            })
        })
        .collect();
    let mut won = 0;
    for task in tasks {
        won += usize::from(matches!(within("a claim", task).await, Ok(true)));
    }
    won
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_claim_one_route_at_once_exactly_one_wins() {
    let judge = Judge::new();
    for _ in 0..50 {
        let registry = judged(&judge).build();
        let won = winners(|n| {
            let registry = registry.clone();
            async move {
                // Everybody has a route of their own beside it, which only the winner may keep.
                let config =
                    TenantConfig::new(format!("https://own-{n}.example.com"), "p").alias("https://one.example.com");
                match registry.register(n.to_string(), config, Register::default()).await {
                    Ok(_) => true,
                    Err(RegistryError::RouteTaken { host, path, .. }) => {
                        assert_eq!((&*host, &*path), ("one.example.com", "/"));
                        assert!(registry.resolve_by_host(&format!("own-{n}.example.com")).is_err());
                        false
                    }
                    Err(other) => unreachable!("{other}"),
                }
            }
        })
        .await;
        assert_eq!((won, registry.list().len()), (1, 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_register_one_id_at_once_exactly_one_wins() {
    for _ in 0..50 {
        let registry = open();
        let won = winners(|n| {
            let registry = registry.clone();
            async move {
                let config = TenantConfig::new(format!("https://own-{n}.example.com"), "p");
                registry.register("acme", config, Register::default()).await.is_ok()
            }
        })
        .await;
        assert_eq!((won, registry.list().len()), (1, 1));
        let reached = |n: &usize| registry.resolve_by_host(&format!("own-{n}.example.com")).is_ok();
        assert_eq!((0..16).filter(reached).count(), 1);
    }
}

#[tokio::test]
async fn two_spellings_of_one_route_in_one_configuration_are_one() {
    let registry = open();
    let config = marked("https://acme.example.com/api", "acme")
        .alias("http://ACME.example.com:8080/api/")
        .alias("https://acme.example");
    let status = registered(registry.register("acme", config, Register::default()).await);
    assert_eq!(status.urls, ["https://acme.example.com/api", "https://acme.example"]);
    serves(&registry, "acme.example.com", "/api", "acme");
}

#[tokio::test]
async fn the_status_says_what_was_configured_and_found() {
    let judge = Judge::new();
    let registry = judged(&judge).build();
    let config = marked("HTTPS://Acme.Example.com:443/", "acme").alias("https://acme.example/shop/").label("Acme Ltd");
    let status = registered(registry.register("acme", config, Register::default()).await);
    assert_eq!(status.tenant_id, "acme");
    assert_eq!(status.urls, ["https://acme.example.com", "https://acme.example/shop"]);
    assert_eq!((status.health, status.reason.as_deref(), status.suspended.as_deref()), (Health::Healthy, None, None));
    assert!(status.last_checked_at.is_some() && status.last_checked_at == status.last_valid_at);
    assert_eq!((status.next_check_at, status.consecutive_failures, status.config_version), (None, 0, 1));
    assert_eq!(status.label.as_deref(), Some("Acme Ltd"));
    assert_eq!(registry.status("acme"), Some(status));
}

#[tokio::test]
async fn the_validator_is_told_who_and_where_and_with_which_key_and_metadata() {
    let judge = Judge::new();
    let registry = judged(&judge).build();
    let config = TenantConfig::new("https://*.Example.com/", "acme")
        .alias("https://acme.example/api/")
        .metadata("region", "us")
        .metadata("region", "eu")
        .signing_key(json!({"kid": "k1"}));
    registered(registry.register("acme", config, Register::default()).await);
    let target = judge.last_target().unwrap();
    assert_eq!(target.tenant_id, "acme");
    assert_eq!(*target.urls, ["https://*.example.com", "https://acme.example/api"]);
    assert_eq!(target.signing_key, Some(json!({"kid": "k1"})));
    assert_eq!(target.metadata.iter().collect::<Vec<_>>(), [(&"region".to_owned(), &"eu".to_owned())]);
}

#[tokio::test]
async fn who_drops_a_registration_stops_neither_it_nor_the_validation() {
    let judge = Judge::of("acme", Answer::Hangs);
    let registry = judged(&judge).build();
    {
        let registering = registry.register("acme", marked("https://acme.example.com", "acme"), Register::default());
        tokio::select! {
            biased;
            _ = registering => unreachable!("the judge hangs"),
            () = judge.was_asked(1) => {}
        }
    }
    assert_eq!(registry.health("acme"), Some(Health::Pending));
    judge.tell("acme", super::valid());
    eventually("validated", || registry.health("acme") == Some(Health::Healthy)).await;
    assert_eq!(judge.calls(), 1);
}

#[tokio::test]
async fn one_tenants_trouble_touches_no_other() {
    let judge = Judge::of("hangs", Answer::Hangs);
    judge.tell("panics", Answer::Panics);
    judge.tell("fails", permanent("no"));
    let registry = judged(&judge).build();
    for id in ["hangs", "panics", "fails"] {
        let config = marked(&format!("https://{id}.example.com"), id);
        registered(registry.register(id, config, Register::InBackground).await);
    }
    let status = within("a registration", enter(&registry, "acme", "https://acme.example.com")).await;
    assert_eq!(status.health, Health::Healthy);
    serves(&registry, "acme.example.com", "/", "acme");
}
