//! Freezing, activating and deleting, in both modes of `KEYCLOAK_ON_FREEZE`.

use std::time::Duration;

use serde_json::json;
use server::identity::mock::{MockOrganization, Moment, Operation};
use server::identity::provider::FaultKind;

use super::{World, email_of};
use crate::support::Options;
use crate::support::server::eventually;
use crate::support::setup::each_store;

fn disabling() -> Options {
    Options::default().set("KEYCLOAK_ON_FREEZE", "disable")
}

async fn until_pushed(world: &World, status: &str) {
    eventually(&format!("{status} is pushed"), async || {
        world.organization("acme").unwrap().attributes["status"] == [status]
    })
    .await;
}

each_store! {
    async fn marking_changes_the_attributes_and_nothing_else(kind: StoreKind) {
        let world = World::start(kind).await;
        let made = world.invite("acme").await;
        world.call(&made, "/cancel").await;
        until_pushed(&world, "frozen").await;
        assert!(world.organization("acme").unwrap().enabled && world.account(&email_of("acme")).unwrap().enabled);
        world.call(&made, "/activate").await;
        until_pushed(&world, "active").await;
        assert_eq!(world.mock.calls(Operation::SetAccountEnabled), 0);
        assert_eq!(world.shown(&made).await["status"], "provisioned");
        assert_eq!(world.told(&made).await, ["keycloak.provisioned"]);
    }

    async fn disabling_shuts_people_out_and_activating_lets_them_in(kind: StoreKind) {
        let world = World::start_with(kind, disabling()).await;
        let made = world.invite("acme").await;
        world.call(&made, "/cancel").await;
        eventually("the account is shut", async || !world.account(&email_of("acme")).unwrap().enabled).await;
        eventually("its sessions end", async || world.account(&email_of("acme")).unwrap().log_outs == 1).await;
        let shut = world.organization("acme").unwrap();
        assert_eq!((shut.enabled, shut.attributes["status"].as_slice()), (false, ["frozen".to_owned()].as_slice()));
        world.call(&made, "/activate").await;
        eventually("all is open", async || {
            world.organization("acme").unwrap().enabled && world.account(&email_of("acme")).unwrap().enabled
        })
        .await;
        until_pushed(&world, "active").await;
        eventually("all is told", async || world.told(&made).await.len() == 5).await;
        let told = ["provisioned", "organization_disabled", "user_disabled", "organization_enabled", "user_enabled"];
        assert_eq!(world.told(&made).await, told.map(|action| format!("keycloak.{action}")));
    }

    async fn an_organization_that_was_off_before_stays_off(kind: StoreKind) {
        let world = World::start_with(kind, disabling()).await;
        let made = world.invite("acme").await;
        let organization = world.organization("acme").unwrap();
        world.mock.put_organization(MockOrganization { enabled: false, ..organization });
        world.service.admin.patch(&crate::support::setup::path_of(&made, ""), json!({ "plan": "enterprise" })).await.expect(200);
        eventually("the plan is pushed", async || world.organization("acme").unwrap().attributes["plan"] == ["enterprise"]).await;
        assert!(!world.organization("acme").unwrap().enabled, "a push switches nothing");
        world.call(&made, "/cancel").await;
        until_pushed(&world, "frozen").await;
        world.call(&made, "/activate").await;
        until_pushed(&world, "active").await;
        assert!(!world.organization("acme").unwrap().enabled);
    }

    async fn what_was_switched_off_when_the_answer_was_lost_is_switched_on_again(kind: StoreKind) {
        let world = World::start_with(kind, disabling()).await;
        let made = world.invite("acme").await;
        for operation in [Operation::UpdateOrganization, Operation::SetAccountEnabled] {
            world.mock.fail(operation, 1, FaultKind::Timeout, Moment::After);
        }
        world.call(&made, "/cancel").await;
        for _ in 0..2 {
            world.until_status(&made, "failed").await;
            world.service.clock.advance(Duration::from_secs(30));
        }
        world.until_status(&made, "provisioned").await;
        assert!(!world.organization("acme").unwrap().enabled && !world.account(&email_of("acme")).unwrap().enabled);
        world.call(&made, "/activate").await;
        eventually("all is open", async || {
            world.organization("acme").unwrap().enabled && world.account(&email_of("acme")).unwrap().enabled
        })
        .await;
    }

    async fn deleting_removes_the_organization_and_our_account_however_often_it_fails(kind: StoreKind) {
        let world = World::start_with(kind, disabling()).await;
        let made = world.invite("acme").await;
        world.call(&made, "/cancel").await;
        eventually("it is shut", async || !world.account(&email_of("acme")).unwrap().enabled).await;
        for operation in [Operation::DeleteOrganization, Operation::DeleteAccount] {
            world.mock.fail(operation, 1, FaultKind::Unavailable, Moment::After);
        }
        world.delete(&made).await;
        for attempts in [1, 2] {
            eventually("an attempt failed", async || {
                world.told(&made).await.iter().filter(|action| *action == "keycloak.provision_failed").count() >= attempts
            })
            .await;
            world.service.clock.advance(Duration::from_secs(30));
        }
        eventually("all is removed", async || world.told(&made).await.last().unwrap() == "keycloak.removed").await;
        assert!(world.mock.organizations().is_empty() && world.mock.accounts().is_empty());
        // Nothing is left to do: another organization of that name would be left alone.
        let calls = world.mock.journal().len();
        world.service.clock.advance(Duration::from_secs(7_200));
        assert_eq!(world.due().await, []);
        assert!(world.work(&made).await.is_none());
        assert_eq!(world.mock.journal().len(), calls);
    }

    async fn a_slug_that_is_free_again_gets_an_organization_of_its_own(kind: StoreKind) {
        let world = World::start(kind).await;
        let first = world.invite("acme").await;
        world.call(&first, "/cancel").await;
        world.delete(&first).await;
        let second = world.invite("acme").await;
        assert_eq!(second["provisioning"]["status"], "provisioned", "{second}");
        let organization = world.organization("acme").unwrap();
        assert_eq!(organization.attributes["tenant_id"], [second["id"].as_str().unwrap()]);
        assert_eq!(world.account(&email_of("acme")).unwrap().mails, 1);
    }

    async fn what_a_lost_answer_left_of_a_deleted_tenant_is_removed_too(kind: StoreKind) {
        let world = World::start(kind).await;
        world.mock.fail_from(Operation::EnsureAccount, 1, FaultKind::Timeout, Moment::After);
        let made = world.invite("acme").await;
        assert_eq!(made["provisioning"]["step"], "user");
        assert!(world.account(&email_of("acme")).is_some());
        world.mock.recover();
        world.call(&made, "/cancel").await;
        world.delete(&made).await;
        eventually("all is removed", async || world.told(&made).await.last().unwrap() == "keycloak.removed").await;
        assert!(world.mock.organizations().is_empty() && world.mock.accounts().is_empty());
    }
}
