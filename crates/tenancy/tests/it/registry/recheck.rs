//! `recheck`: what each verdict does to a tenant, one validation for all who ask, and validators that misbehave.

use std::time::Duration;

use futures_util::future::join_all;
use tenancy::{Health, Refusal, Register, Verdict};

use super::{
    Answer, Judge, at, enter, eventually, judged, marked, open, permanent, registered, serves, transient,
    unknown_tenant, valid, within,
};

const URL: &str = "https://acme.example.com";

#[tokio::test]
async fn every_verdict_leads_where_the_table_of_health_says() {
    let judge = Judge::of("acme", transient("t1"));
    let registry = judged(&judge).build();
    assert_eq!(enter(&registry, "acme", URL).await.health, Health::Pending);
    for (answer, health, reason, failures) in [
        (permanent("p1"), Health::Disabled, Some("p1"), 2),
        // Never valid: trouble that passes does not open the door.
        (transient("t2"), Health::Disabled, Some("p1"), 3),
        (valid(), Health::Healthy, None, 0),
        (transient("t3"), Health::Unverified, Some("t3"), 1),
        (transient("t4"), Health::Unverified, Some("t4"), 2),
        (valid(), Health::Healthy, None, 0),
        (permanent("p2"), Health::Disabled, Some("p2"), 1),
        (transient("t5"), Health::Disabled, Some("p2"), 2),
        (valid(), Health::Healthy, None, 0),
    ] {
        judge.tell("acme", answer);
        let status = registered(registry.recheck("acme").await);
        assert_eq!((status.health, status.reason.as_deref(), status.consecutive_failures), (health, reason, failures));
        assert_eq!(at(&registry, "acme.example.com", "/").is_ok(), health.serves());
        assert_eq!(registry.get("acme").is_ok(), health.serves());
        assert_eq!(registry.health("acme"), Some(health));
    }
}

#[tokio::test]
async fn an_unverified_tenant_is_served_and_says_so() {
    let judge = Judge::new();
    let registry = judged(&judge).build();
    let first = enter(&registry, "acme", URL).await;
    judge.tell("acme", transient("t"));
    let status = registered(registry.recheck("acme").await);
    assert_eq!(registry.get("acme").unwrap().health, Health::Unverified);
    assert_eq!(status.last_valid_at, first.last_valid_at);
    assert!(status.last_checked_at >= first.last_checked_at);
}

#[tokio::test]
async fn concurrent_calls_share_one_validation() {
    let judge = Judge::new();
    let registry = judged(&judge).build();
    enter(&registry, "acme", URL).await;
    judge.tell("acme", Answer::Hangs);
    let calls = join_all((0..50).map(|_| registry.recheck("acme")));
    let answers = async {
        judge.was_asked(2).await;
        judge.tell("acme", permanent("p"));
    };
    let (statuses, ()) = within("all answers", async { tokio::join!(calls, answers) }).await;
    assert!(statuses.into_iter().all(|status| registered(status).health == Health::Disabled));
    assert_eq!(judge.calls(), 2);
    registered(registry.recheck("acme").await);
    assert_eq!(judge.calls(), 3);
}

#[tokio::test]
async fn a_recheck_joins_the_first_validation() {
    let judge = Judge::of("acme", Answer::Hangs);
    let registry = judged(&judge).build();
    registered(registry.register("acme", marked(URL, "acme"), Register::InBackground).await);
    judge.was_asked(1).await;
    let mut recheck = std::pin::pin!(registry.recheck("acme"));
    assert!(futures_util::poll!(&mut recheck).is_pending());
    judge.tell("acme", valid());
    assert_eq!(registered(within("the recheck", recheck).await).health, Health::Healthy);
    assert_eq!(judge.calls(), 1);
}

#[tokio::test]
async fn who_drops_a_recheck_stops_nothing() {
    let judge = Judge::of("acme", transient("t"));
    let registry = judged(&judge).build();
    enter(&registry, "acme", URL).await;
    judge.tell("acme", Answer::Hangs);
    {
        let mut recheck = std::pin::pin!(registry.recheck("acme"));
        assert!(futures_util::poll!(&mut recheck).is_pending());
    }
    judge.was_asked(2).await;
    let mut other = std::pin::pin!(registry.recheck("acme"));
    assert!(futures_util::poll!(&mut other).is_pending());
    judge.tell("acme", valid());
    assert_eq!(registered(within("the other", other).await).health, Health::Healthy);
    assert_eq!(judge.calls(), 2);
}

#[tokio::test]
async fn nobody_is_rechecked_who_is_not_registered() {
    assert_eq!(open().recheck("acme").await, Err(unknown_tenant("acme")));
}

#[tokio::test]
async fn without_a_validator_a_recheck_finds_a_tenant_valid() {
    let registry = open();
    let first = enter(&registry, "acme", URL).await;
    let status = registered(registry.recheck("acme").await);
    assert_eq!(status.health, Health::Healthy);
    assert!(status.last_checked_at >= first.last_checked_at && status.last_valid_at == status.last_checked_at);
}

#[tokio::test]
async fn different_tenants_are_validated_at_once() {
    let judge = Judge::new();
    let registry = judged(&judge).build();
    enter(&registry, "acme", URL).await;
    enter(&registry, "beta", "https://beta.example.com").await;
    judge.tell("acme", Answer::Hangs);
    let mut hangs = std::pin::pin!(registry.recheck("acme"));
    assert!(futures_util::poll!(&mut hangs).is_pending());
    judge.was_asked(3).await;
    registered(within("the other", registry.recheck("beta")).await);
    assert_eq!(judge.most_at_once.load(std::sync::atomic::Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_validator_that_hangs_is_a_passing_failure_after_ten_seconds() {
    let judge = Judge::of("acme", Answer::Hangs);
    let registry = judged(&judge).build();
    let began = tokio::time::Instant::now();
    let status = enter(&registry, "acme", URL).await;
    assert_eq!(began.elapsed().as_secs(), 10);
    assert_eq!(
        (status.health, status.reason.as_deref()),
        (Health::Pending, Some("the validation took longer than 10s"))
    );
    assert_eq!(judge.under_way.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn the_time_limit_of_validations_is_a_setting() {
    let judge = Judge::of("acme", Answer::Takes(Duration::from_secs(3), Verdict::Valid));
    judge.tell("slow", Answer::Takes(Duration::from_secs(5), Verdict::Valid));
    let registry = judged(&judge).validation_timeout(Duration::from_secs(4)).build();
    assert_eq!(enter(&registry, "acme", URL).await.health, Health::Healthy);
    assert_eq!(enter(&registry, "slow", "https://slow.example.com").await.health, Health::Pending);
}

#[tokio::test]
async fn a_validator_that_panics_is_a_passing_failure() {
    let judge = Judge::of("acme", Answer::Panics);
    let registry = judged(&judge).build();
    let status = enter(&registry, "acme", URL).await;
    assert_eq!((status.health, status.reason.as_deref()), (Health::Pending, Some("the validator panicked")));
    judge.tell("acme", valid());
    registered(registry.recheck("acme").await);
    judge.tell("acme", Answer::Panics);
    assert_eq!(registered(registry.recheck("acme").await).health, Health::Unverified);
    serves(&registry, "acme.example.com", "/", "acme");
}

/// Not only what a validator returns may panic, but the call itself.
#[tokio::test]
async fn a_validator_that_panics_before_it_returns_a_future_is_one_that_panics() {
    fn explode(_: tenancy::ValidationTarget) -> std::future::Ready<Verdict> {
        unreachable!("before there is a future")
    }
    let registry: super::Registry =
        tenancy::TenantRegistry::builder().validator(tenancy::validator_fn(explode)).build();
    assert_eq!(enter(&registry, "acme", URL).await.reason.as_deref(), Some("the validator panicked"));
}

#[tokio::test]
async fn the_last_verdict_wins() {
    let judge = Judge::new();
    let registry = judged(&judge).build();
    enter(&registry, "acme", URL).await;
    for n in 0..20 {
        judge.tell("acme", if n % 2 == 0 { permanent("p") } else { valid() });
        let health = registered(registry.recheck("acme").await).health;
        assert_eq!(health, if n % 2 == 0 { Health::Disabled } else { Health::Healthy });
        assert_eq!(at(&registry, "acme.example.com", "/").is_ok(), n % 2 == 1);
    }
    assert!(matches!(registry.get("acme"), Ok(resolved) if resolved.health == Health::Healthy));
    judge.tell("acme", permanent("p"));
    registered(registry.recheck("acme").await);
    assert_eq!(registry.get("acme").unwrap_err(), Refusal::Disabled { reason: "p".into() });
    eventually("nothing under way", || judge.under_way.load(std::sync::atomic::Ordering::SeqCst) == 0).await;
}
