//! What a rightly signed token must say, and how it is read: type, issuer, audience, times, subject, roles, scopes.

use super::*;

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
