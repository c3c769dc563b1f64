//! A product and a request on the wire.
//!
//! Invariant: the words of the enums are the domain's; a test compares them.

use domain::{CatalogRequest, Product, RequestStatus, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::api::schema::schema_words;

/// A product.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Product")]
pub struct ProductView<'a> {
    /// Its key; never changes.
    key: &'a str,
    /// Its name for people.
    name: &'a str,
    /// What it is.
    description: Option<&'a str>,
    /// Days of a trial of it.
    trial_days: u32,
    /// Whether tenants may ask for it.
    requestable: bool,
}

impl<'a> From<&'a Product> for ProductView<'a> {
    fn from(product: &'a Product) -> Self {
        Self {
            key: product.key.as_str(),
            name: &product.name,
            description: product.description.as_deref(),
            trial_days: product.trial_days,
            requestable: product.requestable,
        }
    }
}

/// A tenant's request for a product.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CatalogRequest")]
pub struct CatalogRequestView<'a> {
    /// Its id, a UUIDv7.
    id: Uuid,
    /// Who wants it.
    tenant_id: Uuid,
    /// The product's key.
    product: &'a str,
    /// Why.
    message: Option<&'a str>,
    /// Where it stands.
    #[schemars(with = "RequestStatusWord")]
    status: RequestStatus,
    /// Who asked.
    requested_by: &'a str,
    /// Who decided.
    decided_by: Option<&'a str>,
    /// When it was asked.
    created_at: Timestamp,
    /// When it was decided.
    decided_at: Option<Timestamp>,
}

impl<'a> From<&'a CatalogRequest> for CatalogRequestView<'a> {
    fn from(request: &'a CatalogRequest) -> Self {
        Self {
            id: request.id.0,
            tenant_id: request.tenant_id.0,
            product: &request.product,
            message: request.message.as_deref(),
            status: request.status,
            requested_by: &request.requested_by,
            decided_by: request.decided_by.as_deref(),
            created_at: request.created_at,
            decided_at: request.decided_at,
        }
    }
}

schema_words! {
    /// Where a request stands.
    RequestStatusWord as "RequestStatus" { Open, Approved, Rejected }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemars::SchemaGenerator;

    #[test]
    fn the_document_has_the_words_of_the_domain() {
        let schema = RequestStatusWord::json_schema(&mut SchemaGenerator::default()).to_value();
        let words = [RequestStatus::Open, RequestStatus::Approved, RequestStatus::Rejected].map(RequestStatus::as_str);
        assert_eq!(schema["enum"], serde_json::json!(words));
    }
}
