//! What operations are called on: a tenant, and what it has.
//!
//! Everything is made through the API by a platform admin, and only what a row wants. Invariant: no two subjects share a
//! name, a product or a thing.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::table::{Clash, Names, Operation, Start};
use super::world::World;

/// What a tenant has when an operation is called on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Has {
    Nothing,
    /// Somebody who was invited, and has not come yet.
    Administrator,
    /// Another tenant beside it, with a slug and a host.
    Rival,
    /// A product in the catalog that nobody has.
    Product,
    /// A product that cannot be requested.
    HiddenProduct,
    /// A product, and an active entitlement to it.
    Entitlement,
    RevokedEntitlement,
    /// A product, and a trial of it.
    Trial,
    RevokedTrial,
    /// A product, and an open request for it.
    Request,
    DecidedRequest,
    ApiKey,
    RevokedKey,
    /// A key that was rotated at once, and one that lives on for a while.
    RotatedKey,
    OverlappingKey,
    /// An event that somebody published.
    Event,
}

/// A tenant to call operations on, and names that are free.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) id: String,
    pub(crate) slug: String,
    pub(crate) host: String,
    pub(crate) new: String,
    pub(crate) other_slug: String,
    pub(crate) other_host: String,
    /// The key of a product, which is there where the tenant has one.
    pub(crate) product: String,
    /// The id of what the tenant has.
    pub(crate) thing: String,
    /// The API key itself.
    pub(crate) secret: String,
}

/// An API key as it was made.
#[derive(Debug, Clone)]
pub(crate) struct MadeKey {
    pub(crate) id: String,
    pub(crate) secret: String,
}

/// The id that nothing has.
pub(crate) const NOBODYS_ID: &str = "0199d0c0-0000-7000-8000-00000000dead";

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

impl World {
    /// A new tenant in this state, with one host and nothing else.
    pub(crate) async fn subject(&self, start: Start) -> Subject {
        self.subject_with(start, Has::Nothing).await
    }

    /// What a good call of this operation wants.
    pub(crate) async fn subject_of(&self, row: &Operation) -> Subject {
        self.subject_with(row.start, row.has).await
    }

    /// What this operation does not take.
    pub(crate) async fn clashing(&self, clash: &Clash) -> Subject {
        self.subject_with(clash.start, clash.has).await
    }

    /// A new tenant in this state, which has this.
    pub(crate) async fn subject_with(&self, start: Start, has: Has) -> Subject {
        let n = self.subjects.fetch_add(1, Ordering::Relaxed);
        let (slug, other) = (format!("subject-{n}"), format!("other-{n}"));
        let made = self.make_tenant(&slug, has == Has::Administrator).await;
        if has == Has::Rival {
            self.make_tenant(&other, false).await;
        }
        let subject = Subject {
            id: text_of(&made["id"]),
            host: format!("{slug}.example.com"),
            slug,
            new: format!("new-{n}"),
            other_host: format!("{other}.example.com"),
            other_slug: other,
            product: format!("product-{n}"),
            thing: String::new(),
            secret: String::new(),
        };
        let subject = self.furnish(subject, has).await;
        match start {
            Start::Trial => {}
            Start::Active => self.drive(&subject, "activate").await,
            Start::Frozen => self.drive(&subject, "cancel").await,
        }
        subject
    }

    /// The same tenant with names that are free again, and with another thing.
    pub(crate) async fn again(&self, subject: &Subject, has: Has) -> Subject {
        let n = self.subjects.fetch_add(1, Ordering::Relaxed);
        let fresh = Subject { new: format!("new-{n}"), product: format!("product-{n}"), ..subject.clone() };
        self.furnish(fresh, has).await
    }

    /// Freezes it.
    pub(crate) async fn freeze(&self, subject: &Subject) {
        self.drive(subject, "cancel").await;
    }

    async fn drive(&self, subject: &Subject, call: &str) {
        self.service.admin.post_empty(&format!("/v1/tenants/{}/{call}", subject.id)).await.expect(200);
    }

    async fn make_tenant(&self, slug: &str, invites: bool) -> Value {
        let hosts = [format!("https://{slug}.example.com")];
        let mut body = json!({ "slug": slug, "name": format!("Tenant {slug}"), "trial_days": 1, "hosts": hosts });
        if invites {
            body["admin_email"] = json!(format!("ada@{slug}.example.com"));
        }
        self.service.admin.post("/v1/tenants", body).await.expect(201).body
    }

    /// Makes an API key.
    pub(crate) async fn make_key(&self, body: Value) -> MadeKey {
        let made = self.service.admin.post("/v1/api-keys", body).await.expect(201).body;
        MadeKey { id: text_of(&made["api_key"]["id"]), secret: text_of(&made["plaintext"]) }
    }

    async fn furnish(&self, mut subject: Subject, has: Has) -> Subject {
        let admin = &self.service.admin;
        let (id, product) = (subject.id.clone(), subject.product.clone());
        let put_product = async |requestable: bool| {
            let body = json!({ "name": format!("Name of {product}"), "trial_days": 30, "requestable": requestable });
            admin.put(&format!("/v1/catalog/{product}"), body).await.expect(201);
        };
        let wanted = json!({ "tenant_id": id, "product": product });
        match has {
            Has::Nothing | Has::Administrator | Has::Rival => {}
            Has::Product => put_product(true).await,
            Has::HiddenProduct => put_product(false).await,
            Has::Entitlement | Has::RevokedEntitlement => {
                put_product(true).await;
                let body = json!({ "tenant_id": id, "product": product, "state": "active" });
                subject.thing = text_of(&admin.put("/v1/entitlements", body).await.expect(201).body["id"]);
            }
            Has::Trial | Has::RevokedTrial => {
                put_product(true).await;
                let made = admin.post("/v1/catalog/trial-request", wanted).await.expect(201);
                subject.thing = text_of(&made.body["id"]);
            }
            Has::Request | Has::DecidedRequest => {
                put_product(true).await;
                subject.thing = text_of(&admin.post("/v1/catalog/request", wanted).await.expect(202).body["id"]);
            }
            Has::ApiKey | Has::RevokedKey | Has::RotatedKey | Has::OverlappingKey => {
                let name = format!("Key of {}", subject.slug);
                let body = json!({ "tenant_id": id, "name": name, "scopes": ["tenant:read"] });
                let made = self.make_key(body).await;
                (subject.thing, subject.secret) = (made.id, made.secret);
            }
            Has::Event => {
                let body = json!({
                    "action": "door.closed", "crud": "u", "group": { "id": id }, "actor": { "id": "u-1" },
                    "target": { "id": "d-1", "type": "door" },
                });
                subject.thing = text_of(&admin.post("/v1/audit", body).await.expect(201).body["id"]);
            }
        }
        let thing = &subject.thing;
        match has {
            Has::RevokedEntitlement | Has::RevokedTrial => {
                admin.delete(&format!("/v1/entitlements/{thing}")).await.expect(204);
            }
            Has::DecidedRequest => {
                admin.post_empty(&format!("/v1/catalog/requests/{thing}/reject")).await.expect(200);
            }
            Has::RevokedKey => {
                admin.delete(&format!("/v1/api-keys/{thing}")).await.expect(204);
            }
            Has::RotatedKey => {
                admin.post_empty(&format!("/v1/api-keys/{thing}/rotate")).await.expect(201);
            }
            Has::OverlappingKey => {
                let body = json!({ "overlap_seconds": 3_600 });
                admin.post(&format!("/v1/api-keys/{thing}/rotate"), body).await.expect(201);
            }
            _ => {}
        }
        subject
    }
}

impl Subject {
    /// Fills `{id}`, `{slug}` and `{host}` of the tenant, `{product}`, `{thing}` and `{secret}` of what it has, and `{new}`, a
    /// name that nobody has; `{other_slug}` and `{other_host}` are another tenant's.
    pub(crate) fn fill(&self, template: &str) -> String {
        let values = [
            ("{id}", &self.id),
            ("{slug}", &self.slug),
            ("{host}", &self.host),
            ("{new}", &self.new),
            ("{other_slug}", &self.other_slug),
            ("{other_host}", &self.other_host),
            ("{product}", &self.product),
            ("{thing}", &self.thing),
            ("{secret}", &self.secret),
        ];
        values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(name, value))
    }

    /// The path of a good call.
    pub(crate) fn path(&self, operation: &Operation) -> String {
        let template = operation.path.replace("{key}", "{product}");
        let template = if operation.names == Names::Thing { template.replace("{id}", "{thing}") } else { template };
        let path = self.fill(&template);
        assert!(!path.contains('{') && !path.contains("//"), "{}: nobody fills {template}", operation.id);
        path
    }

    /// Path and query of a good call.
    pub(crate) fn url(&self, operation: &Operation) -> String {
        self.url_with(operation, "")
    }

    /// The same with a further parameter.
    pub(crate) fn url_with(&self, operation: &Operation, parameter: &str) -> String {
        let parts = [self.fill(operation.query), parameter.to_owned()];
        let query: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        let path = self.path(operation);
        if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
    }

    /// The body of a good call as JSON.
    pub(crate) fn body(&self, operation: &Operation) -> Value {
        serde_json::from_str(&self.fill(operation.body.unwrap_or("{}"))).unwrap()
    }

    /// The same, where what the operation names is not there: a tenant that nobody made, a thing, a product.
    pub(crate) fn absent_for(&self, operation: &Operation) -> Self {
        self.named(operation, NOBODYS_ID, &format!("absent-{}", self.slug))
    }

    /// The names of a tenant that nobody made.
    pub(crate) fn absent(&self) -> Self {
        Self { id: NOBODYS_ID.to_owned(), slug: format!("absent-{}", self.slug), ..self.clone() }
    }

    /// The same, where what the path names is called so.
    pub(crate) fn odd(&self, operation: &Operation, name: &str) -> Self {
        self.named(operation, name, name)
    }

    fn named(&self, operation: &Operation, id: &str, name: &str) -> Self {
        let mut other = self.clone();
        match operation.names {
            Names::Thing => id.clone_into(&mut other.thing),
            Names::Product => name.clone_into(&mut other.product),
            Names::Tenant | Names::InBody(_) | Names::InFilter => {
                id.clone_into(&mut other.id);
                name.clone_into(&mut other.slug);
                other.host = if id == name { name.to_owned() } else { format!("absent-{}", self.host) };
            }
            Names::NewProduct | Names::Nothing => {}
        }
        other
    }
}
