//! `replace`: no gap, one step, nothing changed where it is refused, and routes that are kept while it is decided.

use std::time::Duration;

use tenancy::{Health, Refusal, Register, RegistryError, TenantConfig, TenantStatus};
use tokio::task::JoinHandle;

use super::{
    Answer, Judge, Registry, Work, Works, at, changes_so_far, enter, judged, marked, nobody_at, open, permanent,
    registered, serves, taken, transient, unknown_tenant, valid, within,
};

const OLD: &str = "https://acme.example.com";

type Replacing = JoinHandle<Result<TenantStatus, RegistryError>>;

fn begin(registry: &Registry, id: &'static str, config: TenantConfig<&'static str>) -> Replacing {
    let registry = registry.clone();
    tokio::spawn(async move { registry.replace(id, config).await })
}

async fn end(replacing: Replacing) -> Result<TenantStatus, RegistryError> {
    match within("the end of a replacement", replacing).await {
        Ok(result) => result,
        Err(error) => unreachable!("{error}"),
    }
}

fn refused(reason: &str) -> Result<TenantStatus, RegistryError> {
    Err(RegistryError::ReplacementRefused { tenant_id: "acme".into(), reason: reason.into() })
}

/// `acme` at its URL, valid, and a judge that hangs about the configuration `new`.
async fn undecided() -> (Registry, std::sync::Arc<Judge>) {
    let judge = Judge::of("new", Answer::Hangs);
    let registry = judged(&judge).build();
    enter(&registry, "acme", OLD).await;
    (registry, judge)
}

/// As [`undecided`], with the replacement by `url` under way.
async fn under_way(url: &str) -> (Registry, std::sync::Arc<Judge>, Replacing) {
    let (registry, judge) = undecided().await;
    let replacing = begin(&registry, "acme", marked(url, "new"));
    judge.was_asked(2).await;
    (registry, judge, replacing)
}

#[tokio::test]
async fn the_old_one_serves_until_the_new_one_is_valid() {
    let (registry, judge, replacing) = under_way("https://new.example.com").await;
    serves(&registry, "acme.example.com", "/", "acme");
    nobody_at(&registry, "new.example.com", "/");
    assert_eq!(registry.status("acme").unwrap().config_version, 1);
    judge.tell("new", valid());
    let status = registered(end(replacing).await);
    assert_eq!((status.config_version, &*status.urls), (2, &["https://new.example.com".to_owned()][..]));
    serves(&registry, "new.example.com", "/", "new");
    nobody_at(&registry, "acme.example.com", "/");
    assert_eq!(registry.get("acme").unwrap().config_version, 2);
}

#[tokio::test]
async fn whoever_holds_the_old_platform_keeps_it() {
    let registry = open();
    enter(&registry, "acme", OLD).await;
    let held = registry.get("acme").unwrap();
    registered(registry.replace("acme", marked(OLD, "new")).await);
    assert_eq!((*held.platform, held.config_version), ("acme", 1));
}

#[tokio::test]
async fn refused_it_leaves_everything_as_it_was() {
    for (answer, reason) in [(permanent("wrong key"), "wrong key"), (transient("timed out"), "timed out")] {
        let (registry, judge) = undecided().await;
        let before = registry.list();
        let mut events = registry.subscribe();
        judge.tell("new", answer);
        let result = registry.replace("acme", marked("https://new.example.com", "new").label("New")).await;
        assert_eq!(result, refused(reason));
        assert_eq!((registry.list(), changes_so_far(&mut events)), (before, vec![]));
        serves(&registry, "acme.example.com", "/", "acme");
        enter(&registry, "other", "https://new.example.com").await;
    }
}

#[tokio::test]
async fn refused_it_leaves_a_pending_a_disabled_and_an_unverified_tenant_as_it_was_too() {
    let first = [(transient("t"), Health::Pending), (permanent("p"), Health::Disabled)];
    for (answer, health) in first {
        let judge = Judge::of("acme", answer);
        judge.tell("new", permanent("wrong key"));
        let registry = judged(&judge).build();
        assert_eq!(enter(&registry, "acme", OLD).await.health, health);
        let before = registry.status("acme");
        assert_eq!(registry.replace("acme", marked(OLD, "new")).await, refused("wrong key"));
        assert_eq!(registry.status("acme"), before);
    }
    let (registry, judge) = undecided().await;
    judge.tell("acme", transient("t"));
    assert_eq!(registered(registry.recheck("acme").await).health, Health::Unverified);
    judge.tell("new", permanent("wrong key"));
    assert_eq!(registry.replace("acme", marked(OLD, "new")).await, refused("wrong key"));
    assert_eq!(registry.health("acme"), Some(Health::Unverified));
    serves(&registry, "acme.example.com", "/", "acme");
}

#[tokio::test]
async fn a_tenant_in_any_health_is_replaced_and_is_healthy_then() {
    for answer in [transient("t"), permanent("p")] {
        let judge = Judge::of("acme", answer);
        let registry = judged(&judge).build();
        enter(&registry, "acme", OLD).await;
        judge.tell("new", valid());
        let status = registered(registry.replace("acme", marked(OLD, "new")).await);
        assert_eq!((status.health, status.reason, status.consecutive_failures), (Health::Healthy, None, 0));
        serves(&registry, "acme.example.com", "/", "new");
    }
}

#[tokio::test]
async fn it_validates_also_where_registering_does_not() {
    let judge = Judge::of("new", permanent("wrong key"));
    let registry = judged(&judge).auto_validate(false).build();
    enter(&registry, "acme", OLD).await;
    assert_eq!(registry.replace("acme", marked(OLD, "new")).await, refused("wrong key"));
    assert_eq!(registry.health("acme"), Some(Health::Pending));
    judge.tell("new", valid());
    assert_eq!(registered(registry.replace("acme", marked(OLD, "new")).await).health, Health::Healthy);
    assert_eq!(judge.calls(), 2);
}

#[tokio::test]
async fn what_the_old_one_did_wrong_says_nothing_of_the_new_one() {
    let (registry, judge) = undecided().await;
    judge.tell("new", valid());
    registered(registry.replace("acme", marked(OLD, "new")).await);
    judge.tell("new", transient("t"));
    assert_eq!(registered(registry.recheck("acme").await).health, Health::Unverified);
    assert_eq!(judge.last_target().unwrap().metadata["mark"], "new");
}

#[tokio::test]
async fn it_waits_for_a_validation_under_way() {
    let (registry, judge) = undecided().await;
    judge.tell("acme", Answer::Hangs);
    let recheck = tokio::spawn({
        let registry = registry.clone();
        async move { registry.recheck("acme").await }
    });
    judge.was_asked(2).await;
    judge.tell("new", valid());
    let replacing = begin(&registry, "acme", marked(OLD, "new"));
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!((judge.calls(), replacing.is_finished()), (2, false));
    judge.tell("acme", permanent("p"));
    assert_eq!(registered(within("the recheck", recheck).await.unwrap()).health, Health::Disabled);
    assert_eq!(registered(end(replacing).await).health, Health::Healthy);
    assert_eq!(judge.most_at_once.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_recheck_waits_for_a_replacement_and_checks_what_came_of_it() {
    let (registry, judge, replacing) = under_way(OLD).await;
    let mut recheck = std::pin::pin!(registry.recheck("acme"));
    assert!(futures_util::poll!(&mut recheck).is_pending());
    tokio::task::yield_now().await;
    assert_eq!(judge.calls(), 2);
    judge.tell("new", valid());
    registered(end(replacing).await);
    let status = registered(within("the recheck", recheck).await);
    assert_eq!((status.config_version, judge.calls()), (2, 3));
    assert_eq!(judge.last_target().unwrap().metadata["mark"], "new");
}

#[tokio::test]
async fn new_routes_are_reserved_while_it_is_decided() {
    let (registry, judge, replacing) = under_way("https://new.example.com").await;
    let config = || marked("https://new.example.com", "other");
    taken(&registry.register("other", config(), Register::default()).await, "new.example.com", "/", "acme");
    enter(&registry, "other", "https://other.example.com").await;
    taken(&registry.replace("other", config()).await, "new.example.com", "/", "acme");
    // And the old ones are not free before it is decided.
    let old = registry.replace("other", marked(OLD, "other")).await;
    taken(&old, "acme.example.com", "/", "acme");
    judge.tell("new", valid());
    registered(end(replacing).await);
    registered(registry.replace("other", marked(OLD, "other")).await);
    serves(&registry, "acme.example.com", "/", "other");
}

#[tokio::test]
async fn a_reserved_route_answers_as_before() {
    let judge = Judge::of("new", Answer::Hangs);
    let registry = judged(&judge).build();
    enter(&registry, "acme", OLD).await;
    enter(&registry, "wild", "https://*.example.com").await;
    enter(&registry, "floor", "https://floor.example.org").await;
    let config = marked("https://exact.example.com", "new")
        .alias("https://floor.example.org/api")
        .alias("https://nobody.example.org/")
        .alias("https://half.example.com/api");
    let replacing = begin(&registry, "acme", config);
    judge.was_asked(4).await;
    serves(&registry, "exact.example.com", "/", "wild");
    serves(&registry, "EXACT.example.com:80", "/x", "wild");
    serves(&registry, "half.example.com", "/api", "wild");
    serves(&registry, "half.example.com", "/other", "wild");
    serves(&registry, "floor.example.org", "/api/x", "floor");
    nobody_at(&registry, "nobody.example.org", "/");
    judge.tell("new", valid());
    registered(end(replacing).await);
    serves(&registry, "exact.example.com", "/", "new");
    serves(&registry, "floor.example.org", "/api/x", "new");
    serves(&registry, "half.example.com", "/api", "new");
    nobody_at(&registry, "half.example.com", "/other");
    serves(&registry, "nobody.example.org", "/", "new");
    serves(&registry, "acme.example.com", "/", "wild");
}

#[tokio::test]
async fn a_reserved_prefix_leaves_the_prefixes_beside_it_alone() {
    let judge = Judge::of("new", Answer::Hangs);
    let registry = judged(&judge).build();
    enter(&registry, "acme", "https://example.com/a").await;
    enter(&registry, "other", "https://example.com/b").await;
    let replacing = begin(&registry, "acme", marked("https://example.com/b/c", "new"));
    judge.was_asked(3).await;
    serves(&registry, "example.com", "/a/x", "acme");
    serves(&registry, "example.com", "/b/c/d", "other");
    judge.tell("new", permanent("no"));
    assert!(end(replacing).await.is_err());
    serves(&registry, "example.com", "/a/x", "acme");
    serves(&registry, "example.com", "/b/c/d", "other");
    enter(&registry, "third", "https://example.com/b/c").await;
}

#[tokio::test]
async fn who_drops_it_has_replaced_nothing_and_its_routes_are_free_again() {
    let (registry, judge, replacing) = under_way("https://new.example.com").await;
    let before = registry.status("acme");
    replacing.abort();
    assert!(within("the end", replacing).await.is_err());
    assert_eq!(registry.status("acme"), before);
    enter(&registry, "other", "https://new.example.com").await;
    judge.tell("new", valid());
    let status = registered(within("the next", registry.replace("acme", marked(OLD, "new"))).await);
    assert_eq!(status.config_version, 2);
}

#[tokio::test]
async fn competing_calls_go_one_after_another_and_the_last_wins() {
    let (registry, judge, first) = under_way("https://one.example.com").await;
    judge.tell("two", Answer::Takes(Duration::from_millis(2), tenancy::Verdict::Valid));
    let second = begin(&registry, "acme", marked("https://two.example.com", "two"));
    tokio::task::yield_now().await;
    let third = begin(&registry, "acme", marked("https://three.example.com", "three"));
    tokio::task::yield_now().await;
    // What has not begun has reserved nothing.
    assert_eq!(judge.calls(), 2);
    judge.tell("new", valid());
    let versions =
        [end(first).await, end(second).await, end(third).await].map(|result| registered(result).config_version);
    assert_eq!(versions, [2, 3, 4]);
    serves(&registry, "three.example.com", "/", "three");
    nobody_at(&registry, "one.example.com", "/");
    nobody_at(&registry, "two.example.com", "/");
    assert_eq!(judge.most_at_once.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn routes_that_stay_stay_and_those_that_go_are_free() {
    let registry = open();
    let config = marked(OLD, "acme").alias("https://a.example").alias("https://b.example/x");
    registered(registry.register("acme", config, Register::default()).await);
    registered(
        registry.replace("acme", marked("https://b.example/x/", "new").alias("http://acme.example.com:8080")).await,
    );
    serves(&registry, "acme.example.com", "/", "new");
    serves(&registry, "b.example", "/x/y", "new");
    nobody_at(&registry, "a.example", "/");
    assert_eq!(registry.status("acme").unwrap().urls, ["https://b.example/x", "http://acme.example.com:8080"]);
    enter(&registry, "other", "https://a.example").await;
    assert!(registry.unregister("acme"));
    nobody_at(&registry, "b.example", "/x/y");
    enter(&registry, "third", OLD).await;
}

#[tokio::test]
async fn a_lazy_platform_is_built_before_the_switch() {
    let registry = open();
    enter(&registry, "acme", OLD).await;
    let works = Works::that(Work::Hangs);
    let replacing = begin(&registry, "acme", works.config(OLD, "new"));
    works.ran(1).await;
    serves(&registry, "acme.example.com", "/", "acme");
    works.tell(Work::Succeeds);
    assert_eq!(registered(end(replacing).await).health, Health::Healthy);
    serves(&registry, "acme.example.com", "/", "new");
    registered(registry.recheck("acme").await);
    assert_eq!(works.runs(), 1);
}

#[tokio::test]
async fn a_factory_that_fails_refuses_the_replacement() {
    for (work, reason) in [(Work::Fails("no database"), "no database"), (Work::Panics, "the factory panicked")] {
        let registry = open();
        enter(&registry, "acme", OLD).await;
        let works = Works::that(work);
        assert_eq!(registry.replace("acme", works.config("https://new.example.com", "new")).await, refused(reason));
        serves(&registry, "acme.example.com", "/", "acme");
        enter(&registry, "other", "https://new.example.com").await;
    }
}

#[tokio::test(start_paused = true)]
async fn hanging_validators_and_factories_refuse_it_after_their_time_limits() {
    let judge = Judge::of("new", Answer::Hangs);
    let registry = judged(&judge).factory_timeout(Duration::from_secs(7)).build();
    enter(&registry, "acme", OLD).await;
    let began = tokio::time::Instant::now();
    assert_eq!(registry.replace("acme", marked(OLD, "new")).await, refused("the validation took longer than 10s"));
    assert_eq!(began.elapsed().as_secs(), 10);
    let works = Works::that(Work::Hangs);
    assert_eq!(registry.replace("acme", works.config(OLD, "hung")).await, refused("the factory took longer than 7s"));
    assert_eq!(began.elapsed().as_secs(), 17);
    judge.tell("new", Answer::Panics);
    assert_eq!(registry.replace("acme", marked(OLD, "new")).await, refused("the validator panicked"));
    serves(&registry, "acme.example.com", "/", "acme");
}

#[tokio::test]
async fn nobody_is_replaced_who_is_not_registered() {
    let registry = open();
    assert_eq!(registry.replace("acme", marked(OLD, "new")).await, Err(unknown_tenant("acme")));
    let invalid = registry.replace("acme", marked("ftp://acme.example.com", "new")).await;
    assert!(matches!(invalid, Err(RegistryError::InvalidUrl { .. })));
    enter(&registry, "other", OLD).await;
}

/// Whose routes they are by now is another tenant's business.
#[tokio::test]
async fn who_waits_for_its_turn_while_the_tenant_leaves_is_told_that_it_left() {
    let (registry, _judge, first) = under_way("https://new.example.com").await;
    let waiting = begin(&registry, "acme", marked("https://other.example.com", "other"));
    tokio::task::yield_now().await;
    assert!(registry.unregister("acme"));
    let entered = registry.register("other", marked("https://other.example.com", "o"), Register::InBackground).await;
    registered(entered);
    assert_eq!(end(first).await, Err(unknown_tenant("acme")));
    assert_eq!(end(waiting).await, Err(unknown_tenant("acme")));
}

#[tokio::test]
async fn a_suspension_is_kept() {
    let registry = open();
    enter(&registry, "acme", OLD).await;
    assert!(registry.suspend("acme", "not paid"));
    let status = registered(registry.replace("acme", marked(OLD, "new")).await);
    assert_eq!((status.suspended.as_deref(), status.health), (Some("not paid"), Health::Healthy));
    assert_eq!(at(&registry, "acme.example.com", "/"), Err(Refusal::Suspended { reason: "not paid".into() }));
    assert!(registry.resume("acme"));
    serves(&registry, "acme.example.com", "/", "new");
}

#[tokio::test]
async fn it_is_an_event_only_where_the_health_is_another_one_afterwards() {
    let judge = Judge::of("acme", transient("t"));
    judge.tell("new", valid());
    judge.tell("newer", valid());
    let registry = judged(&judge).build();
    enter(&registry, "acme", OLD).await;
    let mut events = registry.subscribe();
    registered(registry.replace("acme", marked(OLD, "new")).await);
    registered(registry.replace("acme", marked(OLD, "newer")).await);
    assert_eq!(changes_so_far(&mut events), [("acme".into(), Some(Health::Pending), Some(Health::Healthy))]);
}
