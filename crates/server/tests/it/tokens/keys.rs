//! Which keys of the issuer count, and when they are fetched.

use super::*;

#[tokio::test]
async fn keys_for_other_purposes_do_not_verify() {
    let setup = Setup::start().await;
    let key = TestKey::generate("ES256", "other");
    for (member, value) in
        [("use", json!("enc")), ("key_ops", json!(["encrypt"])), ("alg", json!("ECDH-ES")), ("kty", json!("FOO"))]
    {
        let mut jwk = key.jwk();
        jwk[member] = value;
        setup.issuer.publish(jwk);
    }
    setup.issuer.publish(json!("no key at all"));
    setup.verify(&setup.issuer.token(setup.claims())).await.expect("the good key is there beside the odd ones");
    setup.refused_as(sign_with(&key.header(), &setup.claims().into(), &key), TokenError::UnknownKey).await;
}

#[tokio::test]
async fn short_rsa_keys_do_not_verify() {
    let setup = Setup::start().await;
    setup.issuer.publish(json!({"kty": "RSA", "kid": "short", "n": base64url(&[0xc5; 128]), "e": "AQAB"}));
    let token = setup.with_header(|header| header["kid"] = json!("short"));
    setup.refused_as(token, TokenError::UnknownKey).await;
}

#[tokio::test]
async fn a_token_without_a_key_id_needs_a_single_key() {
    let setup = Setup::start().await;
    let mut encryption = TestKey::generate("RS256", "enc").jwk();
    encryption["use"] = json!("enc");
    setup.issuer.publish(encryption);
    let nameless = setup.with_header(|header| {
        header.as_object_mut().expect("an object").remove("kid");
    });
    setup.verify(&nameless).await.expect("one signing key");
    setup.issuer.rotate("ES256", "ec-1");
    setup.clock.advance(TTL);
    let nameless = setup.with_header(|header| {
        header.as_object_mut().expect("an object").remove("kid");
    });
    setup.refused_as(nameless, TokenError::AmbiguousKey).await;
}

#[tokio::test]
async fn nothing_is_fetched_before_the_first_token() {
    let setup = Setup::start().await;
    assert_eq!((setup.issuer.discovery_fetches(), setup.issuer.jwks_fetches()), (0, 0));
}

#[tokio::test]
async fn a_rotation_is_followed_at_once() {
    let setup = Setup::warm().await;
    let old = setup.issuer.token(setup.claims().scope("old"));
    setup.issuer.rotate("ES256", "ec-1");
    setup.verify(&setup.issuer.token(setup.claims())).await.expect("the new key");
    setup.verify(&old).await.expect("the old key is still published");
    assert_eq!(setup.issuer.jwks_fetches(), 2);
}

#[tokio::test]
async fn unknown_key_ids_are_fetched_for_once_per_interval() {
    let setup = Setup::warm().await;
    let key = setup.issuer.signing_key();
    for round in 0..3 {
        for number in 0..50 {
            let header = json!({"alg": "RS256", "typ": "JWT", "kid": format!("flood-{round}-{number}")});
            setup.refused_as(sign_with(&header, &setup.claims().into(), &key), TokenError::UnknownKey).await;
        }
        assert_eq!(setup.issuer.jwks_fetches(), 2 + round);
        setup.clock.advance(REFETCH);
    }
}

#[tokio::test]
async fn concurrent_callers_share_one_fetch() {
    let setup = Setup::start().await;
    setup.issuer.behave(Behaviour::Hang);
    let calls: Vec<_> = (0..20)
        .map(|number| {
            let token = setup.issuer.token(setup.claims().with("number", json!(number)));
            let verifier = Arc::clone(&setup.verifier);
            tokio::spawn(async move { verifier.verify(&token).await.map(|token| token.subject.clone()) })
        })
        .collect();
    eventually("the fetch", || setup.issuer.discovery_fetches() > 0).await;
    setup.issuer.behave(Behaviour::Healthy);
    for call in calls {
        assert_eq!(call.await.expect("no panic"), Ok("alice".to_owned()));
    }
    assert_eq!((setup.issuer.discovery_fetches(), setup.issuer.jwks_fetches()), (1, 1));
}

#[tokio::test]
async fn a_caller_that_leaves_does_not_end_the_fetch() {
    let setup = Setup::start().await;
    setup.issuer.behave(Behaviour::Hang);
    let token = setup.issuer.token(setup.claims());
    let verifier = Arc::clone(&setup.verifier);
    let first = {
        let token = token.clone();
        tokio::spawn(async move { verifier.verify(&token).await.map(drop) })
    };
    eventually("the fetch", || setup.issuer.discovery_fetches() > 0).await;
    first.abort();
    assert!(first.await.expect_err("aborted").is_cancelled());
    setup.issuer.behave(Behaviour::Healthy);
    setup.verify(&token).await.expect("the fetch went on");
    assert_eq!(setup.issuer.discovery_fetches(), 1);
}

#[tokio::test]
async fn without_discovery_keycloaks_address_is_used() {
    let setup = Setup::start().await;
    setup.issuer.discovery(Discovery::Absent);
    setup.verify(&setup.issuer.token(setup.claims())).await.expect("a good token");
    assert_eq!((setup.issuer.discovery_fetches(), setup.issuer.jwks_fetches()), (1, 1));
}

#[tokio::test]
async fn an_issuer_may_end_with_a_slash() {
    let setup = Setup::start().await;
    let named = format!("{}/", setup.issuer.url());
    setup.issuer.discovery(Discovery::OfAnother(named.clone()));
    let verifier = verifier_of(&named, &setup.clock, PATIENT);
    verifier.verify(&setup.issuer.token(setup.claims().with("iss", json!(named)))).await.expect("a good token");
}

#[tokio::test]
async fn another_issuers_discovery_is_refused() {
    let setup = Setup::start().await;
    for issuer in ["https://evil.example".to_owned(), format!("{}/", setup.issuer.url())] {
        setup.issuer.discovery(Discovery::OfAnother(issuer));
        setup.refused_as(setup.issuer.token(setup.claims()), TokenError::Unavailable).await;
        setup.clock.advance(REFETCH);
    }
    assert_eq!(setup.issuer.jwks_fetches(), 0);
}
