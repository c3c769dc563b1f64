//! The service account's token: one request for all, kept for its time, never printed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use server::identity::provider::{FaultKind, IdentityProvider as _};

use super::super::fake::{FakeKeycloak, Fault};
use super::super::suite::kind;
use super::{adapter, hurried, says};
use crate::support::server::eventually;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_callers_ask_for_one_token() {
    let fake = FakeKeycloak::start().await;
    let adapter = Arc::new(adapter(&fake));
    let all = join_all((0..50).map(|_| {
        tokio::spawn({
            let adapter = Arc::clone(&adapter);
            async move { adapter.probe().await }
        })
    }));
    for outcome in all.await {
        outcome.unwrap().unwrap();
    }
    assert_eq!(fake.count("token"), 1);
    // And for one more after it is refused to all of them.
    fake.state().forget_tokens();
    let all = join_all((0..50).map(|_| adapter.probe())).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(fake.count("token"), 2);
}

#[tokio::test]
async fn a_token_is_used_until_shortly_before_its_end() {
    let fake = FakeKeycloak::start().await;
    fake.state().lifespan = Duration::from_secs(36);
    let adapter = adapter(&fake);
    let begin = std::time::Instant::now();
    eventually("another token is got", async || {
        adapter.probe().await.unwrap();
        fake.count("token") == 2
    })
    .await;
    // Half a minute before its end, which began a moment before this test could look at its clock.
    assert!(begin.elapsed() > Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_token_that_does_not_come_waits_once() {
    let fake = FakeKeycloak::start().await;
    fake.fault("token", 1, Fault::Hang);
    let adapter = hurried(&fake);
    let begin = std::time::Instant::now();
    for outcome in join_all((0..20).map(|_| adapter.probe())).await {
        assert_eq!(kind(outcome), FaultKind::Timeout);
    }
    assert!(begin.elapsed() < 10 * super::CALL, "{:?}", begin.elapsed());
    assert_eq!(fake.count("token"), 1);
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_take_the_token_along() {
    let fake = FakeKeycloak::start().await;
    let adapter = adapter(&fake);
    // Given up before the token is there; the request for it goes on.
    let given_up = tokio::time::timeout(Duration::from_micros(1), adapter.probe()).await;
    assert!(given_up.is_err());
    adapter.probe().await.unwrap();
    assert_eq!(fake.count("token"), 1);
}

#[tokio::test]
async fn the_token_endpoint_may_fail_for_a_moment() {
    let fake = FakeKeycloak::start().await;
    fake.fault("token", 1, says(503, b""));
    fake.fault("token", 2, Fault::CutAfter);
    adapter(&fake).probe().await.unwrap();
    assert_eq!(fake.count("token"), 3);
}
