//! The export: both forms, one header, no formulas, and an end that is told from a break.

use std::collections::BTreeSet;

use domain::time::from_micros;
use domain::{AuditEvent, EventId};
use serde_json::{Value, json};
use server::clock::{SystemClock, SystemRng};
use store::{Scope, Unaudited};

use super::{bare, items, with};
use crate::support::raw::raw;
use crate::support::server::both_stores;
use crate::support::setup::{each_store, events, faulty, on, path_of};
use crate::support::{Options, Service};

const HEADER: &str = "id,action,crud,group_id,group_name,actor_id,actor_name,actor_href,actor_fields,target_id,target_name,\
target_type,target_href,target_fields,created,received,source_ip,description,is_anonymous,is_failure,fields,component,\
version,external_id,metadata";

async fn csv(service: &Service, query: &str) -> String {
    let answer = service.admin.get(&format!("/v1/audit/export?{query}")).await.expect(200);
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8");
    assert_eq!(answer.header("content-disposition"), "attachment; filename=\"audit.csv\"");
    answer.text
}

/// The same event with another action, received so many seconds later.
fn later(event: &AuditEvent, action: &str, seconds: i64) -> AuditEvent {
    let received = from_micros(event.received.as_microsecond() + seconds * 1_000_000);
    let id = EventId::generate(&SystemClock::default(), &SystemRng::default());
    AuditEvent { id, action: action.to_owned(), received, ..event.clone() }
}

async fn write(service: &Service, events: &[AuditEvent]) {
    let mut tx = service.store.begin(Scope::Platform).await.unwrap();
    tx.publish_audit_events(events).await.unwrap();
    tx.commit_unaudited(Unaudited::Publishing).await.unwrap();
}

fn rows(text: &str) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
}

both_stores! {
    async fn the_header_is_there_whatever_the_events_have(service: Service) {
        assert_eq!(csv(&service, "").await, format!("{HEADER}\r\n"), "no events, and a header all the same");
        service.admin.post("/v1/audit", json!([bare("bare"), { "action": "anonymous", "crud": "r", "is_anonymous": true }])).await.expect(201);
        let text = csv(&service, "").await;
        assert!(text.starts_with(&format!("{HEADER}\r\n")) && text.ends_with("\r\n"), "{text}");
        let rows = rows(&text);
        assert_eq!((rows.len(), rows[1].len(), rows[2].len()), (3, 25, 25));
        assert_eq!((rows[1][1].as_str(), rows[1][5].as_str(), rows[1][8].as_str()), ("anonymous", "", ""));
        assert_eq!((rows[2][1].as_str(), rows[2][5].as_str(), rows[2][8].as_str(), rows[2][13].as_str()), ("bare", "ada", "{}", ""));
    }

    async fn a_row_says_what_the_list_says(service: Service) {
        let acme = service.admin.make_tenant("acme").await;
        let event = with(&json!({
            "group": { "id": acme["id"] }, "description": "He said \"hi\",\r\nand left", "is_failure": true,
            "target": { "id": "t", "type": "thing", "fields": { "a": "1,2" } }, "source_ip": "::1", "version": "1",
        }));
        service.admin.post("/v1/audit", event).await.expect(201);
        let listed = items(&service.admin, "limit=1").await.remove(0);
        let row = rows(&csv(&service, "action=user.*").await).remove(1);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        for (place, value) in [
            (0, text(&listed["id"])), (2, "c".to_owned()), (3, text(&acme["id"])), (4, text(&acme["name"])), (11, "thing".to_owned()),
            (13, "{\"a\":\"1,2\"}".to_owned()), (14, text(&listed["created"])), (15, text(&listed["received"])), (16, "::1".to_owned()),
            (17, "He said \"hi\",\r\nand left".to_owned()), (18, "false".to_owned()), (19, "true".to_owned()), (20, "{}".to_owned()),
            (22, "1".to_owned()), (24, listed["metadata"].to_string()),
        ] {
            assert_eq!(row[place], value, "column {place}");
        }
    }

    async fn no_cell_is_a_formula(service: Service) {
        let evil = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "＋1", "－1", "＠SUM(A1)"];
        for text in evil {
            let event = with(&json!({
                "action": "evil", "description": text, "component": text, "version": text, "external_id": text,
                "actor": { "id": text, "name": text, "href": text }, "target": { "id": text, "name": text, "type": text, "href": text },
            }));
            service.admin.post("/v1/audit", event).await.expect(201);
        }
        service.admin.post("/v1/audit", with(&json!({ "action": "=cmd", "description": "a=1" }))).await.expect(201);
        let rows = rows(&csv(&service, "").await);
        assert_eq!((rows[1][1].as_str(), rows[1][17].as_str()), ("'=cmd", "a=1"));
        for (row, text) in rows[2..].iter().rev().zip(evil) {
            for place in [5, 6, 7, 9, 10, 11, 12, 17, 21, 22, 23] {
                assert_eq!(row[place], format!("'{text}"), "column {place}");
            }
        }
        let signs = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];
        assert!(rows.iter().flatten().all(|cell| !cell.starts_with(signs)), "{rows:?}");
    }

    async fn ndjson_is_the_list_line_by_line(service: Service) {
        service.admin.post("/v1/audit", json!([bare("=a"), bare("b\u{2028}"), bare("c")])).await.expect(201);
        let answer = service.admin.with("accept", "application/x-ndjson").get("/v1/audit/export").await.expect(200);
        assert_eq!(answer.header("content-type"), "application/x-ndjson");
        assert_eq!(answer.header("content-disposition"), "attachment; filename=\"audit.ndjson\"");
        let lines: Vec<Value> = answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines, items(&service.admin, "").await);
    }

    async fn another_accept_is_406(service: Service) {
        service.admin.post("/v1/audit", bare("a")).await.expect(201);
        for accept in ["application/json", "text/html", "text/csv;q=0", "image/*"] {
            service.admin.with("accept", accept).get("/v1/audit/export").await.problem(406, "not_acceptable");
        }
        for accept in ["*/*", "text/*", "text/csv, application/json", "text/html, */*;q=0.1"] {
            let answer = service.admin.with("accept", accept).get("/v1/audit/export").await.expect(200);
            assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8", "{accept}");
        }
        let preferred = service.admin.with("accept", "text/csv;q=0.1, application/x-ndjson");
        assert_eq!(preferred.get("/v1/audit/export").await.header("content-type"), "application/x-ndjson");
    }

    async fn an_export_of_several_pages_is_whole(service: Service) {
        for part in 0..3 {
            let events: Vec<Value> = (0..900).map(|n| bare(&format!("e.{}", part * 900 + n))).collect();
            service.admin.post("/v1/audit", json!(events)).await.expect(201);
        }
        let rows = rows(&csv(&service, "action=e.*").await);
        let found: Vec<&str> = rows[1..].iter().map(|row| row[1].as_str()).collect();
        let expected: Vec<String> = (0..2_700).rev().map(|n| format!("e.{n}")).collect();
        assert_eq!(found, expected);
        // Exactly one page, and what is left of it by a filter.
        let exact: Vec<Value> = (0..1_000).map(|_| bare("x")).collect();
        service.admin.post("/v1/audit", json!(exact)).await.expect(201);
        assert_eq!(csv(&service, "action=x").await.lines().count(), 1_001);
    }

    async fn what_a_replica_wrote_whose_clock_is_ahead_is_exported(service: Service) {
        service.admin.post("/v1/audit", bare("mine")).await.expect(201);
        let mine = events(&service).await.remove(0);
        write(&service, &[later(&mine, "theirs", 3_600)]).await;
        for query in ["", "crud=c"] {
            let rows = rows(&csv(&service, query).await);
            let found: Vec<&str> = rows[1..].iter().map(|row| row[1].as_str()).collect();
            assert_eq!(found, ["theirs", "mine"]);
        }
    }

    async fn the_head_alone_has_no_body(service: Service) {
        service.admin.post("/v1/audit", bare("a")).await.expect(201);
        let answer = raw(&service, "HEAD /v1/audit/export", b"", b"").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""));
        assert!(answer.head.contains("content-type: text/csv") && !answer.head.contains("content-length: 0"), "{}", answer.head);
        let refused = raw(&service, "HEAD /v1/audit/export?colour=red", b"", b"").await;
        assert_eq!(refused.status, 422);
    }
}

each_store! {
    async fn a_store_that_is_away_is_told_before_the_file_begins(kind: StoreKind) {
        let (service, faults) = faulty(kind, Options::default()).await;
        on(&faults.away);
        service.admin.get("/v1/audit/export").await.problem(503, "unavailable");
        service.admin.get("/v1/audit").await.problem(503, "unavailable");
        service.admin.post("/v1/audit", bare("x")).await.problem(503, "unavailable");
    }

    async fn an_export_that_breaks_off_is_told_from_a_whole_one(kind: StoreKind) {
        let (service, faults) = faulty(kind, Options::default()).await;
        let description = "d".repeat(5_000);
        for _ in 0..4 {
            let events: Vec<Value> = (0..1_000).map(|_| with(&json!({ "description": description }))).collect();
            service.admin.post("/v1/audit", json!(events)).await.expect(201);
        }
        // Twenty megabytes do not fit between here and there: the first page is on its way when the store goes.
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/v1/audit/export", service.url);
        let mut answer = http.get(url).bearer_auth(crate::support::client::DEV_TOKEN).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.chunk().await.unwrap().is_some());
        on(&faults.away);
        let broken = loop {
            match answer.chunk().await {
                Ok(Some(_)) => {}
                Ok(None) => break false,
                Err(_) => break true,
            }
        };
        assert!(broken, "half an export looks like a whole one");
    }

    async fn an_export_with_a_filter_walks_the_log_day_by_day(kind: StoreKind) {
        const DAY: i64 = 24 * 3_600;
        let (service, faults) = faulty(kind, Options::default()).await;
        let acme = service.admin.make_tenant("acme").await;
        service.admin.post("/v1/audit", with(&json!({ "group": { "id": acme["id"] } }))).await.expect(201);
        let base = events(&service).await.remove(0);
        // One day with more than a page of what is looked for, and years with next to nothing.
        let mut log: Vec<AuditEvent> = (0..2_300).map(|n| later(&base, "many", -40 * DAY - n % 7)).collect();
        for days in [1, 2, 75, 76, 77, 400, 3_000] {
            log.push(later(&base, "other", -days * DAY));
            log.push(later(&base, &format!("rare.{days}"), -days * DAY - 5));
            log.push(later(&base, "other", -days * DAY - 9));
        }
        write(&service, &log).await;
        let day = |received: domain::Timestamp| received.as_second().div_euclid(DAY);
        let log = events(&service).await;
        let days: BTreeSet<i64> = log.iter().map(|event| day(event.received)).collect();
        let check = async |query: &str, wanted: &dyn Fn(&AuditEvent) -> bool, by_day: bool| {
            faults.audit_filters.lock().unwrap().clear();
            let rows = rows(&csv(&service, query).await);
            let found: Vec<&str> = rows[1..].iter().map(|row| row[0].as_str()).collect();
            let expected: Vec<String> = log.iter().filter(|event| wanted(event)).map(|event| event.id.to_string()).collect();
            assert_eq!(found, expected, "{query}");
            let asked = faults.audit_filters.lock().unwrap().clone();
            let walked: Vec<i64> = asked.iter().filter(|f| f.action.is_some()).map(|f| day(f.from.unwrap())).collect();
            assert!(walked.is_sorted_by(|a, b| a >= b), "{walked:?}");
            if by_day {
                assert_eq!(walked.into_iter().collect::<BTreeSet<_>>(), days, "each day that has something, and no other");
            }
        };
        check("action=rare.*", &|event| event.action.starts_with("rare."), true).await;
        check("action=many", &|event| event.action == "many", true).await;
        check("action=none", &|_| false, true).await;
        check("", &|_| true, false).await;
        let from = from_micros(base.received.as_microsecond() - 76 * DAY * 1_000_000 - 5_000_000);
        let to = from_micros(base.received.as_microsecond() - 2 * DAY * 1_000_000 - 5_000_000);
        let within = |event: &AuditEvent| event.received >= from && event.received < to;
        let range = format!("from={from}&to={to}");
        check(&range, &within, false).await;
        check(&format!("{range}&action=rare.*"), &|event| within(event) && event.action.starts_with("rare."), false).await;
        let own = format!("tenant_id={}&action=rare.*", acme["id"].as_str().unwrap());
        check(&own, &|event| event.action.starts_with("rare."), false).await;
        service.admin.post_empty(&path_of(&acme, "/cancel")).await.expect(200);
        service.admin.delete(&path_of(&acme, "")).await.expect(204);
        check(&format!("former_{own}"), &|event| event.action.starts_with("rare."), false).await;
    }
}
