//! Which tenant a token names, in every shape of Keycloak's claims, and who is its admin.

use super::*;

const T1: &str = "0192f0c1-2b5e-7aaa-8bbb-000000000001";
const T2: &str = "0192f0c1-2b5e-7aaa-8bbb-000000000002";

#[derive(Debug, PartialEq, Eq)]
enum Named {
    Nothing,
    Slug(&'static str),
    Id(&'static str),
    Both(&'static str, &'static str),
    Disagreement,
}

async fn tenancy(setup: &Setup, claims: Value) -> Result<Arc<VerifiedToken>, TokenError> {
    let mut all = setup.claims();
    for (name, value) in claims.as_object().expect("an object") {
        all = all.with(name, value.clone());
    }
    setup.verify(&setup.issuer.token(all)).await
}

#[tokio::test]
async fn the_tenant_is_read_from_every_shape() {
    use Named::{Both, Disagreement, Id, Nothing, Slug};
    let setup = Setup::warm().await;
    let by_role = None;
    for (claims, named, it_admin) in [
        (json!({}), Nothing, by_role),
        // organization: absent, string, array, object
        (json!({"organization": null}), Nothing, by_role),
        (json!({"organization": []}), Nothing, by_role),
        (json!({"organization": {}}), Nothing, by_role),
        (json!({"organization": "acme"}), Slug("acme"), by_role),
        (json!({"organization": ["acme"]}), Slug("acme"), by_role),
        (json!({"organization": ["acme", "acme"]}), Slug("acme"), by_role),
        (json!({"organization": {"acme": {}}}), Slug("acme"), by_role),
        (json!({"organization": {"acme": null}}), Slug("acme"), by_role),
        // Keycloak's id is not ours, and attributes are arrays.
        (json!({"organization": {"acme": {"id": T2}}}), Slug("acme"), by_role),
        (
            json!({"organization": {"acme": {"id": T2, "tenant_id": [T1], "plan": ["starter"], "status": ["active"]}}}),
            Both(T1, "acme"),
            by_role,
        ),
        (json!({"organization": {"acme": {"tenant_id": T1}}}), Both(T1, "acme"), by_role),
        (json!({"organization": {"acme": {"tenant_id": []}}}), Slug("acme"), by_role),
        (json!({"organization": {"acme": {"tenant_id": [T1, T2]}}}), Disagreement, by_role),
        // Two mappers on one claim name merge.
        (json!({"organization": [{"acme": {"tenant_id": [T1]}}, "acme"]}), Both(T1, "acme"), by_role),
        (json!({"organization": [{"acme": {"groups": ["/IT_ADMIN"]}}, "acme"]}), Slug("acme"), Some(true)),
        // Groups
        (json!({"organization": {"acme": {"groups": ["/IT_ADMIN"]}}}), Slug("acme"), Some(true)),
        (json!({"organization": {"acme": {"groups": []}}}), Slug("acme"), Some(false)),
        (json!({"organization": {"acme": {"groups": null}}}), Slug("acme"), Some(false)),
        (
            json!({"organization": {"acme": {"groups": ["IT_ADMIN", "/x/IT_ADMIN", "/IT_ADMIN/x", "/it_admin"]}}}),
            Slug("acme"),
            Some(false),
        ),
        // Several
        (json!({"organization": ["acme", "beta"]}), Nothing, by_role),
        (json!({"organization": {"acme": {}, "beta": {}}}), Nothing, by_role),
        (json!({"organization": ["acme", "beta"], "tenant_id": T1, "tenant_slug": "acme"}), Nothing, by_role),
        (json!({"organization": {"acme": {"groups": ["/IT_ADMIN"]}, "beta": {}}}), Nothing, Some(false)),
        // The flat claims
        (json!({"tenant_id": T1}), Id(T1), by_role),
        (json!({"tenant_id": [T1]}), Id(T1), by_role),
        (json!({"tenant_id": T1.to_uppercase()}), Id(T1), by_role),
        (json!({"tenant_id": [T1, T1.to_uppercase()]}), Id(T1), by_role),
        (json!({"tenant_id": [T1, T2]}), Disagreement, by_role),
        (json!({"tenant_id": ""}), Nothing, by_role),
        (json!({"tenant_slug": "acme"}), Slug("acme"), by_role),
        (json!({"tenant_slug": ["acme"]}), Slug("acme"), by_role),
        (json!({"tenant_slug": ["acme", "beta"]}), Disagreement, by_role),
        // Together
        (json!({"tenant_id": T1, "tenant_slug": "acme", "organization": ["acme"]}), Both(T1, "acme"), by_role),
        (json!({"tenant_slug": "beta", "organization": ["acme"]}), Disagreement, by_role),
        (json!({"tenant_id": T2, "organization": {"acme": {"tenant_id": [T1]}}}), Disagreement, by_role),
    ] {
        let token = tenancy(&setup, claims.clone()).await.unwrap_or_else(|error| panic!("{claims}: {error}"));
        let seen = match token.tenant.named() {
            ClaimedTenant::None => Nothing,
            ClaimedTenant::Disagreement => Disagreement,
            ClaimedTenant::Named { id: None, slug: None } => panic!("{claims}: named by nothing"),
            ClaimedTenant::Named { id: Some(id), slug: None } => Id(if id == T1 { T1 } else { T2 }),
            ClaimedTenant::Named { id: None, slug: Some(slug) } => Slug(if slug == "acme" { "acme" } else { "beta" }),
            ClaimedTenant::Named { id: Some(id), slug: Some(slug) } => {
                Both(if id == T1 { T1 } else { T2 }, if slug == "acme" { "acme" } else { "beta" })
            }
        };
        assert_eq!(seen, named, "{claims}");
        assert_eq!(token.it_admin_by_group, it_admin, "{claims}");
    }
}

#[tokio::test]
async fn several_organizations_leave_nothing_to_look_up() {
    let setup = Setup::warm().await;
    let claims = json!({"organization": ["acme", "beta"], "tenant_id": T1, "tenant_slug": "acme"});
    let token = tenancy(&setup, claims).await.expect("a good token");
    assert_eq!(token.tenant, TenantClaim { several_organizations: true, ..TenantClaim::default() });
    // Also where somebody else filled the fields.
    let filled = TenantClaim { ids: vec![T1.to_owned()], slugs: Vec::new(), several_organizations: true };
    assert_eq!(filled.named(), ClaimedTenant::None);
}

#[tokio::test]
async fn groups_outweigh_the_realm_role() {
    let setup = Setup::warm().await;
    let admin = |organization: Value| {
        let claims = setup.claims().role("IT_ADMIN").with("organization", organization);
        let token = setup.issuer.token(claims);
        let verifier = Arc::clone(&setup.verifier);
        async move { verifier.verify(&token).await.expect("a good token").is_it_admin() }
    };
    assert!(admin(json!(["acme"])).await);
    assert!(admin(json!({"acme": {}})).await);
    assert!(!admin(json!({"acme": {"groups": []}})).await);
    assert!(!admin(json!({"acme": {"groups": ["/STAFF"]}})).await);
    assert!(admin(json!({"acme": {"groups": ["/IT_ADMIN"]}})).await);
    let member = setup.claims().role("MEMBER").with("organization", json!({"acme": {"groups": ["/IT_ADMIN"]}}));
    assert!(setup.verify(&setup.issuer.token(member)).await.expect("a good token").is_it_admin());
}

#[tokio::test]
async fn ill_typed_tenant_claims_are_refused() {
    let setup = Setup::warm().await;
    for claims in [
        json!({"tenant_id": 7}),
        json!({"tenant_id": [7]}),
        json!({"tenant_id": {"a": "b"}}),
        json!({"tenant_slug": true}),
        json!({"organization": 7}),
        json!({"organization": [7]}),
        json!({"organization": [["acme"]]}),
        json!({"organization": {"acme": "x"}}),
        json!({"organization": {"acme": {"tenant_id": 7}}}),
        json!({"organization": {"acme": {"groups": {"a": 1}}}}),
        json!({"organization": {"acme": {"groups": [7]}}}),
    ] {
        let error = tenancy(&setup, claims.clone()).await.expect_err("ill-typed");
        assert_eq!((error.reason(), error.public()), ("malformed", PublicReason::Invalid), "{claims}");
    }
}
