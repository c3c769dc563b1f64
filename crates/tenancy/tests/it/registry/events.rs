//! The stream of health events: what is one, in which order they come, and what a slow subscriber is told.

use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use tenancy::{Health, TenantRegistry};

use super::{
    Answer, Judge, Registry, changes_so_far, enter, events_so_far, judged, marked, open, permanent, registered,
    transient, valid, within,
};

use Health::{Disabled, Healthy, Pending, Unverified};

const URL: &str = "https://acme.example.com";

/// How many events wait for who does not read, by the contract.
const AT_LEAST: usize = 1_024;

#[tokio::test]
async fn every_change_is_an_event_in_order_and_coming_and_going_are_some_too() {
    let judge = Judge::new();
    let registry = judged(&judge).build();
    let mut events = registry.subscribe();
    enter(&registry, "acme", URL).await;
    for answer in [valid(), transient("t"), transient("t"), permanent("p"), permanent("p"), valid()] {
        judge.tell("acme", answer);
        registered(registry.recheck("acme").await);
    }
    assert!(registry.unregister("acme"));
    let acme = |from, to| ("acme".to_owned(), from, to);
    assert_eq!(
        changes_so_far(&mut events),
        [
            acme(None, Some(Pending)),
            acme(Some(Pending), Some(Healthy)),
            acme(Some(Healthy), Some(Unverified)),
            acme(Some(Unverified), Some(Disabled)),
            acme(Some(Disabled), Some(Healthy)),
            acme(Some(Healthy), None),
        ]
    );
}

#[tokio::test]
async fn without_a_validator_a_tenant_comes_healthy() {
    let registry = open();
    let mut events = registry.subscribe();
    enter(&registry, "acme", URL).await;
    registered(registry.recheck("acme").await);
    assert_eq!(changes_so_far(&mut events), [("acme".into(), None, Some(Healthy))]);
}

#[tokio::test]
async fn an_event_says_when_and_why() {
    let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(43_200);
    let judge = Judge::of("acme", permanent("wrong key"));
    let registry: Registry = TenantRegistry::builder().validator(judge).clock(move || noon).build();
    let mut events = registry.subscribe();
    let status = enter(&registry, "acme", URL).await;
    let events = events_so_far(&mut events);
    assert_eq!(events.iter().map(|event| event.reason.as_deref()).collect::<Vec<_>>(), [None, Some("wrong key")]);
    assert!(events.iter().all(|event| event.at == noon && event.missed == 0));
    assert_eq!((status.last_checked_at, status.last_valid_at), (Some(noon), None));
}

#[tokio::test]
async fn every_subscriber_sees_everything_from_when_it_came() {
    let registry = open();
    let mut early = registry.subscribe();
    enter(&registry, "acme", URL).await;
    let mut late = registry.subscribe();
    assert!(registry.unregister("acme"));
    assert_eq!(changes_so_far(&mut early).len(), 2);
    assert_eq!(changes_so_far(&mut late), [("acme".into(), Some(Healthy), None)]);
}

#[tokio::test]
async fn who_waits_for_an_event_is_woken() {
    let registry = open();
    let mut events = registry.subscribe();
    let waits = tokio::spawn(async move { events.next().await });
    tokio::task::yield_now().await;
    enter(&registry, "acme", URL).await;
    let event = within("an event", waits).await.unwrap().unwrap();
    assert_eq!((&*event.tenant_id, event.from, event.to), ("acme", None, Some(Healthy)));
}

/// Coming and going, `times` times each.
async fn come_and_go(registry: &Registry, times: usize) {
    for _ in 0..times {
        enter(registry, "acme", URL).await;
        assert!(registry.unregister("acme"));
    }
}

#[tokio::test]
async fn at_least_so_many_events_wait_for_a_subscriber_that_does_not_read() {
    let registry = open();
    let mut events = registry.subscribe();
    come_and_go(&registry, AT_LEAST / 2).await;
    let waiting = events_so_far(&mut events);
    assert_eq!(waiting.len(), AT_LEAST);
    assert!(waiting.iter().all(|event| event.missed == 0));
}

#[tokio::test]
async fn who_reads_too_slowly_is_told_how_many_were_lost() {
    let registry = open();
    let mut events = registry.subscribe();
    let sent = 2 * (AT_LEAST + 100);
    come_and_go(&registry, sent / 2).await;
    let seen = events_so_far(&mut events);
    assert!(seen[0].missed > 0 && seen[1..].iter().all(|event| event.missed == 0));
    assert_eq!(u64::try_from(sent - seen.len()), Ok(seen[0].missed));
    // The latest are there, and then it goes on without loss.
    assert_eq!(seen.last().map(|event| event.to), Some(None));
    enter(&registry, "acme", URL).await;
    assert_eq!(events_so_far(&mut events).iter().map(|event| event.missed).collect::<Vec<_>>(), [0]);
}

#[tokio::test]
async fn the_stream_ends_with_the_registry() {
    let registry = open();
    let mut events = registry.subscribe();
    enter(&registry, "acme", URL).await;
    drop(registry);
    let rest = within("the end", events.by_ref().collect::<Vec<_>>()).await;
    assert_eq!(rest.len(), 1);
}

/// Look-ups are not behind what a subscriber was told.
#[tokio::test]
async fn whoever_is_told_of_a_health_finds_it() {
    let judge = Judge::of("acme", Answer::Hangs);
    let registry = judged(&judge).build();
    let mut events = registry.subscribe();
    registered(registry.register("acme", marked(URL, "acme"), tenancy::Register::InBackground).await);
    judge.tell("acme", valid());
    let healthy = async { while events.next().await.is_some_and(|event| event.to != Some(Healthy)) {} };
    within("healthy", healthy).await;
    assert!(registry.resolve_by_host("acme.example.com").is_ok());
}
