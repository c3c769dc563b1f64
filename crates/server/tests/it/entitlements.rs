//! Entitlements over HTTP, contract §4.
//!
//! Invariant: a refused request leaves no trace, which `traces` counts.

mod check;
mod grant;
mod list;

use serde_json::{Value, json};

use crate::support::{Answer, Service};

/// Puts a product into the catalog.
pub(crate) async fn offer(service: &Service, key: &str) {
    service.admin.put(&format!("/v1/catalog/{key}"), json!({ "name": format!("The {key}") })).await.expect(201);
}

/// Asks to give a tenant a product; `more` are further members.
pub(crate) async fn put(service: &Service, tenant: &Value, product: &str, more: Value) -> Answer {
    let mut body = json!({ "tenant_id": tenant["id"], "product": product, "state": "active" });
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    service.admin.put("/v1/entitlements", body).await
}

/// A time, by the service's clock, so many seconds from now.
pub(crate) fn from_now(service: &Service, seconds: i64) -> String {
    use domain::Clock as _;
    domain::time::from_micros(service.clock.now().as_microsecond() + seconds * 1_000_000).to_string()
}
