//! Requests that break rules, made of good ones.
//!
//! The tests of what is refused use it. Invariant: what is not broken on purpose is as in a good call.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::subject::Subject;
use super::table::{Clash, Operation};
use super::world::World;
use crate::support::{Answer, Client};

pub(super) const JSON: &str = "application/json";

/// A request that breaks rules, by builder.
pub(super) struct Wrong<'a> {
    world: &'a World,
    row: &'static Operation,
    client: Client,
    url: String,
    body: Option<(&'static str, Vec<u8>)>,
}

impl<'a> Wrong<'a> {
    pub(super) fn new(world: &'a World, row: &'static Operation, client: Client, subject: &Subject) -> Self {
        let body = row.body.map(|body| (JSON, subject.fill(body).into_bytes()));
        Self { world, row, client, url: subject.url(row), body }
    }

    /// With what the operation does not take.
    pub(super) fn clashing(self, subject: &Subject, clash: &Clash) -> Self {
        match clash.body {
            Some(body) => self.body(JSON, subject.fill(body)),
            None => self,
        }
    }

    /// With a parameter that nobody knows: 422.
    pub(super) fn unknown_parameter(mut self) -> Self {
        self.url = format!("{}{}surprise=1", self.url, if self.url.contains('?') { '&' } else { '?' });
        self
    }

    /// With a body, where there is one.
    pub(super) fn body(mut self, media: &'static str, bytes: impl Into<Vec<u8>>) -> Self {
        if self.row.body.is_some() {
            self.body = Some((media, bytes.into()));
        }
        self
    }

    /// With an `If-Match` that names no version of the tenant: 412.
    pub(super) fn stale(mut self) -> Self {
        self.client = self.client.with("if-match", "\"999\"");
        self
    }

    /// With a key that is too long: 422, where keys count.
    pub(super) fn overlong_key(mut self) -> Self {
        self.client = self.client.with("idempotency-key", &"k".repeat(256));
        self
    }

    pub(super) async fn answers(self, status: u16, code: &str) -> Answer {
        let answer = self.world.send(&self.client, &self.row.method(), &self.url, self.body).await;
        let found = (answer.status, answer.body["code"].as_str());
        assert_eq!(found, (status, Some(code)), "{} {}: {}", self.row.id, self.url, answer.text);
        answer
    }
}

/// Sends the head of a request whose body is announced to be too large, and none of the body: what is answered was decided
/// without reading it. Gives the status.
pub(super) async fn announce(world: &World, row: &Operation, url: &str, token: Option<&str>) -> u16 {
    let address = world.service.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let credential = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let head = format!(
        "{} {url} HTTP/1.1\r\nhost: {address}\r\n{credential}content-type: {JSON}\r\ncontent-length: {}\r\n\r\n",
        row.verb,
        row.body_max + 1
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
