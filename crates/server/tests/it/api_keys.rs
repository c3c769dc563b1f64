//! API keys over HTTP, contract §5 line by line, and keys as credentials (§2).
//!
//! One file per call or subject. Invariant: no answer but that of the creation has a key's text in it.

mod create;
mod credential;
mod last_use;
mod list;
mod revoke;
mod rotate;
mod verify;

use domain::api_key::format;
use domain::{AuditEvent, Clock as _, KeyEnv};
use serde_json::{Value, json};
use server::clock::SystemRng;

use crate::support::client::Client;
use crate::support::setup::{events, id_of};
use crate::support::{Answer, Service};

/// Makes a key, and gives it with its text.
async fn make(client: &Client, tenant: &Value, more: Value) -> (Value, String) {
    let mut body = json!({ "tenant_id": tenant["id"], "name": "Key" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    minted(client.post("/v1/api-keys", body).await)
}

#[track_caller]
fn minted(answer: Answer) -> (Value, String) {
    let body = answer.expect(201).body;
    (body["api_key"].clone(), body["plaintext"].as_str().unwrap().to_owned())
}

async fn rotate(client: &Client, key: &Value, overlap: u32) -> Answer {
    client.post(&format!("{}/rotate", path(key)), json!({ "overlap_seconds": overlap })).await
}

fn path(key: &Value) -> String {
    format!("/v1/api-keys/{}", id_of(key))
}

async fn verify(service: &Service, key: &str) -> Value {
    service.admin.post("/v1/internal/api-keys/verify", json!({ "key": key })).await.expect(200).body
}

async fn code(service: &Service, key: &str) -> String {
    verify(service, key).await["code"].as_str().unwrap().to_owned()
}

/// The key as the list shows it.
async fn listed(service: &Service, key: &Value) -> Value {
    let page = service.admin.get("/v1/api-keys?limit=200").await.expect(200).body;
    page["items"].as_array().unwrap().iter().find(|one| one["id"] == key["id"]).unwrap().clone()
}

/// A key that nobody has.
fn stranger(env: KeyEnv) -> String {
    format::mint(env, &SystemRng::default()).expose().to_owned()
}

/// The events about keys, newest first.
async fn key_events(service: &Service) -> Vec<AuditEvent> {
    events(service).await.into_iter().filter(|event| event.action.starts_with("api_key.")).collect()
}

/// An instant of the service's clock, so many seconds from now.
fn after(service: &Service, seconds: i64) -> String {
    domain::time::from_micros(service.clock.now().as_microsecond() + seconds * 1_000_000).to_string()
}
