//! Lazy tenants: who has them built, once for all who ask, and what a factory that fails leaves behind.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tenancy::{Health, Refusal, Register, TenantStatus};

use super::{
    Answer, Judge, Registry, Work, Works, at, eventually, judged, open, permanent, registered, serves, transient,
    valid, within,
};

const URL: &str = "https://acme.example.com";
const HOST: &str = "acme.example.com";

async fn lazily(registry: &Registry, works: &Works, how: Register) -> TenantStatus {
    registered(registry.register("acme", works.config(URL, "built"), how).await)
}

fn is_pending(registry: &Registry) -> bool {
    matches!(registry.resolve_by_host(HOST), Err(Refusal::Pending { .. }))
        && registry.health("acme") == Some(Health::Pending)
}

fn disabled(reason: &str) -> Refusal {
    Refusal::Disabled { reason: reason.into() }
}

async fn ask(registry: &Registry) -> Result<&'static str, Refusal> {
    within("an answer", registry.resolve_lazy(HOST)).await.map(|resolved| *resolved.platform)
}

#[tokio::test]
async fn who_waits_for_the_first_validation_waits_for_the_platform_too() {
    let (registry, works) = (judged(&Judge::new()).build(), Works::default());
    assert_eq!(lazily(&registry, &works, Register::AwaitFirstValidation).await.health, Health::Healthy);
    assert_eq!(works.runs(), 1);
    serves(&registry, HOST, "/", "built");
}

#[tokio::test]
async fn in_the_background_it_is_only_validated_and_stays_pending_until_a_request() {
    let (judge, works) = (Judge::new(), Works::default());
    let registry = judged(&judge).build();
    assert_eq!(lazily(&registry, &works, Register::InBackground).await.health, Health::Pending);
    eventually("validated", || registry.status("acme").is_some_and(|status| status.last_valid_at.is_some())).await;
    assert!(is_pending(&registry));
    assert_eq!(works.runs(), 0);
    assert_eq!(ask(&registry).await, Ok("built"));
    assert_eq!((works.runs(), judge.calls(), registry.health("acme")), (1, 1, Some(Health::Healthy)));
    serves(&registry, HOST, "/", "built");
}

#[tokio::test]
async fn without_a_validator_only_the_platform_is_waited_for() {
    let (registry, works) = (open(), Works::default());
    lazily(&registry, &works, Register::InBackground).await;
    assert!(is_pending(&registry));
    assert_eq!(ask(&registry).await, Ok("built"));
    let other = Works::default();
    let config = other.config("https://other.example.com", "other");
    assert_eq!(registered(registry.register("other", config, Register::default()).await).health, Health::Healthy);
    assert_eq!((works.runs(), other.runs()), (1, 1));
}

#[tokio::test]
async fn a_request_for_the_tenants_id_builds_too() {
    let (registry, works) = (open(), Works::default());
    lazily(&registry, &works, Register::InBackground).await;
    assert!(matches!(registry.get("acme"), Err(Refusal::Pending { .. })));
    assert_eq!(*within("an answer", registry.get_lazy("acme")).await.unwrap().platform, "built");
    assert_eq!(registry.get_lazy("nobody").await.unwrap_err(), Refusal::UnknownTenant);
    assert_eq!(registry.resolve_lazy("nobody.example.com").await.unwrap_err(), Refusal::UnknownHost);
}

#[tokio::test]
async fn a_recheck_builds() {
    let (registry, works) = (judged(&Judge::new()).auto_validate(false).build(), Works::default());
    lazily(&registry, &works, Register::AwaitFirstValidation).await;
    assert!(is_pending(&registry));
    assert_eq!(registered(registry.recheck("acme").await).health, Health::Healthy);
    registered(registry.recheck("acme").await);
    assert_eq!(works.runs(), 1);
}

#[tokio::test]
async fn a_request_begins_no_first_validation() {
    let (judge, works) = (Judge::new(), Works::default());
    let registry = judged(&judge).auto_validate(false).build();
    lazily(&registry, &works, Register::InBackground).await;
    assert!(matches!(ask(&registry).await, Err(Refusal::Pending { .. })));
    assert_eq!((judge.calls(), works.runs()), (0, 0));
}

#[tokio::test]
async fn a_request_waits_for_a_first_validation_under_way() {
    let (judge, works) = (Judge::of("acme", Answer::Hangs), Works::default());
    let registry = judged(&judge).build();
    lazily(&registry, &works, Register::InBackground).await;
    judge.was_asked(1).await;
    let mut request = std::pin::pin!(ask(&registry));
    assert!(futures_util::poll!(&mut request).is_pending());
    // By its own mark too.
    judge.tell("built", valid());
    assert_eq!(request.await, Ok("built"));
    assert_eq!((judge.calls(), works.runs()), (1, 1));
}

#[tokio::test]
async fn what_is_not_valid_is_not_built() {
    for (answer, health) in [(transient("t"), Health::Pending), (permanent("p"), Health::Disabled)] {
        let (judge, works) = (Judge::of("acme", answer), Works::default());
        let registry = judged(&judge).build();
        assert_eq!(lazily(&registry, &works, Register::AwaitFirstValidation).await.health, health);
        assert!(ask(&registry).await.is_err());
        assert_eq!(registered(registry.recheck("acme").await).health, health);
        assert_eq!(works.runs(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_factory_runs_once_however_many_first_requests_come_at_once() {
    for _ in 0..30 {
        let (registry, works) = (open(), Works::default());
        lazily(&registry, &works, Register::InBackground).await;
        assert!(first_requests(&registry).await.iter().all(|answer| *answer == Some(Ok("built"))));
        assert_eq!(works.runs(), 1);
    }
}

/// A failure is an answer too: to all who asked, and to whoever comes after them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_factory_that_fails_runs_once_however_many_first_requests_come_at_once() {
    for _ in 0..30 {
        let (registry, works) = (open(), Works::that(Work::Fails("no database")));
        lazily(&registry, &works, Register::InBackground).await;
        assert!(first_requests(&registry).await.iter().all(|answer| *answer == Some(Err(disabled("no database")))));
        assert_eq!(works.runs(), 1);
    }
}

/// What 100 tasks are answered that ask at once; none of a task that panicked.
async fn first_requests(registry: &Registry) -> Vec<Option<Result<&'static str, Refusal>>> {
    let together = Arc::new(tokio::sync::Barrier::new(100));
    let requests = (0..100).map(|_| {
        let (registry, together) = (registry.clone(), Arc::clone(&together));
        tokio::spawn(async move {
            together.wait().await;
            ask(&registry).await
        })
    });
    within("all answers", join_all(requests)).await.into_iter().map(Result::ok).collect()
}

#[tokio::test]
async fn a_factory_that_fails_disables_its_tenant_and_a_recheck_runs_it_again() {
    let (judge, works) = (Judge::new(), Works::that(Work::Fails("no database")));
    let registry = judged(&judge).build();
    let status = lazily(&registry, &works, Register::AwaitFirstValidation).await;
    assert_eq!(
        (status.health, status.reason.as_deref(), status.consecutive_failures),
        (Health::Disabled, Some("no database"), 1)
    );
    assert_eq!(ask(&registry).await, Err(disabled("no database")));
    assert_eq!(works.runs(), 1);
    works.tell(Work::Fails("still none"));
    let status = registered(registry.recheck("acme").await);
    assert_eq!((status.reason.as_deref(), status.consecutive_failures, works.runs()), (Some("still none"), 2, 2));
    works.tell(Work::Succeeds);
    let status = registered(registry.recheck("acme").await);
    assert_eq!((status.health, status.reason, status.consecutive_failures), (Health::Healthy, None, 0));
    serves(&registry, HOST, "/", "built");
}

#[tokio::test]
async fn a_factory_that_panics_has_failed() {
    let (registry, works) = (open(), Works::that(Work::Panics));
    assert_eq!(lazily(&registry, &works, Register::AwaitFirstValidation).await.health, Health::Disabled);
    assert_eq!(at(&registry, HOST, "/"), Err(disabled("the factory panicked")));
    works.tell(Work::Succeeds);
    assert_eq!(registered(registry.recheck("acme").await).health, Health::Healthy);
}

#[tokio::test]
async fn a_factory_that_panics_before_it_returns_a_future_has_failed() {
    fn explode() -> std::future::Ready<Result<&'static str, String>> {
        unreachable!("before there is a future")
    }
    let registry = open();
    let status =
        registered(registry.register("acme", tenancy::TenantConfig::lazy(URL, explode), Register::default()).await);
    assert_eq!((status.health, status.reason.as_deref()), (Health::Disabled, Some("the factory panicked")));
}

#[tokio::test(start_paused = true)]
async fn a_factory_that_hangs_has_failed_after_a_minute_or_its_own_time_limit() {
    for (limit, seconds) in [(None, 60), (Some(Duration::from_secs(3)), 3)] {
        let builder = tenancy::TenantRegistry::builder();
        let registry = match limit {
            Some(limit) => builder.factory_timeout(limit).build(),
            None => builder.build(),
        };
        let began = tokio::time::Instant::now();
        let status = registered(
            registry.register("acme", Works::that(Work::Hangs).config(URL, "built"), Register::default()).await,
        );
        assert_eq!((status.health, began.elapsed().as_secs()), (Health::Disabled, seconds));
        assert_eq!(status.reason.unwrap(), format!("the factory took longer than {seconds}s").as_str());
    }
}

#[tokio::test]
async fn who_drops_a_request_does_not_stop_the_factory() {
    let (registry, works) = (open(), Works::that(Work::Hangs));
    lazily(&registry, &works, Register::InBackground).await;
    {
        let mut request = std::pin::pin!(registry.resolve_lazy(HOST));
        assert!(futures_util::poll!(&mut request).is_pending());
    }
    works.ran(1).await;
    works.tell(Work::Succeeds);
    eventually("built", || registry.resolve_by_host(HOST).is_ok()).await;
    assert_eq!(works.runs(), 1);
}

#[tokio::test]
async fn a_passing_failure_leaves_a_tenant_that_was_valid_but_never_built_pending() {
    let (judge, works) = (Judge::new(), Works::default());
    let registry = judged(&judge).build();
    lazily(&registry, &works, Register::InBackground).await;
    eventually("validated", || registry.status("acme").is_some_and(|status| status.last_valid_at.is_some())).await;
    judge.tell("acme", transient("t"));
    assert_eq!(registered(registry.recheck("acme").await).health, Health::Pending);
    assert_eq!(works.runs(), 0);
    // It was valid: the next request may have it built.
    assert_eq!(ask(&registry).await, Ok("built"));
    assert_eq!(registry.health("acme"), Some(Health::Unverified));
}

#[tokio::test]
async fn valid_again_it_is_pending_until_it_is_built() {
    let (judge, works) = (Judge::of("acme", permanent("p")), Works::default());
    let registry = judged(&judge).build();
    assert_eq!(lazily(&registry, &works, Register::AwaitFirstValidation).await.health, Health::Disabled);
    works.tell(Work::Hangs);
    judge.tell("acme", valid());
    let mut recheck = std::pin::pin!(registry.recheck("acme"));
    assert!(futures_util::poll!(&mut recheck).is_pending());
    works.ran(1).await;
    assert!(is_pending(&registry));
    works.tell(Work::Succeeds);
    assert_eq!(registered(within("the recheck", recheck).await).health, Health::Healthy);
}

#[tokio::test]
async fn a_built_tenant_that_was_disabled_is_not_built_again() {
    let (judge, works) = (Judge::new(), Works::default());
    let registry = judged(&judge).build();
    lazily(&registry, &works, Register::AwaitFirstValidation).await;
    judge.tell("acme", permanent("p"));
    registered(registry.recheck("acme").await);
    assert_eq!(ask(&registry).await, Err(disabled("p")));
    judge.tell("acme", valid());
    assert_eq!(registered(registry.recheck("acme").await).health, Health::Healthy);
    assert_eq!(works.runs(), 1);
}

#[tokio::test]
async fn a_failed_factory_is_not_forgotten_over_a_verdict() {
    let (judge, works) = (Judge::new(), Works::that(Work::Fails("no database")));
    let registry = judged(&judge).build();
    lazily(&registry, &works, Register::AwaitFirstValidation).await;
    judge.tell("acme", transient("t"));
    let status = registered(registry.recheck("acme").await);
    assert_eq!((status.health, status.reason.as_deref(), works.runs()), (Health::Disabled, Some("no database"), 1));
    judge.tell("acme", permanent("p"));
    let status = registered(registry.recheck("acme").await);
    assert_eq!((status.health, status.reason.as_deref(), works.runs()), (Health::Disabled, Some("p"), 1));
}
