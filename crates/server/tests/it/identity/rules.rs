//! The rules of the Admin API that the fake keeps and the adapter does not provoke by itself, asked of the fake and of a real
//! Keycloak in the same words: where the real one changes, the fake is wrong.

use serde_json::{Value, json};

use super::fake::FakeKeycloak;
use super::real::Real;
use super::suite::World as _;
use super::worlds::{Admin, Keycloak, Served};

/// The status that a call is answered with.
async fn status(admin: &dyn Admin, method: &str, path: &str, body: Option<Value>) -> u16 {
    admin.call(method, path, body).await.0
}

async fn check(admin: &dyn Admin, method: &str, path: &str, body: impl Into<Option<Value>>, expected: u16) {
    let body = body.into();
    let (status, answer) = admin.call(method, path, body.clone()).await;
    assert_eq!(status, expected, "{method} {path} {body:?}: {answer}");
}

async fn organizations(admin: &dyn Admin, own: &str, id: &str) {
    let post = |body| check(admin, "POST", "/organizations", body, 400);
    for body in [json!({}), json!({ "name": "" }), json!({ "name": "a b" }), json!({ "name": "x", "newer": 1 })] {
        post(body).await;
    }
    for bad in [" ", "/", ":", "?", "#", "@", "\\", "(", "=", "&"] {
        post(json!({ "name": format!("{own} x"), "alias": format!("{own}{bad}x") })).await;
    }
    let other = json!({ "name": format!("{own} other"), "alias": own });
    check(admin, "POST", "/organizations", other, 409).await;
    check(admin, "POST", "/organizations", json!({ "name": own, "alias": format!("{own}-other") }), 409).await;
    let long = json!({ "name": "n".repeat(256), "alias": format!("{own}-long") });
    check(admin, "POST", "/organizations", long, 500).await;

    let path = format!("/organizations/{id}");
    check(admin, "PUT", &path, json!({ "alias": own }), 409).await;
    check(admin, "PUT", &path, json!({ "name": own, "alias": "another" }), 400).await;
    check(admin, "PATCH", &path, json!({}), 405).await;
    let seen = async || admin.call("GET", &path, None).await.1;
    let off = json!({ "name": own, "alias": own, "enabled": false, "description": "d", "attributes": { "a": ["1"] } });
    check(admin, "PUT", &path, off, 204).await;
    assert_eq!(seen().await["enabled"], false);
    // Switched on, and without its description, by what does not say so; the attributes stay.
    check(admin, "PUT", &path, json!({ "name": own, "alias": own }), 204).await;
    let now = seen().await;
    assert!(now["enabled"] == true && now["description"].is_null() && now["attributes"]["a"] == json!(["1"]), "{now}");
    check(admin, "PUT", &path, json!({ "name": own, "alias": own, "attributes": {} }), 204).await;
    assert!(seen().await["attributes"]["a"].is_null());

    check(admin, "GET", "/organizations?max=many", None, 404).await;
    check(admin, "GET", "/organizations/none", None, 404).await;
    check(admin, "GET", "//organizations", None, 400).await;
    check(admin, "GET", "/organizations;x", None, 400).await;
    let (_, all) = admin.call("GET", &format!("/organizations?q={own}"), None).await;
    assert!(!all.as_array().unwrap().is_empty(), "a q without colon is passed over");
    let (_, found) = admin.call("GET", &format!("/organizations?q=alias:{own}"), None).await;
    assert!(found[0]["alias"] == *own && found[0]["attributes"].is_null(), "lists are brief: {found}");
}

async fn users(admin: &dyn Admin, own: &str) -> String {
    let email = format!("{own}@example.com");
    let body = json!({ "email": email, "username": email, "firstName": "Erika", "lastName": "Muster" });
    check(admin, "POST", "/users", body.clone(), 201).await;
    check(admin, "POST", "/users", body, 409).await;
    for bad in [json!({ "email": "nobody" }), json!({ "email": format!("{own}x@example.com"), "newer": 1 })] {
        check(admin, "POST", "/users", bad, 400).await;
    }
    let (_, found) = admin.call("GET", &format!("/users?email={}&exact=true", email.to_uppercase()), None).await;
    assert_eq!(found[0]["enabled"], false, "absent is disabled: {found}");
    let path = format!("/users/{}", found[0]["id"].as_str().unwrap());
    let mail = format!("{path}/execute-actions-email");
    check(admin, "PUT", &mail, json!(["VERIFY_EMAIL"]), 400).await;
    check(admin, "PUT", &path, json!({ "attributes": { "a": ["1"] } }), 400).await;
    check(admin, "PUT", &path, json!({ "enabled": true }), 204).await;
    let (_, now) = admin.call("GET", &path, None).await;
    assert!(now["enabled"] == true && now["firstName"] == "Erika", "{now}");
    check(admin, "PUT", &mail, json!(["DANCE"]), 400).await;
    check(admin, "PUT", &format!("{mail}?lifespan=soon"), json!(["VERIFY_EMAIL"]), 404).await;
    check(admin, "PUT", &format!("{mail}?redirect_uri=http://x"), json!(["VERIFY_EMAIL"]), 400).await;
    check(admin, "GET", "/users/none", None, 404).await;
    check(admin, "POST", "/users/none/logout", None, 404).await;
    found[0]["id"].as_str().unwrap().to_owned()
}

async fn members(admin: &dyn Admin, organization: &str, user: &str) {
    let path = format!("/organizations/{organization}/members");
    let groups = format!("/organizations/{organization}/groups");
    check(admin, "POST", &path, json!("none"), 404).await;
    check(admin, "GET", &format!("{path}/{user}"), None, 404).await;
    check(admin, "POST", &groups, json!({ "name": "G" }), 201).await;
    check(admin, "POST", &groups, json!({ "name": "G" }), 409).await;
    let (_, group) = admin.call("GET", &format!("{groups}?search=G&exact=true"), None).await;
    let join = format!("{groups}/{}/members/{user}", group[0]["id"].as_str().unwrap());
    check(admin, "PUT", &join, None, 400).await;
    check(admin, "POST", &path, json!(user), 201).await;
    check(admin, "POST", &path, json!(user), 409).await;
    check(admin, "PUT", &join, None, 204).await;
    check(admin, "PUT", &join, None, 409).await;
    for _ in 0..2 {
        check(admin, "DELETE", &join, None, 204).await;
    }
    check(admin, "DELETE", &format!("{path}/{user}"), None, 204).await;
    check(admin, "DELETE", &format!("{path}/{user}"), None, 404).await;
    assert_eq!(status(admin, "DELETE", &format!("/users/{user}"), None).await, 204);
    assert_eq!(status(admin, "DELETE", &format!("/users/{user}"), None).await, 404);
}

async fn rules<A: Served>() {
    let Some(world) = Keycloak::<A>::open().await else { return };
    let (admin, own): (&dyn Admin, _) = (&world.admin, world.own("rules"));
    check(admin, "POST", "/organizations", json!({ "name": own, "alias": own }), 201).await;
    let (_, found) = admin.call("GET", &format!("/organizations?q=alias:{own}"), None).await;
    let id = found[0]["id"].as_str().unwrap().to_owned();
    organizations(admin, &own, &id).await;
    let user = users(admin, &own).await;
    members(admin, &id, &user).await;
    check(admin, "DELETE", &format!("/organizations/{id}"), None, 204).await;
    check(admin, "DELETE", &format!("/organizations/{id}"), None, 404).await;
}

#[tokio::test]
async fn the_fake_keeps_the_rules() {
    rules::<FakeKeycloak>().await;
}

#[tokio::test]
async fn the_real_one_has_the_rules() {
    rules::<Real>().await;
}
