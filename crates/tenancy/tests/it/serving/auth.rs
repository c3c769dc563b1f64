//! Bearer tokens: how they are read, what a refusal looks like, and that a token is told to nobody.

use axum::body::Body;
use axum::routing::get;
use axum::{Extension, Router};
use http::{Request, StatusCode};
use tenancy::{AuthError, BearerTokenAuth, Principal};
use tower::Layer;

use super::{Answer, request, send, tokens};

fn guarded() -> tenancy::BearerGate<Router> {
    let who = |who: Option<Extension<Principal>>| async move {
        who.map_or_else(|| "nobody".to_owned(), |Extension(who)| format!("{} {:?}", who.subject, who.tenant))
    };
    tokens().layer(Router::new().route("/", get(who)))
}

async fn with(values: &[&str]) -> Answer {
    let headers: Vec<_> = values.iter().map(|value| ("authorization", *value)).collect();
    send(&guarded(), request("/", &headers)).await
}

#[tokio::test]
async fn a_valid_token_leaves_its_principal() {
    for value in ["Bearer acme", "bearer acme", "BEARER  acme "] {
        let answer = with(&[value]).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, r#"user-7 Some("acme")"#), "{value:?}");
    }
}

#[tokio::test]
async fn each_error_has_its_status_code_and_challenge() {
    for (values, status, code, challenge) in [
        (&[][..], 401, "unauthenticated", Some("Bearer")),
        (&["Basic dTpw"], 401, "unauthenticated", Some("Bearer")),
        (&["Bearer"], 401, "unauthenticated", Some("Bearer")),
        (&["Bearer "], 401, "unauthenticated", Some("Bearer")),
        (&["Bearer a b"], 401, "unauthenticated", Some(r#"Bearer error="invalid_token""#)),
        (&["Bearer a, Bearer b"], 401, "unauthenticated", Some(r#"Bearer error="invalid_token""#)),
        (&["Bearer acme", "Bearer acme"], 401, "unauthenticated", Some(r#"Bearer error="invalid_token""#)),
        (&["Bearer acmé"], 401, "unauthenticated", Some(r#"Bearer error="invalid_token""#)),
        (&["Bearer invalid"], 401, "unauthenticated", Some(r#"Bearer error="invalid_token""#)),
        (
            &["Bearer expired"],
            401,
            "unauthenticated",
            Some(r#"Bearer error="invalid_token", error_description="the token has expired""#),
        ),
        (&["Bearer forbidden"], 403, "forbidden", None),
        (&["Bearer unavailable"], 503, "auth_unavailable", None),
    ] {
        let answer = with(values).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (status, code), "{values:?}");
        assert_eq!(answer.header("www-authenticate"), challenge, "{values:?}");
    }
}

#[tokio::test]
async fn a_token_is_in_no_answer_and_no_debug_text() {
    let answer = with(&["Bearer s3cret s3cret"]).await;
    assert!(!format!("{answer:?} {:?} {:?}", tokens(), guarded()).contains("s3cret"));
}

#[tokio::test]
async fn where_nobody_is_asked_requests_pass_without_a_principal_and_admins_do_not() {
    let app =
        Router::new().route("/", get(|who: Option<Extension<Principal>>| async move { who.is_none().to_string() }));
    let open = BearerTokenAuth::none();
    assert_eq!(send(&open.layer(app), request("/", &[("authorization", "Bearer acme")])).await.text, "true");
    let asked = request("/", &[("authorization", "Bearer acme")]);
    assert_eq!(open.authenticate(asked.headers()).await, Err(AuthError::Invalid));
    assert_eq!(open.authenticate(Request::new(Body::empty()).headers()).await, Err(AuthError::Missing));
}

#[tokio::test]
async fn what_was_in_the_request_before_is_not_the_principal() {
    let mut request = request("/", &[("authorization", "Bearer acme")]);
    request.extensions_mut().insert(Principal::token("somebody").with_tenant("globex"));
    assert_eq!(send(&guarded(), request).await.text, r#"user-7 Some("acme")"#);
}
