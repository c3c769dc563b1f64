//! What holds while the issuer is away or answers nonsense.

use super::*;

#[tokio::test]
async fn without_any_keys_nothing_can_be_said() {
    for behaviour in [Behaviour::Status(500), Behaviour::Html, Behaviour::Redirect, Behaviour::Huge] {
        let setup = Setup::start().await;
        setup.issuer.behave(behaviour);
        let token = setup.issuer.token(setup.claims());
        setup.refused_as(token.clone(), TokenError::Unavailable).await;
        assert_eq!(TokenError::Unavailable.public(), PublicReason::Unavailable);
        let fetches = setup.issuer.discovery_fetches();
        setup.refused_as(token.clone(), TokenError::Unavailable).await;
        assert_eq!(setup.issuer.discovery_fetches(), fetches, "{behaviour:?}: not asked again within the second");
        setup.issuer.behave(Behaviour::Healthy);
        setup.clock.advance(1);
        setup.verify(&token).await.unwrap_or_else(|error| panic!("after {behaviour:?}: {error}"));
    }
}

#[tokio::test]
async fn an_issuer_that_hangs_is_given_up() {
    let setup = Setup::start().await;
    setup.issuer.behave(Behaviour::Hang);
    let verifier = verifier_of(setup.issuer.url(), &setup.clock, IMPATIENT);
    let error = verifier.verify(&setup.issuer.token(setup.claims())).await.expect_err("no keys");
    assert_eq!(error, TokenError::Unavailable);
}

#[tokio::test]
async fn a_key_set_that_is_wrong_alone_is_no_key_set() {
    let setup = Setup::start().await;
    setup.issuer.discovery(Discovery::Absent);
    for behaviour in [Behaviour::Status(404), Behaviour::Html, Behaviour::Redirect, Behaviour::Huge] {
        setup.issuer.behave(behaviour);
        setup.refused_as(setup.issuer.token(setup.claims()), TokenError::Unavailable).await;
        setup.clock.advance(1);
    }
    assert_eq!(setup.issuer.jwks_fetches(), 4, "each time, and no redirect was followed");
}

#[tokio::test]
async fn an_unreachable_issuer_is_unavailable() {
    let setup = Setup::start().await;
    let verifier = verifier_of("http://127.0.0.1:1/realms/test", &setup.clock, PATIENT);
    let error = verifier.verify(&setup.issuer.token(setup.claims())).await.expect_err("nobody there");
    assert_eq!(error, TokenError::Unavailable);
}

#[tokio::test]
async fn known_keys_outlive_an_outage_for_an_hour() {
    let setup = Setup::warm().await;
    let token = setup.issuer.token(setup.long_lived());
    let seen = setup.verify(&token).await.expect("before the outage");
    setup.issuer.behave(Behaviour::Status(503));
    setup.clock.advance(TTL + 3_599);
    let again = setup.verify(&token).await.expect("in the outage");
    assert!(Arc::ptr_eq(&seen, &again), "the verdict stands, as the keys do");
    setup.verify(&setup.issuer.token(setup.long_lived().scope("new"))).await.expect("a new token of a known key");
    setup.clock.advance(1);
    setup.refused_as(token.clone(), TokenError::Unavailable).await;
    setup.issuer.behave(Behaviour::Healthy);
    setup.clock.advance(1);
    setup.verify(&token).await.expect("after the outage");
}

#[tokio::test]
async fn in_a_known_outage_nobody_waits_for_the_issuer() {
    let setup = Setup::warm().await;
    setup.issuer.behave(Behaviour::Status(503));
    setup.clock.advance(TTL);
    let fetches = setup.issuer.discovery_fetches();
    setup.verify(&setup.issuer.token(setup.claims())).await.expect("a known key");
    assert_eq!(setup.issuer.discovery_fetches(), fetches + 1);
    setup.issuer.behave(Behaviour::Hang);
    setup.clock.advance(REFETCH);
    let token = setup.issuer.token(setup.claims());
    let answer = tokio::time::timeout(PATIENT / 4, setup.verify(&token)).await;
    answer.expect("an answer without waiting").expect("a known key");
    eventually("the fetch behind", || setup.issuer.discovery_fetches() == fetches + 2).await;
    // It still hangs, and the answer above is there. Released, it brings the issuer back.
    setup.issuer.behave(Behaviour::Healthy);
    eventually("the key set", || setup.issuer.jwks_fetches() == 2).await;
}

#[tokio::test]
async fn a_failing_refetch_drops_no_keys() {
    let setup = Setup::warm().await;
    setup.issuer.behave(Behaviour::Html);
    let stranger = TestKey::generate("ES256", "unknown");
    let of_unknown = sign_with(&stranger.header(), &setup.claims().into(), &stranger);
    setup.refused_as(of_unknown.clone(), TokenError::Unavailable).await;
    setup.verify(&setup.issuer.token(setup.claims().scope("new"))).await.expect("a known key");
    setup.issuer.behave(Behaviour::Healthy);
    setup.clock.advance(REFETCH);
    setup.refused_as(of_unknown, TokenError::UnknownKey).await;
}

#[tokio::test]
async fn an_empty_key_set_drops_no_keys() {
    let setup = Setup::warm().await;
    setup.issuer.withdraw("rsa-1");
    setup.clock.advance(TTL);
    setup.verify(&setup.issuer.token(setup.claims())).await.expect("the known key");
    assert_eq!(setup.issuer.jwks_fetches(), 2);
}
