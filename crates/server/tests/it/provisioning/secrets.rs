//! Where the way into an account is shown, and where it is not.

use server::identity::mock::{Moment, Operation};
use server::identity::provider::FaultKind;

use super::{World, email_of, invitation};
use crate::support::Options;
use crate::support::setup::{each_store, events_of, path_of};

each_store! {
    async fn outside_dev_no_answer_has_a_link(kind: StoreKind) {
        let options = Options::default().set("APP_ENV", "stage");
        let world = World::start_with(kind, options).await;
        let made = world.invite("acme").await;
        assert_eq!(made["provisioning"]["status"], "provisioned");
        let again = world.provision(&made).await;
        for answer in [&made, &again] {
            assert!(answer["provisioning"]["invite_url"].is_null() && answer["provisioning"]["invite_url_kind"].is_null());
        }
        assert_eq!(world.mock.calls(Operation::InviteLink), 0);
    }

    async fn neither_links_nor_addresses_are_kept_or_told(kind: StoreKind) {
        let world = World::start(kind).await;
        world.mock.fail(Operation::SendInvitation, 1, FaultKind::MailFailed, Moment::Before);
        let client = world.service.admin.with("idempotency-key", "once");
        let made = client.post("/v1/tenants", invitation("acme")).await.expect(201).body;
        let again = world.provision(&made).await;
        let link = again["provisioning"]["invite_url"].as_str().unwrap().to_owned();
        world.call(&made, "/cancel").await;
        world.delete(&made).await;
        let events = serde_json::to_string(&events_of(&world.service, &made).await).unwrap();
        assert!(events.contains("keycloak.provision_failed"));
        let kept = client.post("/v1/tenants", invitation("acme")).await.expect(201).text;
        for (what, text) in [("the audit log", events), ("a repetition", kept)] {
            for secret in [link.as_str(), "identity.invalid", &email_of("acme")] {
                assert!(!text.contains(secret), "{what} has {secret}");
            }
        }
        assert_eq!(world.service.admin.get(&path_of(&made, "")).await.status, 404);
    }
}
