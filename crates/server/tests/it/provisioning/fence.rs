//! Two at once: resends, replicas, and a worker that comes back too late.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use server::identity::mock::{Moment, Operation};

use super::{World, email_of, invitation};
use crate::support::server::eventually;
use crate::support::setup::{each_store, path_of};

each_store! {
    async fn case_17_two_resends_at_once_are_one_mail(kind: StoreKind) {
        let (one, two) = World::pair(kind).await;
        let made = one.invite("acme").await;
        // The mail takes its time, so that the others come while it is under way.
        one.mock.hang(Operation::SendInvitation, 1, Moment::Before);
        let path = path_of(&made, "/provision");
        let before = one.work(&made).await.unwrap().wanted;
        let worlds = [&one, &two, &one, &two];
        let resends = join_all(worlds.map(|world| world.service.admin.post_empty(&path)));
        let release = async {
            eventually("the mail is under way", async || one.mock.calls(Operation::SendInvitation) == 2).await;
            eventually("all have asked", async || one.work(&made).await.unwrap().wanted == before + 4).await;
            one.mock.recover();
        };
        let (answers, ()) = tokio::join!(resends, release);
        for answer in answers {
            assert_eq!(answer.expect(200).body["provisioning"]["status"], "provisioned");
        }
        assert_eq!(one.account(&email_of("acme")).unwrap().mails, 2, "the first one, and one for all");
        assert_eq!(one.told(&made).await, ["keycloak.provisioned", "keycloak.invite_resent"]);
    }

    async fn a_late_worker_changes_nothing(kind: StoreKind) {
        let (one, two) = World::pair(kind).await;
        one.mock.hang(Operation::EnsureMember, 1, Moment::After);
        let (admin, body) = (one.service.admin.clone(), invitation("acme"));
        let late = tokio::spawn(async move { admin.post("/v1/tenants", body).await.expect(201).body });
        eventually("the first hangs", async || one.mock.calls(Operation::EnsureMember) == 1).await;
        let made = two.service.admin.get("/v1/tenants/by-slug/acme").await.expect(200).body;
        // Time passes for the second only: the first still believes in its claim.
        two.service.clock.advance(Duration::from_secs(121));
        two.until_status(&made, "provisioned").await;
        let organization = two.organization("acme").unwrap();
        two.service.admin.patch(&path_of(&made, ""), json!({ "name": "Other" })).await.expect(200);
        eventually("the new name is pushed", async || two.organization("acme").unwrap().name == "Other (acme)").await;
        let calls = (two.mock.calls(Operation::EnsureAdmin), two.mock.calls(Operation::SendInvitation));
        one.mock.recover();
        assert_eq!(late.await.unwrap()["provisioning"]["status"], "provisioned");
        assert_eq!((two.mock.calls(Operation::EnsureAdmin), two.mock.calls(Operation::SendInvitation)), calls);
        assert_eq!(two.told(&made).await, ["keycloak.provisioned"]);
        assert_eq!(two.shown(&made).await["organization_id"], json!(organization.id));
        assert_eq!(one.shown(&made).await, two.shown(&made).await);
    }

    async fn how_far_it_has_come_reaches_other_replicas_memory(kind: StoreKind) {
        let (one, two) = World::pair(kind).await;
        one.mock.hang(Operation::EnsureAdmin, 1, Moment::Before);
        let (admin, body) = (one.service.admin.clone(), invitation("acme"));
        let asked = tokio::spawn(async move { admin.post("/v1/tenants", body).await.expect(201).body });
        eventually("the step is seen", async || {
            two.service.admin.get("/v1/tenants/by-slug/acme").await.body["provisioning"]["step"] == "admin"
        })
        .await;
        one.mock.recover();
        let made = asked.await.unwrap();
        eventually("the end is seen", async || two.shown(&made).await["status"] == "provisioned").await;
        let read = two.service.admin.get(&path_of(&made, "")).await.expect(200);
        assert_eq!((read.header("etag"), read.body["updated_at"].clone()), ("\"1\"", made["updated_at"].clone()));
    }
}
