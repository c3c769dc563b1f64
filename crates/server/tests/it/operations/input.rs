//! What every operation refuses, and in which order.

use std::collections::BTreeMap;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::table::{Conflict, Names, OPERATIONS, Operation, Start};
use super::world::{Subject, Who, World, on_both_stores};
use crate::support::{Answer, Client};

/// The largest body (contract §2).
const BODY_MAX: usize = 1 << 20;
const JSON: &str = "application/json";

/// Operations of the API proper; probes ignore what they do not know.
fn of_the_api() -> impl Iterator<Item = &'static Operation> {
    OPERATIONS.iter().filter(|row| row.path.starts_with("/v1"))
}

fn with_a_body() -> impl Iterator<Item = &'static Operation> {
    of_the_api().filter(|row| row.body.is_some())
}

/// A request that breaks rules, by builder.
struct Wrong<'a> {
    world: &'a World,
    row: &'static Operation,
    client: Client,
    url: String,
    body: Option<(&'static str, Vec<u8>)>,
}

impl<'a> Wrong<'a> {
    fn new(world: &'a World, row: &'static Operation, client: Client, subject: &Subject) -> Self {
        let body = row.body.map(|body| (JSON, subject.fill(body).into_bytes()));
        Self { world, row, client, url: subject.url(row), body }
    }

    /// With a parameter that nobody knows: 422.
    fn unknown_parameter(mut self) -> Self {
        self.url = format!("{}{}surprise=1", self.url, if self.url.contains('?') { '&' } else { '?' });
        self
    }

    /// With a body, where there is one.
    fn body(mut self, media: &'static str, bytes: impl Into<Vec<u8>>) -> Self {
        if self.row.body.is_some() {
            self.body = Some((media, bytes.into()));
        }
        self
    }

    /// With an `If-Match` that names no version of the tenant: 412.
    fn stale(mut self) -> Self {
        self.client = self.client.with("if-match", "\"999\"");
        self
    }

    /// With a key that is too long: 422, where there are keys.
    fn overlong_key(mut self) -> Self {
        if self.row.verb == "POST" {
            self.client = self.client.with("idempotency-key", &"k".repeat(256));
        }
        self
    }

    async fn answers(self, status: u16, code: &str) -> Answer {
        let answer = self.world.send(&self.client, &self.row.method(), &self.url, self.body).await;
        let found = (answer.status, answer.body["code"].as_str());
        assert_eq!(found, (status, Some(code)), "{} {}: {}", self.row.id, self.url, answer.text);
        answer
    }
}

/// Sends the head of a request whose body is announced to be too large, and none of the body: what is answered was decided
/// without reading it. Gives the status.
async fn announce(world: &World, row: &Operation, url: &str, token: Option<&str>) -> u16 {
    let address = world.service.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let credential = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let head = format!(
        "{} {url} HTTP/1.1\r\nhost: {address}\r\n{credential}content-type: {JSON}\r\ncontent-length: {}\r\n\r\n",
        row.verb,
        BODY_MAX + 1
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = async {
        while !answer.ends_with(b"\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), read).await.expect("an answer without the body");
    String::from_utf8(answer).unwrap().split(' ').nth(1).unwrap().parse().unwrap()
}

on_both_stores! {
    async fn an_unknown_query_parameter_is_named(world: World) {
        for row in of_the_api() {
            let subject = world.subject(row.start).await;
            let before = world.event_ids().await;
            let wrong = Wrong::new(&world, row, world.service.admin.clone(), &subject).unknown_parameter();
            wrong.answers(422, "validation_failed").await.invalid(&[("surprise", "unknown_field")]);
            assert_eq!(world.event_ids().await, before, "{} left an event", row.id);
        }
        world.report("an_unknown_query_parameter_is_named", of_the_api().count());
    }

    async fn an_unknown_member_is_named(world: World) {
        for row in with_a_body() {
            let subject = world.subject(row.start).await;
            let before = world.event_ids().await;
            let mut body = subject.body(row);
            body["surprise"] = json!(1);
            let wrong = Wrong::new(&world, row, world.service.admin.clone(), &subject).body(JSON, body.to_string());
            wrong.answers(422, "validation_failed").await.invalid(&[("surprise", "unknown_field")]);
            assert_eq!(world.event_ids().await, before, "{} left an event", row.id);
        }
        world.report("an_unknown_member_is_named", with_a_body().count());
    }

    async fn a_body_that_is_no_json_is_refused(world: World) {
        for row in with_a_body() {
            let subject = world.subject(row.start).await;
            let before = world.event_ids().await;
            let good = subject.body(row).to_string();
            let wrong = || Wrong::new(&world, row, world.service.admin.clone(), &subject);
            for media in ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", "json", ""] {
                wrong().body(media, good.clone()).answers(415, "unsupported_media_type").await;
            }
            let twice = r#"{"a":1,"a":1}"#.to_owned();
            let deep = "[".repeat(200) + &"]".repeat(200);
            for text in ["{", "{\"", "nul", "{'a':1}", "{}{}", "\u{feff}{}", " ", &twice, &deep, &format!("{good},")] {
                wrong().body(JSON, text).answers(400, "malformed_json").await;
            }
            wrong().body(JSON, b"{\"a\":\"\xff\"}".to_vec()).answers(400, "malformed_json").await;
            for text in ["[]", "1", "\"text\"", "null", "true"] {
                wrong().body(JSON, text).answers(422, "validation_failed").await;
            }
            assert_eq!(world.event_ids().await, before, "{} left an event", row.id);
        }
        world.report("a_body_that_is_no_json_is_refused", with_a_body().count());
    }

    async fn a_body_may_have_a_mebibyte_and_no_byte_more(world: World) {
        for row in with_a_body() {
            let subject = world.subject(row.start).await;
            let before = world.event_ids().await;
            let good = subject.body(row).to_string();
            let padded = |size: usize| format!("{good}{}", " ".repeat(size - good.len()));
            let call = |size| Wrong::new(&world, row, world.service.admin.clone(), &subject).body(JSON, padded(size));
            call(BODY_MAX + 1).answers(413, "body_too_large").await;
            assert_eq!(world.event_ids().await, before, "{} left an event", row.id);
            let largest = Some((JSON, padded(BODY_MAX).into_bytes()));
            let answer = world.send(&world.service.admin, &row.method(), &subject.url(row), largest).await;
            assert_eq!(answer.status, row.success, "{}: {}", row.id, answer.text);
        }
        world.report("a_body_may_have_a_mebibyte", with_a_body().count());
    }

    // 401 < 403 < 413/415/400 < 422 < 404 < 403 tenant_frozen < 412 < 409: each request breaks a rule and later ones.
    async fn the_first_broken_rule_is_the_one_that_is_answered(world: World) {
        let mut answers: BTreeMap<u16, usize> = BTreeMap::new();
        let mut count = |status: u16| *answers.entry(status).or_default() += 1;
        for row in of_the_api() {
            let subject = world.subject(row.start).await;
            let clashing = match row.conflict {
                Conflict::In(start) => world.subject(start).await,
                Conflict::None | Conflict::Taken { .. } => subject.clone(),
            };
            let frozen = world.subject(Start::Frozen).await;
            let before = world.event_ids().await;
            let admin = world.service.admin.clone();
            let absent = subject.absent();
            let named = row.names == Names::Tenant;
            let target = if named { &absent } else { &subject };
            let broken = b"{\xff".to_vec();

            // 401 before everything.
            let nobody = admin.anonymous();
            let all_wrong = |client: Client| Wrong::new(&world, row, client, target).unknown_parameter().stale().overlong_key();
            all_wrong(nobody).body("text/plain", broken.clone()).answers(401, "unauthenticated").await;
            assert_eq!(announce(&world, row, &target.url(row), None).await, 401, "{}", row.id);
            count(401);
            // 403 by role before everything about the request.
            let roleless = world.client(Who::Roleless, &subject.slug);
            all_wrong(roleless).body("text/plain", broken.clone()).answers(403, "forbidden").await;
            let token = world.issuer.token(world.issuer.claims("nora"));
            assert_eq!(announce(&world, row, &target.url(row), Some(&token)).await, 403, "{}", row.id);
            count(403);
            if row.body.is_some() {
                // The body before the query, the headers and the path.
                let huge = vec![b'{'; BODY_MAX + 1];
                all_wrong(admin.clone()).body("text/plain", huge).answers(413, "body_too_large").await;
                all_wrong(admin.clone()).body("text/plain", broken).answers(415, "unsupported_media_type").await;
                all_wrong(admin.clone()).body(JSON, "{").answers(400, "malformed_json").await;
                for status in [413, 415, 400] {
                    count(status);
                }
                // 422 of the body before 404.
                let wrong = Wrong::new(&world, row, admin.clone(), target).stale().body(JSON, r#"{"surprise":1}"#);
                wrong.answers(422, "validation_failed").await;
                count(422);
            }
            let wrong = Wrong::new(&world, row, admin.clone(), target).stale().unknown_parameter();
            wrong.answers(422, "validation_failed").await;
            count(422);
            if row.verb == "POST" {
                let wrong = Wrong::new(&world, row, admin.clone(), target).stale().overlong_key();
                wrong.answers(422, "validation_failed").await.invalid(&[("Idempotency-Key", "too_long")]);
                count(422);
            }
            if named {
                Wrong::new(&world, row, admin.clone(), &absent).stale().answers(404, "not_found").await;
                count(404);
            }
            let own = world.client(Who::TenantAdmin, &frozen.slug);
            if row.writes_to_tenant() && Who::TenantAdmin.holds(row.may) {
                // A frozen tenant of somebody else is not there at all; the own one is frozen before it is stale.
                let foreign = world.client(Who::TenantAdmin, &subject.slug);
                Wrong::new(&world, row, foreign, &frozen).stale().answers(404, "not_found").await;
                let wrong = Wrong::new(&world, row, own.clone(), &frozen).unknown_parameter().stale();
                wrong.answers(422, "validation_failed").await;
                Wrong::new(&world, row, own, &frozen).stale().answers(403, "tenant_frozen").await;
                count(403);
            }
            let conflicting = |client: Client| {
                let wrong = Wrong::new(&world, row, client, &clashing);
                match row.conflict {
                    Conflict::Taken { body, .. } => wrong.body(JSON, clashing.fill(body)),
                    Conflict::None | Conflict::In(_) => wrong,
                }
            };
            if row.writes_to_tenant() {
                let answer = conflicting(admin.clone()).stale().answers(412, "version_mismatch").await;
                assert!(answer.body["current_version"].is_u64(), "{}: {}", row.id, answer.text);
                count(412);
            }
            let conflict = match row.conflict {
                Conflict::None => None,
                Conflict::In(_) => Some("invalid_transition"),
                Conflict::Taken { code, .. } => Some(code),
            };
            if let Some(code) = conflict {
                conflicting(admin).answers(409, code).await;
                count(409);
            }
            assert_eq!(world.event_ids().await, before, "{} left an event of something that was refused", row.id);
        }
        eprintln!("the first broken rule, answers by status: {answers:?}");
        world.report("the_first_broken_rule", of_the_api().count());
    }
}
