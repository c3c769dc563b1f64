//! What a rightly signed token must say, and how it is read: type, issuer, audience, times, subject, roles, scopes.

use super::*;



that outlive every time-to-live.
    fn long_lived(&self) -> Claims {
        self.claims().expires(self.clock.seconds() + 1_000_000)
    }

    async fn verify(&self, token: &str) -> Result<Arc<VerifiedToken>, TokenError> {
        self.verifier.verify(token).await
    }

    #[track_caller]
    fn refused_as(&self, token: String, expected: TokenError) -> impl Future<Output = ()> {
        let at = std::panic::Location::caller();
        async move {
            match self.verify(&token).await {
                Err(error) if error == expected => {}
                other => panic!("{at}: expected {expected:?}, got {other:?}"),
            }
        }
    }

    #[track_caller]
    fn claims_refused_as(&self, claims: Claims, expected: TokenError) -> impl Future<Output = ()> {
        self.refused_as(self.issuer.token(claims), expected)
    }

    /// Signed by the issuer's key under any header.
    fn with_header(&self, change: impl FnOnce(&mut Value)) -> String {
        let key = self.issuer.signing_key();
        let mut header = key.header();
        change(&mut header);
        sign_with(&header, &self.claims().into(), &key)
    }
}

fn verifier_of(issuer: &str, clock: &Arc<ManualClock>, fetch_timeout: Duration) -> Arc<TokenVerifier> {
    let settings = TokenSettings { fetch_timeout, ..TokenSettings::new(issuer, AUDIENCE) };
    Arc::new(TokenVerifier::new(settings, Arc::clone(clock) as Arc<dyn Clock>).expect("a verifier"))
}

/// Waits for a condition that something in the background brings about.
async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap_or_else(|_| panic!("{what} did not happen"));
}

// Signatures and algorithms

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

// The type of a token

#[tokio::test]
async fn only_access_tokens_pass() {
    let setup = Setup::warm().await;
    for typ in ["ID", "Refresh", "Offline", "Logout", "DPoP", "bearer", ""] {
        setup.claims_refused_as(setup.claims().with("typ", json!(typ)), TokenError::WrongType).await;
    }
    setup.claims_refused_as(setup.claims().without("typ"), TokenError::WrongType).await;
    setup.claims_refused_as(setup.claims().with("typ", json!(7)), TokenError::Malformed("`typ` is not a string")).await;
}

#[tokio::test]
async fn the_headers_type_is_judged() {
    let setup = Setup::warm().await;
    for typ in ["JWT", "jwt", "application/jwt", "at+jwt", "application/at+jwt", "AT+JWT"] {
        setup.verify(&setup.with_header(|header| header["typ"] = json!(typ))).await.expect(typ);
    }
    let untyped = setup.with_header(|header| {
        header.as_object_mut().expect("an object").remove("typ");
    });
    setup.verify(&untyped).await.expect("absent");
    for typ in ["logout+jwt", "dpop+jwt", "secevent+jwt", "JOSE", "", "application/", "äpplication/at+jwt"] {
        setup.refused_as(setup.with_header(|header| header["typ"] = json!(typ)), TokenError::WrongType).await;
    }
}

#[tokio::test]
async fn rfc_9068_tokens_need_no_type_claim() {
    let setup = Setup::warm().await;
    let key = setup.issuer.signing_key();
    let mut header = key.header();
    header["typ"] = json!("at+jwt");
    setup.verify(&sign_with(&header, &setup.claims().without("typ").into(), &key)).await.expect("an RFC 9068 token");
    let id_token = sign_with(&header, &setup.claims().with("typ", json!("ID")).into(), &key);
    setup.refused_as(id_token, TokenError::WrongType).await;
}

// Claims

#[tokio::test]
async fn another_issuer_is_refused() {
    let setup = Setup::warm().await;
    let url = setup.issuer.url().to_owned();
    for issuer in [json!(format!("{url}/")), json!(url.to_uppercase()), json!("https://evil.example"), json!("")] {
        setup.claims_refused_as(setup.claims().with("iss", issuer), TokenError::WrongIssuer).await;
    }
    setup.claims_refused_as(setup.claims().without("iss"), TokenError::WrongIssuer).await;
    setup
        .claims_refused_as(setup.claims().with("iss", json!([url])), TokenError::Malformed("`iss` is not a string"))
        .await;
}

#[tokio::test]
async fn the_audience_must_be_ours() {
    let setup = Setup::warm().await;
    setup
        .verify(&setup.issuer.token(setup.claims().with("aud", json!(["account", AUDIENCE]))))
        .await
        .expect("an array");
    for audience in [json!("account"), json!([]), json!(["account"]), json!("tenant-registry2"), json!(null)] {
        setup.claims_refused_as(setup.claims().with("aud", audience), TokenError::WrongAudience).await;
    }
    setup.claims_refused_as(setup.claims().without("aud"), TokenError::WrongAudience).await;
    let ill_typed = TokenError::Malformed("`aud` is neither a string nor an array of strings");
    for audience in [json!(7), json!([AUDIENCE, 7]), json!({ AUDIENCE: true })] {
        setup.claims_refused_as(setup.claims().with("aud", audience), ill_typed).await;
    }
}

#[tokio::test]
async fn a_token_ends_with_its_leeway() {
    let setup = Setup::warm().await;
    let now = setup.clock.seconds();
    setup.verify(&setup.issuer.token(setup.claims().expires(now - LEEWAY + 1))).await.expect("within the leeway");
    setup.claims_refused_as(setup.claims().expires(now - LEEWAY), TokenError::Expired).await;
    setup.claims_refused_as(setup.claims().with("exp", json!(-1e300)), TokenError::Expired).await;
    assert_eq!(TokenError::Expired.public(), PublicReason::Expired);
    for exp in [json!(1e300), json!(u64::MAX), json!(i64::MAX), json!(f64::from(u32::MAX) + 0.5)] {
        setup.verify(&setup.issuer.token(setup.claims().with("exp", exp))).await.expect("far away");
    }
    setup.claims_refused_as(setup.claims().without("exp"), TokenError::Malformed("`exp` is absent")).await;
    setup
        .claims_refused_as(
            setup.claims().with("exp", json!("1900000300")),
            TokenError::Malformed("`exp` is not a number"),
        )
        .await;
}

#[tokio::test]
async fn a_token_begins_with_its_leeway() {
    let setup = Setup::warm().await;
    let now = setup.clock.seconds();
    setup
        .verify(&setup.issuer.token(setup.claims().with("nbf", json!(now + LEEWAY))))
        .await
        .expect("within the leeway");
    setup.claims_refused_as(setup.claims().with("nbf", json!(now + LEEWAY + 1)), TokenError::NotYetValid).await;
    setup.verify(&setup.issuer.token(setup.claims().with("iat", json!(now + 300)))).await.expect("a skewed clock");
    setup.claims_refused_as(setup.claims().with("iat", json!(now + 301)), TokenError::IssuedInFuture).await;
}

#[tokio::test]
async fn a_subject_is_needed() {
    let setup = Setup::warm().await;
    let absent = TokenError::Malformed("`sub` is absent or empty");
    setup.claims_refused_as(setup.claims().without("sub"), absent).await;
    setup.claims_refused_as(setup.claims().with("sub", json!("")), absent).await;
    setup.claims_refused_as(setup.claims().with("sub", json!(7)), TokenError::Malformed("`sub` is not a string")).await;
}

#[tokio::test]
async fn roles_and_scopes_are_read() {
    let setup = Setup::warm().await;
    let token = setup
        .verify(
            &setup
                .issuer
                .token(setup.claims().role("MEMBER").role("PLATFORM_ADMIN").scope("openid  registry:internal ")),
        )
        .await
        .expect("a good token");
    assert!(token.is_member() && token.is_platform_admin() && !token.is_it_admin());
    assert_eq!(token.scopes, ["openid", "registry:internal"]);
    assert!(token.has_scope("registry:internal") && !token.has_scope("registry") && !token.has_scope(""));
    assert_eq!(&*token.issuer, setup.issuer.url());
    assert_eq!(token.username.as_deref(), Some("alice"));
    assert_eq!(token.client_id.as_deref(), Some("breakpilot-console"));
    assert_eq!(token.expires_at.as_second(), setup.clock.seconds() + 300);

    let scopes = setup.claims().with("scope", json!(["tenant:read", "audit:read"]));
    let token = setup.verify(&setup.issuer.token(scopes)).await.expect("an array of scopes");
    assert_eq!(token.scopes, ["tenant:read", "audit:read"]);
    assert!(token.roles.is_empty() && token.tenant == TenantClaim::default());

    for (name, value) in [
        ("realm_access", json!(["PLATFORM_ADMIN"])),
        ("realm_access", json!({"roles": {"PLATFORM_ADMIN": true}})),
        ("realm_access", json!({"roles": [7]})),
        ("scope", json!(7)),
        ("azp", json!([])),
        ("preferred_username", json!(7)),
    ] {
        let error = setup.verify(&setup.issuer.token(setup.claims().with(name, value))).await.expect_err(name);
        assert_eq!(error.reason(), "malformed");
    }
    // Client roles are somebody else's.
    let elsewhere = setup.claims().with("resource_access", json!({"realm-management": {"roles": ["PLATFORM_ADMIN"]}}));
    assert!(!setup.verify(&setup.issuer.token(elsewhere)).await.expect("a good token").is_platform_admin());
}
