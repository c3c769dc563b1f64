//! What is remembered, for how long, and that nothing of it is printed.

use super::*;

#[tokio::test]
async fn a_verdict_is_remembered_until_the_token_ends() {
    let setup = Setup::warm().await;
    let token = setup.issuer.token(setup.claims());
    let first = setup.verify(&token).await.expect("a good token");
    setup.clock.advance(300 + LEEWAY - 1);
    let second = setup.verify(&token).await.expect("a good token");
    assert!(Arc::ptr_eq(&first, &second));
    setup.clock.advance(1);
    setup.refused_as(token, TokenError::Expired).await;
    assert_eq!(setup.issuer.jwks_fetches(), 1);
}

#[tokio::test]
async fn a_withdrawn_key_ends_its_verdicts() {
    let setup = Setup::warm().await;
    let token = setup.issuer.token(setup.long_lived());
    setup.issuer.rotate("ES256", "ec-1");
    setup.verify(&setup.issuer.token(setup.claims())).await.expect("the new key");
    setup.verify(&token).await.expect("still published");
    setup.issuer.withdraw("rsa-1");
    setup.clock.advance(TTL);
    setup.refused_as(token, TokenError::UnknownKey).await;
}

#[tokio::test]
async fn a_changed_key_set_forgets_verdicts_and_the_same_one_does_not() {
    let setup = Setup::warm().await;
    let token = setup.issuer.token(setup.long_lived());
    let first = setup.verify(&token).await.expect("a good token");
    setup.clock.advance(TTL);
    let refetched = setup.verify(&token).await.expect("a good token");
    assert_eq!(setup.issuer.jwks_fetches(), 2);
    assert!(Arc::ptr_eq(&first, &refetched));
    setup.issuer.rotate("EdDSA", "ed-1");
    setup.clock.advance(TTL);
    let judged_again = setup.verify(&token).await.expect("a good token");
    assert!(!Arc::ptr_eq(&first, &judged_again));
}

#[tokio::test]
async fn refusals_are_not_remembered() {
    let setup = Setup::warm().await;
    let now = setup.clock.seconds();
    let token = setup.issuer.token(setup.claims().with("nbf", json!(now + LEEWAY + 1)));
    setup.refused_as(token.clone(), TokenError::NotYetValid).await;
    setup.clock.advance(1);
    setup.verify(&token).await.expect("valid now");
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused() {
    let setup = Setup::start().await;
    let new = |issuer: &str, audience: &str| {
        TokenVerifier::new(TokenSettings::new(issuer, audience), Arc::clone(&setup.clock) as Arc<dyn Clock>).map(drop)
    };
    for issuer in ["", "keycloak", "ftp://x/", "https://x/?realm=a", "https://x/#a"] {
        assert!(matches!(new(issuer, AUDIENCE), Err(TokenSetupError::Issuer(_))), "{issuer}");
    }
    assert!(matches!(new("https://x/", ""), Err(TokenSetupError::Audience)));
    new("https://x/realms/a", AUDIENCE).expect("fine");
}

#[tokio::test]
async fn nothing_prints_a_token() {
    let setup = Setup::warm().await;
    let token = setup.issuer.token(setup.claims().role("MEMBER").tenant("acme"));
    let verified = setup.verify(&token).await.expect("a good token");
    let refused = setup.verify(&format!("{token}A")).await.expect_err("tampered");
    let printed = format!("{:?} {verified:?} {refused:?} {refused}", setup.verifier);
    for part in token.split('.') {
        assert!(!printed.contains(part), "{printed}");
    }
}
