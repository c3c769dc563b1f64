//! A provider that hangs: requests answer within their bound, and nobody else notices.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use server::identity::mock::{Moment, Operation};

use super::World;
use super::steps::CALLS;
use crate::support::Options;
use crate::support::server::eventually;
use crate::support::setup::each_store;

fn a_second() -> Options {
    Options::default().set("PROVISION_TIMEOUT_SECONDS", "1")
}

each_store! {
    async fn case_18_a_creation_waits_no_longer_than_its_bound_and_the_work_goes_on(kind: StoreKind) {
        let world = World::start_with(kind, a_second()).await;
        for (n, (operation, step)) in CALLS.into_iter().enumerate() {
            world.mock.hang(operation, 1, Moment::Before);
            let began = Instant::now();
            let made = world.invite(&format!("tenant-{n}")).await;
            let took = began.elapsed();
            // Without its bound it would take for ever; `make bench` holds it to a second more than the bound.
            assert!(took < Duration::from_secs(15), "{step} took {took:?}");
            let shown = &made["provisioning"];
            assert_eq!((&shown["status"], &shown["step"]), (&json!("pending"), &json!(step)), "{made}");
            world.mock.recover();
            world.until_status(&made, "provisioned").await;
            assert_eq!(world.told(&made).await, ["keycloak.provisioned"]);
        }
    }

    async fn creations_that_hang_hold_no_connection_and_no_lock(kind: StoreKind) {
        let world = World::start_with(kind, a_second()).await;
        let slugs: Vec<String> = (0..40).map(|n| format!("tenant-{n}")).collect();
        for n in 1..=60 {
            world.mock.hang(Operation::EnsureOrganization, n, Moment::Before);
        }
        let began = Instant::now();
        let many = join_all(slugs.iter().map(|slug| world.invite(slug)));
        let others = async {
            eventually("all of them hang", async || world.mock.calls(Operation::EnsureOrganization) >= 40).await;
            for n in 0..10 {
                let began = Instant::now();
                world.service.admin.make_tenant(&format!("other-{n}")).await;
                world.service.admin.get(&format!("/v1/tenants/by-slug/other-{n}")).await.expect(200);
                // A connection or a lock that a creation held would be missing until the provider is let go.
                assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
            }
        };
        let (made, ()) = tokio::join!(many, others);
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
        assert!(made.iter().all(|made| made["provisioning"]["status"] == "pending"));
        // One that is being provisioned can be changed, frozen and deleted.
        world.call(&made[0], "/cancel").await;
        world.delete(&made[0]).await;
        world.mock.recover();
        for made in &made[1..] {
            world.until_status(made, "provisioned").await;
        }
        eventually("the deleted one's is removed", async || world.organization("tenant-0").is_none()).await;
    }
}
