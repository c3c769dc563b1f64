//! The audit log over HTTP, contract §6 line by line: what is published, listed and exported.
//!
//! One file per call or subject. Invariant: a refused publication leaves no event.

use serde_json::{Value, json};

use crate::support::{Client, Service};

mod export;
mod external_ids;
mod filters;
mod frozen;
mod list;
mod publish;
mod rules;
mod together;

/// The least that an event must say.
fn bare(action: &str) -> Value {
    json!({ "action": action, "crud": "c", "actor": { "id": "ada" } })
}

/// An event with further members, or others.
fn with(more: &Value) -> Value {
    let mut event = bare("user.login");
    for (name, value) in more.as_object().unwrap() {
        event[name] = value.clone();
    }
    event
}

/// The first page of a list.
async fn items(client: &Client, query: &str) -> Vec<Value> {
    client.get(&format!("/v1/audit?{query}")).await.expect(200).body["items"].as_array().unwrap().clone()
}

/// The actions of the first page of a list.
async fn actions(client: &Client, query: &str) -> Vec<String> {
    items(client, query).await.iter().map(|event| event["action"].as_str().unwrap().to_owned()).collect()
}

/// How many events there are, up to 200.
async fn count(service: &Service) -> usize {
    items(&service.admin, "limit=200").await.len()
}
