//! Single events that are published at once are committed together, and each as if it were alone.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{bare, items, with};
use crate::support::faulty::{DRIVER_TEXT, Faults, REFUSED_ACTION};
use crate::support::server::eventually;
use crate::support::setup::{each_store, faulty};
use crate::support::{Answer, Options, Service};

/// Publishes while the writers are held up, so that what comes after the first of them gathers.
async fn gathered(service: &Service, faults: &Faults, events: Vec<Value>) -> Vec<Answer> {
    let count = events.len();
    faults.before_publishing.close();
    let publishing = join_all(events.into_iter().map(|event| service.admin.post("/v1/audit", event)));
    let opening = async {
        eventually("a writer at work", async || faults.before_publishing.waiting() > 0).await;
        eventually("all requests taken", async || under_way(service).await == count).await;
        faults.before_publishing.open();
    };
    tokio::join!(publishing, opening).0
}

/// How many POSTs are being answered.
async fn under_way(service: &Service) -> usize {
    let metrics = service.admin.get("/metrics").await.expect(200).text;
    let line =
        metrics.lines().find(|line| line.starts_with("http_server_active_requests{") && line.contains("\"POST\""));
    line.and_then(|line| line.rsplit(' ').next()).and_then(|count| count.parse().ok()).unwrap_or_default()
}

each_store! {
    async fn events_that_come_while_others_are_written_go_together(kind: StoreKind) {
        let (service, faults) = faulty(kind, Options::default()).await;
        let acme = service.admin.make_tenant("acme").await;
        let events: Vec<Value> = (0..40)
            .map(|n| {
                let mut event = bare(&format!("e.{n}"));
                if n % 2 == 0 {
                    event["group"] = json!({ "id": acme["id"] });
                }
                event
            })
            .collect();
        let answers = gathered(&service, &faults, events).await;
        let ids: BTreeSet<String> =
            answers.into_iter().map(|answer| answer.expect(201).body["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(ids.len(), 40);
        let stored = items(&service.admin, "limit=200&action=e.*").await;
        let stored_ids: BTreeSet<String> = stored.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!((stored.len(), stored_ids), (40, ids));
        for event in &stored {
            let n: u32 = event["action"].as_str().unwrap()[2..].parse().unwrap();
            let group = if n.is_multiple_of(2) { acme["id"].clone() } else { Value::Null };
            assert_eq!(event["group"].get("id").cloned().unwrap_or_default(), group, "{event}");
        }
        let written = faults.published.lock().unwrap().clone();
        assert_eq!(written.iter().sum::<usize>(), 40);
        assert!(written.len() < 10 && written.iter().any(|events| *events > 5), "{written:?}");
    }

    async fn an_event_that_is_refused_fails_nobody_elses(kind: StoreKind) {
        let (service, faults) = faulty(kind, Options::default()).await;
        let events = (0..12).map(|n| bare(&if n == 7 { REFUSED_ACTION.to_owned() } else { format!("e.{n}") })).collect();
        let answers = gathered(&service, &faults, events).await;
        for (n, answer) in answers.into_iter().enumerate() {
            if n == 7 {
                let text = answer.problem(500, "internal").body.to_string();
                assert!(!text.contains(DRIVER_TEXT), "{text}");
            } else {
                answer.expect(201);
            }
        }
        assert_eq!(items(&service.admin, "limit=200&action=e.*").await.len(), 11);
    }

    async fn all_of_a_batch_hear_that_the_store_is_away_and_the_next_is_written(kind: StoreKind) {
        let (service, faults) = faulty(kind, Options::default()).await;
        faults.away.store(true, Ordering::SeqCst);
        let lost = join_all((0..12).map(|n| service.admin.post("/v1/audit", bare(&format!("lost.{n}"))))).await;
        for answer in lost {
            answer.problem(503, "unavailable");
        }
        faults.away.store(false, Ordering::SeqCst);
        service.admin.post("/v1/audit", bare("after")).await.expect(201);
        assert_eq!(items(&service.admin, "limit=1").await[0]["action"], "after");
        assert_eq!(items(&service.admin, "action=lost.*").await.len(), 0);
    }

    async fn after_a_lost_answer_nothing_is_written_again(kind: StoreKind) {
        let (service, faults) = faulty(kind, Options::default()).await;
        faults.answers_lost.store(true, Ordering::SeqCst);
        for answer in gathered(&service, &faults, (0..12).map(|n| bare(&format!("open.{n}"))).collect()).await {
            answer.problem(503, "unavailable");
        }
        assert_eq!(faults.published.lock().unwrap().iter().sum::<usize>(), 12);
        assert_eq!(items(&service.admin, "limit=200&action=open.*").await.len(), 12);
    }

    async fn what_claims_an_id_or_a_key_goes_by_itself(kind: StoreKind) {
        let (service, faults) = faulty(kind, Options::default()).await;
        let acme = service.admin.make_tenant("acme").await;
        let named = with(&json!({ "group": { "id": acme["id"] }, "external_id": "x-1" }));
        let answers = join_all((0..8).map(|_| service.admin.post("/v1/audit", named.clone()))).await;
        let ids: BTreeSet<String> = answers.into_iter().map(|answer| answer.expect(201).body["id"].to_string()).collect();
        assert_eq!(ids.len(), 1);
        let keyed = service.admin.with("idempotency-key", "k-1");
        let first = keyed.post("/v1/audit", bare("keyed")).await.expect(201).body;
        assert_eq!(keyed.post("/v1/audit", bare("keyed")).await.expect(201).body, first);
        assert_eq!(items(&service.admin, "action=keyed").await.len(), 1);
        assert!(faults.published.lock().unwrap().iter().all(|events| *events == 1));
    }
}
