//! One address for several tenants, and accounts of somebody else.

use serde_json::{Value, json};
use server::identity::mock::{MockAccount, Moment, Operation};
use server::identity::provider::FaultKind;

use super::World;
use crate::support::Options;
use crate::support::server::eventually;
use crate::support::setup::each_store;

async fn invite_ada(world: &World, slug: &str) -> Value {
    let body = json!({ "slug": slug, "name": "N", "admin_email": "Ada@Example.org" });
    world.service.admin.post("/v1/tenants", body).await.expect(201).body
}

fn disabling() -> Options {
    Options::default().set("KEYCLOAK_ON_FREEZE", "disable")
}

each_store! {
    async fn two_tenants_that_invite_one_address_at_once_make_one_account(kind: StoreKind) {
        let world = World::start(kind).await;
        let (one, two) = tokio::join!(invite_ada(&world, "one"), invite_ada(&world, "two"));
        for made in [&one, &two] {
            assert_eq!(made["provisioning"]["status"], "provisioned");
            assert_eq!(world.told(made).await, ["keycloak.provisioned"]);
        }
        let accounts = world.mock.accounts();
        assert_eq!((accounts.len(), accounts[0].mails), (1, 1), "and one invitation");
        for slug in ["one", "two"] {
            assert!(world.organization(slug).unwrap().admins.contains(&accounts[0].id));
        }
        // Deleting one leaves the other its administrator; deleting both leaves nothing.
        for (made, slug, left) in [(&one, "one", 1), (&two, "two", 0)] {
            world.call(made, "/cancel").await;
            world.delete(made).await;
            eventually("the organization goes", async || world.organization(slug).is_none()).await;
            eventually("everything is removed", async || world.told(made).await.last().unwrap() == "keycloak.removed").await;
            assert_eq!(world.mock.accounts().len(), left, "{slug}");
        }
    }

    async fn case_15_an_account_of_somebody_else_gets_a_membership_and_nothing_more(kind: StoreKind) {
        let world = World::start_with(kind, disabling()).await;
        let theirs = MockAccount { email: "ada@example.org".to_owned(), first_name: "A".to_owned(), enabled: true, ..MockAccount::default() };
        world.mock.put_account(theirs.clone());
        let made = invite_ada(&world, "acme").await;
        assert_eq!(made["provisioning"]["status"], "provisioned");
        assert_eq!(made["provisioning"]["invite_url_kind"], "login");
        world.provision(&made).await;
        let account = world.account("ada@example.org").unwrap();
        assert!(world.organization("acme").unwrap().admins.contains(&account.id));
        world.call(&made, "/cancel").await;
        eventually("the organization is shut", async || !world.organization("acme").unwrap().enabled).await;
        world.delete(&made).await;
        eventually("the organization goes", async || world.organization("acme").is_none()).await;
        eventually("all is removed", async || world.told(&made).await.last().unwrap() == "keycloak.removed").await;
        assert_eq!(world.account("ada@example.org").unwrap(), MockAccount { id: account.id, ..theirs });
        for operation in [Operation::SendInvitation, Operation::SetAccountEnabled, Operation::LogOut, Operation::DeleteAccount] {
            assert_eq!(world.mock.calls(operation), 0, "{operation:?}");
        }
        assert!(!world.told(&made).await.contains(&"keycloak.invite_resent".to_owned()));
    }

    async fn an_account_that_its_owner_switched_off_stays_off(kind: StoreKind) {
        let world = World::start_with(kind, disabling()).await;
        let made = invite_ada(&world, "acme").await;
        let account = world.account("ada@example.org").unwrap();
        world.mock.put_account(MockAccount { enabled: false, ..account });
        world.call(&made, "/cancel").await;
        eventually("the organization is shut", async || !world.organization("acme").unwrap().enabled).await;
        world.call(&made, "/activate").await;
        eventually("the organization is open", async || world.organization("acme").unwrap().enabled).await;
        eventually("all is done", async || {
            world.told(&made).await.last().unwrap() == "keycloak.organization_enabled"
        })
        .await;
        assert!(!world.account("ada@example.org").unwrap().enabled);
        assert_eq!(world.mock.calls(Operation::SetAccountEnabled), 0);
    }

    async fn an_account_of_two_organizations_is_not_switched_off(kind: StoreKind) {
        let world = World::start_with(kind, disabling()).await;
        let one = invite_ada(&world, "one").await;
        invite_ada(&world, "two").await;
        world.call(&one, "/cancel").await;
        eventually("the organization is shut", async || !world.organization("one").unwrap().enabled).await;
        world.call(&one, "/activate").await;
        eventually("the organization is open", async || world.organization("one").unwrap().enabled).await;
        assert_eq!(world.mock.calls(Operation::SetAccountEnabled), 0);
        assert!(world.account("ada@example.org").unwrap().enabled);
    }
    async fn an_account_that_a_freeze_shut_is_let_in_again_by_the_next_tenant_that_invites_it(kind: StoreKind) {
        let world = World::start_with(kind, disabling()).await;
        let one = invite_ada(&world, "one").await;
        world.call(&one, "/cancel").await;
        eventually("the account is shut", async || !world.account("ada@example.org").unwrap().enabled).await;
        let two = invite_ada(&world, "two").await;
        assert_eq!(two["provisioning"]["status"], "provisioned", "{two}");
        let account = world.account("ada@example.org").unwrap();
        assert!(account.enabled && world.organization("two").unwrap().admins.contains(&account.id));
        assert!(!world.organization("one").unwrap().enabled, "the frozen one stays shut");
        world.call(&one, "/activate").await;
        eventually("the organization is open", async || world.organization("one").unwrap().enabled).await;
        // It belongs to two now: no freeze of one of them shuts it.
        world.call(&two, "/cancel").await;
        eventually("the organization is shut", async || !world.organization("two").unwrap().enabled).await;
        eventually("all is told", async || world.told(&two).await.contains(&"keycloak.organization_disabled".to_owned())).await;
        assert!(world.account("ada@example.org").unwrap().enabled);
    }

    async fn a_tenant_that_never_gets_to_its_mail_keeps_nobody_from_being_invited(kind: StoreKind) {
        let world = World::start_with(kind, disabling()).await;
        world.mock.fail_from(Operation::SendInvitation, 1, FaultKind::MailFailed, Moment::Before);
        let one = invite_ada(&world, "one").await;
        assert_eq!(one["provisioning"]["step"], "email", "{one}");
        world.call(&one, "/cancel").await;
        eventually("the organization is shut", async || !world.organization("one").unwrap().enabled).await;
        eventually("the account is shut", async || !world.account("ada@example.org").unwrap().enabled).await;
        world.mock.recover();
        let two = invite_ada(&world, "two").await;
        assert_eq!(two["provisioning"]["status"], "provisioned", "{two}");
        assert_eq!(world.account("ada@example.org").unwrap().mails, 1);
        // The first finds it done.
        world.call(&one, "/activate").await;
        world.until_status(&one, "provisioned").await;
        assert_eq!(world.account("ada@example.org").unwrap().mails, 1);
    }
}
