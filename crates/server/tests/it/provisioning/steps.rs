//! Each step, where it goes well, and where it fails before or after its effect.

use std::time::Duration;

use serde_json::json;
use server::identity::mock::{Moment, Operation};
use server::identity::provider::FaultKind;

use super::{World, email_of, invitation};
use crate::support::server::eventually;
use crate::support::setup::{each_store, events_of, path_of};

/// The calls of a provisioning, and the step that each belongs to.
pub(super) const CALLS: [(Operation, &str); 6] = [
    (Operation::EnsureOrganization, "organization"),
    (Operation::UpdateOrganization, "update"),
    (Operation::EnsureAccount, "user"),
    (Operation::EnsureMember, "membership"),
    (Operation::EnsureAdmin, "admin"),
    (Operation::SendInvitation, "email"),
];

each_store! {
    async fn a_tenant_is_provisioned_within_its_creation(kind: StoreKind) {
        let world = World::start(kind).await;
        let made = world.invite("acme").await;
        let (organization, account) = (world.organization("acme").unwrap(), world.account(&email_of("acme")).unwrap());
        let url = made["provisioning"]["invite_url"].as_str().unwrap();
        assert_eq!(made["provisioning"], json!({
            "status": "provisioned", "step": null, "organization_id": organization.id,
            "invite_url": url, "invite_url_kind": "mail", "error": null,
        }));
        assert!(url.contains(&account.id), "{url}");
        assert_eq!(organization.name, "Müller & Söhne (acme)");
        assert!(organization.enabled && organization.members.contains(&account.id) && organization.admins.contains(&account.id));
        assert_eq!(organization.attributes["tenant_id"], [made["id"].as_str().unwrap()]);
        assert_eq!((&organization.attributes["plan"][0], &organization.attributes["status"][0]), (&"starter".to_owned(), &"trial".to_owned()));
        assert_eq!((account.first_name.as_str(), account.last_name.as_str()), ("Jürgen von", "Müller"));
        assert_eq!((account.mails, account.enabled), (1, true));
        assert_eq!(world.told(&made).await, ["keycloak.provisioned"]);
        // What readers see has no way in, and is no new version.
        let mut seen = made.clone();
        seen["provisioning"]["invite_url"] = json!(null);
        seen["provisioning"]["invite_url_kind"] = json!(null);
        for path in [path_of(&made, ""), "/v1/tenants/by-slug/acme".to_owned()] {
            let read = world.service.admin.get(&path).await.expect(200);
            assert_eq!((&read.body, read.header("etag")), (&seen, "\"1\""));
        }
        assert_eq!(world.service.admin.get("/v1/tenants").await.body["items"], json!([seen]));
    }

    async fn a_tenant_with_nobody_to_invite_is_skipped(kind: StoreKind) {
        let world = World::start(kind).await;
        let made = world.service.admin.make_tenant("acme").await;
        assert_eq!(made["provisioning"]["status"], "skipped");
        assert_eq!(world.provision(&made).await, made);
        world.call(&made, "/cancel").await;
        world.delete(&made).await;
        assert!(world.mock.journal().iter().all(|entry| entry.operation == Operation::Probe), "{:?}", world.mock.journal());
        assert!(world.told(&made).await.is_empty());
    }

    async fn a_step_that_fails_is_told_and_gone_on_from(kind: StoreKind) {
        let world = World::start(kind).await;
        for (n, (operation, step)) in CALLS.into_iter().enumerate() {
            for moment in [Moment::Before, Moment::After] {
                let slug = format!("tenant-{n}-{}", if moment == Moment::Before { "before" } else { "after" });
                // For good, so that no attempt of the job comes between.
                world.mock.fail_from(operation, 1, FaultKind::Misconfigured, moment);
                let made = world.invite(&slug).await;
                let shown = &made["provisioning"];
                assert_eq!((&shown["status"], &shown["step"]), (&json!("failed"), &json!(step)), "{slug}: {made}");
                assert_eq!(shown["error"], "misconfigured");
                assert_eq!(world.shown(&made).await["step"], *step);
                world.mock.recover();
                let after = world.provision(&made).await;
                assert_eq!(after["provisioning"]["status"], "provisioned", "{slug}: {after}");
                assert_eq!(after["version"], 1);
                let same = world.mock.organizations().into_iter().filter(|o| o.alias == slug).count();
                assert_eq!(same, 1);
                let organization = world.organization(&slug).unwrap();
                let account = world.account(&email_of(&slug)).unwrap();
                assert_eq!(organization.admins.iter().collect::<Vec<_>>(), [&account.id]);
                // Whether a mail went out that was not answered nobody can know; it is sent rather twice than never.
                let twice = operation == Operation::SendInvitation && moment == Moment::After;
                assert_eq!(account.mails, if twice { 2 } else { 1 }, "{slug}");
                assert_eq!(world.told(&made).await, ["keycloak.provision_failed", "keycloak.provisioned"], "{slug}");
                let failed = events_of(&world.service, &made).await;
                let failed = failed.iter().find(|event| event.action == "keycloak.provision_failed").unwrap();
                assert!(failed.is_failure && failed.fields["step"] == *step && failed.fields["reason"] == "misconfigured");
            }
        }
    }

    async fn case_9_a_mail_that_cannot_be_sent_leaves_the_rest_and_is_tried_again(kind: StoreKind) {
        let world = World::start(kind).await;
        world.mock.fail_from(Operation::SendInvitation, 1, FaultKind::MailFailed, Moment::Before);
        let made = world.invite("acme").await;
        let shown = &made["provisioning"];
        assert_eq!((&shown["status"], &shown["step"], &shown["error"]), (&json!("failed"), &json!("email"), &json!("mail_failed")));
        let account = world.account(&email_of("acme")).unwrap();
        assert!(world.organization("acme").unwrap().admins.contains(&account.id));
        // What changes is pushed all the same.
        world.service.admin.patch(&path_of(&made, ""), json!({ "plan": "enterprise" })).await.expect(200);
        crate::support::server::eventually("the plan is pushed", async || {
            world.organization("acme").unwrap().attributes["plan"] == ["enterprise"]
        })
        .await;
        world.until_status(&made, "failed").await;
        assert_eq!(world.told(&made).await, ["keycloak.provision_failed"], "once for one reason");
        world.mock.recover();
        world.service.clock.advance(Duration::from_secs(900));
        world.until_status(&made, "provisioned").await;
        assert_eq!(world.account(&email_of("acme")).unwrap().mails, 1);
        assert_eq!(world.told(&made).await, ["keycloak.provision_failed", "keycloak.provisioned"]);
    }

    async fn an_invitation_is_mailed_again_while_there_is_no_password(kind: StoreKind) {
        let world = World::start(kind).await;
        let made = world.invite("acme").await;
        let again = world.provision(&made).await;
        assert_eq!(again["provisioning"]["invite_url_kind"], "mail");
        let account = world.account(&email_of("acme")).unwrap();
        assert_eq!(account.mails, 2);
        world.mock.put_account(server::identity::mock::MockAccount { has_password: true, ..account });
        assert_eq!(world.provision(&made).await["provisioning"]["status"], "provisioned");
        assert_eq!(world.account(&email_of("acme")).unwrap().mails, 2, "an established account gets none");
        assert_eq!(world.told(&made).await, ["keycloak.provisioned", "keycloak.invite_resent"]);
    }

    async fn a_repeated_creation_is_the_first_answer_without_the_way_in(kind: StoreKind) {
        let world = World::start(kind).await;
        let client = world.service.admin.with("idempotency-key", "once");
        let first = client.post("/v1/tenants", invitation("acme")).await.expect(201).body;
        let again = client.post("/v1/tenants", invitation("acme")).await.expect(201);
        assert_eq!(again.header("idempotent-replayed"), "true");
        let mut expected = first;
        assert_ne!(expected["provisioning"]["invite_url"], json!(null));
        expected["provisioning"]["invite_url"] = json!(null);
        assert_eq!(again.body, expected);
        assert_eq!(world.account(&email_of("acme")).unwrap().mails, 1);
    }

    async fn a_repetition_while_the_first_still_waits_is_told_so(kind: StoreKind) {
        let world = World::start(kind).await;
        world.mock.hang(Operation::EnsureOrganization, 1, Moment::Before);
        let client = world.service.admin.with("idempotency-key", "once");
        let first = tokio::spawn({
            let client = client.clone();
            async move { client.post("/v1/tenants", invitation("acme")).await }
        });
        eventually("the tenant is there", async || {
            world.service.admin.get("/v1/tenants/by-slug/acme").await.status == 200
        })
        .await;
        client.post("/v1/tenants", invitation("acme")).await.problem(409, "idempotency_in_progress");
        world.mock.recover();
        let mut first = first.await.unwrap().expect(201).body;
        assert_eq!(first["provisioning"]["status"], "provisioned", "{first}");
        first["provisioning"]["invite_url"] = json!(null);
        assert_eq!(client.post("/v1/tenants", invitation("acme")).await.expect(201).body, first);
    }

    async fn case_14_an_account_that_vanishes_between_the_steps_is_made_again(kind: StoreKind) {
        let world = World::start_with(kind, crate::support::Options::default().set("PROVISION_TIMEOUT_SECONDS", "1")).await;
        world.mock.hang(Operation::EnsureMember, 1, Moment::Before);
        let made = world.invite("acme").await;
        assert_eq!((&made["provisioning"]["status"], &made["provisioning"]["step"]), (&json!("pending"), &json!("membership")));
        let first = world.account(&email_of("acme")).unwrap();
        world.mock.remove_account(&server::identity::provider::AccountId(first.id.clone()));
        world.mock.recover();
        world.until_status(&made, "provisioned").await;
        let second = world.account(&email_of("acme")).unwrap();
        assert_ne!(second.id, first.id);
        assert_eq!(second.mails, 1);
        assert_eq!(world.told(&made).await, ["keycloak.provisioned"]);
    }
}
