//! Case 16: a process that dies between two steps, or in one, and another that goes on from there.

use std::sync::Arc;
use std::time::Duration;

use server::identity::mock::{Moment, Operation};

use super::steps::CALLS;
use super::{Tables, World, email_of, invitation};
use crate::support::server::eventually;
use crate::support::setup::each_store;
use crate::support::{Options, Service, StoreKind};

/// Longer than a claim holds.
const LEASE: Duration = Duration::from_secs(121);

/// Creates a tenant in a process that dies while a call hangs. Its clock is as far ahead as the other's.
async fn create_and_die(
    kind: StoreKind,
    tables: &Arc<Tables>,
    world: &World,
    slug: &str,
    hanging: (Operation, Moment),
    ahead: Duration,
) {
    let (operation, moment) = hanging;
    world.mock.hang(operation, 1, moment);
    let before = world.mock.calls(operation);
    let (tables, mock, body) = (Arc::clone(tables), Arc::clone(&world.mock), invitation(slug));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.spawn(async move {
        let options = Options { store: Some(tables.open().await), identity: Some(mock), ..Options::default() };
        let service = Service::start_with(kind, options).await;
        service.clock.advance(ahead);
        service.admin.post("/v1/tenants", body).await;
    });
    eventually("the call hangs", async || world.mock.calls(operation) > before).await;
    // No transaction is open now, so that nothing of the store's dies with it.
    runtime.shutdown_background();
    world.mock.recover();
}

each_store! {
    async fn case_16_what_a_dead_process_began_is_gone_on_with(kind: StoreKind) {
        let (tables, mut ahead) = (Arc::new(Tables::make(kind).await), Duration::ZERO);
        let world = World::start_with(kind, Options { store: Some(tables.open().await), ..Options::default() }).await;
        for (n, (operation, _)) in CALLS.into_iter().enumerate() {
            for (moment, word) in [(Moment::Before, "before"), (Moment::After, "after")] {
                let slug = format!("tenant-{n}-{word}");
                create_and_die(kind, &tables, &world, &slug, (operation, moment), ahead).await;
                let made = world.service.admin.get(&format!("/v1/tenants/by-slug/{slug}")).await.expect(200).body;
                assert_eq!(made["provisioning"]["status"], "pending", "{made}");
                world.service.clock.advance(LEASE);
                ahead += LEASE;
                world.until_status(&made, "provisioned").await;
                let account = world.account(&email_of(&slug)).unwrap();
                assert_eq!(world.organization(&slug).unwrap().admins.iter().collect::<Vec<_>>(), [&account.id]);
                let twice = operation == Operation::SendInvitation && moment == Moment::After;
                assert_eq!(account.mails, if twice { 2 } else { 1 }, "{slug}");
                assert_eq!(world.told(&made).await, ["keycloak.provisioned"]);
            }
        }
    }

    async fn a_service_that_stops_hands_its_work_back(kind: StoreKind) {
        let (one, two) = World::pair(kind).await;
        one.mock.hang(Operation::EnsureMember, 1, Moment::Before);
        let body = invitation("acme");
        let admin = one.service.admin.clone();
        let asked = tokio::spawn(async move { admin.post("/v1/tenants", body).await });
        eventually("the call hangs", async || one.mock.calls(Operation::EnsureMember) == 1).await;
        one.service.begin_stop();
        // No clock is moved: the lease was given back.
        eventually("the other one goes on", async || {
            let found = two.service.admin.get("/v1/tenants/by-slug/acme").await;
            found.body["provisioning"]["status"] == "provisioned"
        })
        .await;
        asked.abort();
    }
}
