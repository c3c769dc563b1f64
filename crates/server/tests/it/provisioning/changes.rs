//! What is pushed to the organization, and when: at every change of the tenant or of what it has, and when the clock says so.

use std::time::Duration;

use domain::Clock as _;
use serde_json::json;

use super::World;
use crate::support::server::eventually;
use crate::support::setup::{each_store, id_of, path_of};

async fn until_products(world: &World, expected: &[&str]) {
    eventually(&format!("the products {expected:?}"), async || {
        world.organization("acme").unwrap().attributes.get("products").cloned().unwrap_or_default() == expected
    })
    .await;
}

each_store! {
    async fn every_change_reaches_the_organization(kind: StoreKind) {
        let world = World::start(kind).await;
        let admin = &world.service.admin;
        let made = world.invite("acme").await;
        admin.patch(&path_of(&made, ""), json!({ "name": "Gruß & Söhne", "plan": "professional" })).await.expect(200);
        eventually("name and plan", async || {
            let organization = world.organization("acme").unwrap();
            organization.name == "Gruß & Söhne (acme)" && organization.attributes["plan"] == ["professional"]
        })
        .await;
        for key in ["crm", "voice"] {
            admin.put(&format!("/v1/catalog/{key}"), json!({ "name": key })).await.expect(201);
        }
        let soon = world.service.clock.now().as_second() + 3_600;
        let end = domain::time::from_micros(soon * 1_000_000).to_string();
        let body = json!({ "tenant_id": id_of(&made), "product": "voice", "state": "active", "expires_at": end });
        admin.put("/v1/entitlements", body).await.expect(201);
        let body = json!({ "tenant_id": id_of(&made), "product": "crm" });
        admin.post("/v1/catalog/trial-request", body).await.expect(201);
        until_products(&world, &["crm", "voice"]).await;
        // Nobody writes anything: the clock ends it.
        world.service.clock.advance(Duration::from_secs(3_601));
        until_products(&world, &["crm"]).await;
        let held = admin.get(&format!("/v1/entitlements?tenant_id={}", id_of(&made))).await.expect(200).body;
        let held = held["items"].as_array().unwrap().iter().find(|one| one["product"] == "crm").unwrap();
        admin.delete(&format!("/v1/entitlements/{}", held["id"].as_str().unwrap())).await.expect(204);
        until_products(&world, &[]).await;
        world.service.clock.advance_days(15);
        eventually("the end of the trial", async || world.organization("acme").unwrap().attributes["status"] == ["frozen"]).await;
        assert_eq!(world.told(&made).await, ["keycloak.provisioned"], "pushes are no events");
    }

    async fn a_change_that_says_nothing_new_calls_nobody(kind: StoreKind) {
        let world = World::start(kind).await;
        let made = world.invite("acme").await;
        let calls = world.mock.journal().len();
        let patch = json!({ "metadata": { "crm": "1" } });
        world.service.admin.patch(&path_of(&made, ""), patch).await.expect(200);
        eventually("the change was looked at", async || {
            let work = world.work(&made).await.unwrap();
            work.done == work.wanted
        })
        .await;
        assert_eq!(world.mock.journal().len(), calls);
    }
}
