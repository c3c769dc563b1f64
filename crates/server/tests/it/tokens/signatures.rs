//! Which signatures are good: algorithms, headers, tampering and rubbish (RFC 7515, RFC 8725).

use aws_lc_rs::hmac;

use super::*;

#[tokio::test]
async fn every_allowed_algorithm_verifies() {
    let setup = Setup::warm().await;
    for alg in ["ES256", "EdDSA"] {
        setup.issuer.rotate(alg, alg);
        let token = setup.verify(&setup.issuer.token(setup.claims())).await.expect(alg);
        assert_eq!(token.subject, "alice");
        setup.clock.advance(REFETCH);
    }
}

#[tokio::test]
async fn a_token_verifies_by_the_real_clock() {
    let issuer = TestIssuer::start().await;
    let verifier =
        TokenVerifier::new(TokenSettings::new(issuer.url(), AUDIENCE), Arc::new(RealClock)).expect("a verifier");
    let token = verifier.verify(&issuer.token(issuer.claims("alice").tenant("acme"))).await.expect("a good token");
    assert_eq!(token.tenant.named(), ClaimedTenant::Named { id: None, slug: Some("acme") });
}

#[tokio::test]
async fn algorithms_off_the_list_are_refused() {
    let setup = Setup::warm().await;
    for alg in ["none", "None", "", "HS256", "HS512", "RS384", "RS512", "PS256", "ES384", "rs256", "Ed25519"] {
        setup.refused_as(setup.with_header(|header| header["alg"] = json!(alg)), TokenError::AlgorithmRefused).await;
    }
    let bare = unsigned(&json!({"alg": "none", "typ": "JWT"}), &setup.claims().into());
    setup.refused_as(format!("{bare}."), TokenError::AlgorithmRefused).await;
}

#[tokio::test]
async fn the_public_key_is_no_hmac_secret() {
    let setup = Setup::warm().await;
    let key = setup.issuer.signing_key();
    for secret in [key.public_bytes(), key.jwk().to_string().into_bytes()] {
        let message = unsigned(&json!({"alg": "HS256", "typ": "JWT", "kid": key.kid}), &setup.claims().into());
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), message.as_bytes());
        setup.refused_as(format!("{message}.{}", base64url(tag.as_ref())), TokenError::AlgorithmRefused).await;
    }
}

#[tokio::test]
async fn the_headers_algorithm_must_be_the_keys() {
    let setup = Setup::warm().await;
    setup.refused_as(setup.with_header(|header| header["alg"] = json!("ES256")), TokenError::AlgorithmMismatch).await;
    // An EdDSA key published for RS256 is usable for neither.
    let key = TestKey::generate("EdDSA", "confused");
    let mut jwk = key.jwk();
    jwk["alg"] = json!("RS256");
    setup.issuer.publish(jwk);
    setup.refused_as(sign_with(&key.header(), &setup.claims().into(), &key), TokenError::UnknownKey).await;
}

#[tokio::test]
async fn keys_of_one_id_are_told_apart_by_algorithm() {
    let setup = Setup::start().await;
    let twin = TestKey::generate("ES256", "rsa-1");
    setup.issuer.publish(twin.jwk());
    setup.verify(&setup.issuer.token(setup.claims())).await.expect("RS256");
    setup.verify(&sign_with(&twin.header(), &setup.claims().into(), &twin)).await.expect("ES256");
}

#[tokio::test]
async fn a_strangers_signature_is_refused() {
    let setup = Setup::start().await;
    setup.issuer.rotate("ES256", "ec-1");
    let stranger = TestKey::generate("ES256", "ec-1");
    setup.refused_as(sign_with(&stranger.header(), &setup.claims().into(), &stranger), TokenError::BadSignature).await;
}

#[tokio::test]
async fn a_key_in_the_header_is_not_used() {
    let setup = Setup::start().await;
    setup.issuer.rotate("ES256", "ec-1");
    let stranger = TestKey::generate("ES256", "ec-1");
    let mut header = stranger.header();
    header["jwk"] = stranger.jwk();
    setup.refused_as(sign_with(&header, &setup.claims().into(), &stranger), TokenError::BadSignature).await;
}

#[tokio::test]
async fn no_changed_character_passes() {
    let setup = Setup::start().await;
    setup.issuer.rotate("EdDSA", "ed-1");
    let token = setup.issuer.token(setup.claims());
    setup.verify(&token).await.expect("untouched");
    for at in 0..token.len() {
        for replacement in ["A", "B", "_", ".", "=", "ä"] {
            let changed = format!("{}{replacement}{}", &token[..at], &token[at + 1..]);
            if changed != token {
                setup.verify(&changed).await.expect_err(&changed);
            }
        }
        setup.verify(&token[..at]).await.expect_err("cut short");
    }
}

#[tokio::test]
async fn another_payload_needs_another_signature() {
    let setup = Setup::warm().await;
    let mine = setup.issuer.token(setup.claims());
    let wanted = setup.issuer.token(setup.claims().role("PLATFORM_ADMIN"));
    let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
    let (mine, wanted) = (parts(&mine), parts(&wanted));
    setup.refused_as(format!("{}.{}.{}", mine[0], wanted[1], mine[2]), TokenError::BadSignature).await;
}

#[tokio::test]
async fn malformed_tokens_are_errors() {
    let setup = Setup::warm().await;
    let key = setup.issuer.signing_key();
    let good = setup.issuer.token(setup.claims());
    let deep = "[".repeat(5_000);
    let raw =
        |header: &str, payload: &str| format!("{}.{}.AA", base64url(header.as_bytes()), base64url(payload.as_bytes()));
    for rubbish in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        "a.b".to_owned(),
        "dev-token".to_owned(),
        "ä.ö.ü".to_owned(),
        format!("{good}.{good}"),
        format!(" {good}"),
        format!("{good}="),
        format!("{good}\n"),
        raw("{}", "{}"),
        raw("[]", "{}"),
        raw("null", "{}"),
        raw("{\"alg\":7}", "{}"),
        raw(&deep, "{}"),
    ] {
        let error = setup.verify(&rubbish).await.expect_err(&rubbish);
        assert_eq!(error.public(), PublicReason::Invalid, "{rubbish}: {error}");
    }
    for payload in ["", "[]", "7", "null", "{", "\u{0}", &deep] {
        // Signed as it stands: only the payload is wrong.
        let header = base64url(key.header().to_string().as_bytes());
        let token = key.sign_text(&format!("{header}.{}", base64url(payload.as_bytes())));
        setup.refused_as(token, TokenError::Malformed("the payload is not a JSON object")).await;
    }
    setup
        .refused_as(
            setup.with_header(|header| header["kid"] = json!(7)),
            TokenError::Malformed("`kid` is not a string"),
        )
        .await;
    assert_eq!(setup.issuer.jwks_fetches(), 1, "rubbish fetches nothing");
}

#[tokio::test]
async fn long_tokens_are_not_read() {
    let setup = Setup::warm().await;
    setup.claims_refused_as(setup.claims().with("padding", json!("x".repeat(16_384))), TokenError::TooLong).await;
    setup
        .verify(&setup.issuer.token(setup.claims().with("padding", json!("x".repeat(8_000)))))
        .await
        .expect("not too long");
}

#[tokio::test]
async fn critical_extensions_are_refused() {
    let setup = Setup::warm().await;
    for crit in [json!(["b64"]), json!([]), json!(null)] {
        setup.refused_as(setup.with_header(|header| header["crit"] = crit), TokenError::CriticalHeader).await;
    }
}
