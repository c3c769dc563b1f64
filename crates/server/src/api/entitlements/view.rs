//! An entitlement on the wire, and what is said when one is given.
//!
//! Invariant: the words of the enums are the domain's; a test compares them.

use std::collections::BTreeMap;

use domain::entitlement::{LIMITS_MAX, Source, StateAt};
use domain::{Grant, GrantState, Limits, Timestamp, Violation};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::fields::instant;
use crate::api::schema::schema_words;
use crate::app::entitlements::Shown;

/// What a tenant has of a product.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Entitlement")]
pub struct EntitlementView<'a> {
    /// Its id, a UUIDv7.
    id: Uuid,
    /// Whose it is.
    tenant_id: Uuid,
    /// The product's key.
    product: &'a str,
    /// Where it stands, by the service's clock.
    #[schemars(with = "StateWord")]
    state: StateAt,
    /// Whether the tenant may use the product now: weighs state, start, end and the tenant's own status.
    effective: bool,
    /// How it came to be so.
    #[schemars(with = "SourceWord")]
    source: Source,
    /// From when on it holds; null: always.
    starts_at: Option<Timestamp>,
    /// From when on it holds no more; null: never.
    expires_at: Option<Timestamp>,
    /// Numbers and switches by name.
    #[schemars(with = "BTreeMap<String, Value>", extend("additionalProperties" = limit_schema()))]
    limits: &'a Limits,
}

impl<'a> From<&'a Shown> for EntitlementView<'a> {
    fn from(shown: &'a Shown) -> Self {
        let held = &shown.entitlement;
        Self {
            id: held.id.0,
            tenant_id: held.tenant_id.0,
            product: &held.product,
            state: shown.state,
            effective: shown.effective,
            source: held.source,
            starts_at: held.starts_at,
            expires_at: held.expires_at,
            limits: &held.limits,
        }
    }
}

/// A limit: a number, or a switch.
pub(in crate::api) fn limit_schema() -> Value {
    json!({ "type": ["number", "boolean"] })
}

/// The most members of `limits`, for schemas.
pub(in crate::api) const LIMITS: usize = LIMITS_MAX;

/// Reads what is said of a grant.
pub(in crate::api) fn grant(
    state: GrantState,
    starts_at: Option<&str>,
    expires_at: Option<&str>,
    limits: Option<Limits>,
    violations: &mut Vec<Violation>,
) -> Grant {
    let mut read = |field: &str, text: Option<&str>| match text.map(|text| instant(field, text)).transpose() {
        Ok(at) => at,
        Err(violation) => {
            violations.push(violation);
            None
        }
    };
    let (starts_at, expires_at) = (read("starts_at", starts_at), read("expires_at", expires_at));
    Grant { state, starts_at, expires_at, limits: limits.unwrap_or_default() }
}

schema_words! {
    /// Where an entitlement stands.
    StateWord as "EntitlementState" { Trial, Active, Expired, Revoked }
    /// As what a product is given.
    GrantWord as "GrantState" { Trial, Active }
    /// How an entitlement came to be as it is.
    SourceWord as "EntitlementSource" { Grant, Trial, Request }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemars::SchemaGenerator;

    #[track_caller]
    fn check<T: JsonSchema>(words: &[&str]) {
        let schema = T::json_schema(&mut SchemaGenerator::default()).to_value();
        assert_eq!(schema["enum"], json!(words));
    }

    #[test]
    fn the_document_has_the_words_of_the_domain() {
        check::<StateWord>(&[StateAt::Trial, StateAt::Active, StateAt::Expired, StateAt::Revoked].map(StateAt::as_str));
        check::<GrantWord>(&[GrantState::Trial, GrantState::Active].map(GrantState::as_str));
        check::<SourceWord>(&[Source::Grant, Source::Trial, Source::Request].map(Source::as_str));
    }
}
