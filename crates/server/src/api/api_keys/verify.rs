//! POST `/v1/internal/api-keys/verify`

use aide::transform::TransformOperation;
use axum::extract::State;
use domain::api_key::{SCOPE_MAX, SCOPE_PATTERN, check_scope};
use domain::{Error, Plan, Status, Timestamp, VerifyCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use crate::api::auth::Service;
use crate::api::error::ApiError;
use crate::api::input::{Nothing, Params, QuickBody};
use crate::api::reply::Reply;
use crate::api::state::ApiState;
use crate::api::tenants::view::{PlanWord, StatusWord};
use crate::app::KnownKey;
use crate::app::api_keys::Verified;

/// A key to be judged.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct VerifyApiKey {
    /// Whatever was shown as a key.
    key: String,
    /// What it is to be used for.
    #[schemars(length(min = 1, max = SCOPE_MAX), regex(pattern = SCOPE_PATTERN))]
    scope: Option<String>,
}

/// What is to be known of a key.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Verification")]
pub(in crate::api) struct VerificationView<'a> {
    /// Whether it is good.
    valid: bool,
    /// Why it is good or not: of several reasons the first, in the order of the list.
    #[schemars(with = "VerifyCodeWord")]
    code: VerifyCode,
    /// Its tenant; null where the key was not found, or belongs to the platform.
    tenant: Option<VerifiedTenant<'a>>,
    /// The key; null where it was not found.
    key: Option<VerifiedKey<'a>>,
    /// The products that the tenant may use now, sorted; empty unless the key is good.
    #[schemars(with = "Vec<String>")]
    products: Products<'a>,
}

/// The tenant of a key that was found.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct VerifiedTenant<'a> {
    /// Its id.
    id: Uuid,
    /// Its name in URLs.
    slug: &'a str,
    /// Where it stands, by the service's clock.
    #[schemars(with = "StatusWord")]
    status: Status,
    /// What it bought.
    #[schemars(with = "PlanWord")]
    plan: Plan,
}

/// A key that was found.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct VerifiedKey<'a> {
    /// Its id.
    id: Uuid,
    /// Its name for people.
    name: &'a str,
    /// What it may be used for.
    #[schemars(with = "Vec<String>")]
    scopes: Scopes<'a>,
    /// When its time is over.
    expires_at: Option<Timestamp>,
}

/// The scopes of a key in memory, written without making a list of them.
#[derive(Debug)]
struct Scopes<'a>(&'a KnownKey);

impl Serialize for Scopes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.scopes())
    }
}

/// The products of a key that is good, written without making a list of them.
#[derive(Debug)]
struct Products<'a>(&'a Verified);

impl Serialize for Products<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.products())
    }
}

/// What verifying a key answers.
#[derive(JsonSchema)]
#[schemars(rename = "VerifyCode")]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "read by the document alone")]
enum VerifyCodeWord {
    Malformed,
    NotFound,
    Revoked,
    Expired,
    TenantFrozen,
    InsufficientScope,
    Valid,
}

impl<'a> From<&'a Verified> for VerificationView<'a> {
    fn from(verified: &'a Verified) -> Self {
        let tenant = verified.tenant.as_deref().map(|tenant| VerifiedTenant {
            id: tenant.id.0,
            slug: tenant.slug.as_str(),
            status: tenant.status_at(verified.at),
            plan: tenant.plan,
        });
        let key = verified.key.as_deref().map(|key| VerifiedKey {
            id: key.id.0,
            name: &key.name,
            scopes: Scopes(key),
            expires_at: key.life().expires_at,
        });
        Self {
            valid: verified.code == VerifyCode::Valid,
            code: verified.code,
            tenant,
            key,
            products: Products(verified),
        }
    }
}

pub(in crate::api) async fn verify_api_key(
    Service(ctx): Service,
    State(state): State<ApiState>,
    params: Params<Nothing>,
    body: QuickBody<VerifyApiKey>,
) -> Result<Reply<VerificationView<'static>>, ApiError> {
    params.read()?;
    let VerifyApiKey { key, scope } = body.0;
    if let Some(violation) = scope.as_deref().and_then(|scope| check_scope("scope", scope)) {
        return Err(Error::Validation(vec![violation]).into());
    }
    let verified = state.app.verify_api_key(&ctx, &key, scope.as_deref()).await?;
    Reply::of(&VerificationView::from(&verified))
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(
        operation,
        "verify_api_key",
        "Judge an API key",
        "Answered with 200 whatever the key is: `code` says what of it. For services of the platform; `Idempotency-Key` is ignored, since nothing is changed.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemars::SchemaGenerator;

    #[test]
    fn the_document_has_the_codes_of_the_domain_in_their_order() {
        let schema = VerifyCodeWord::json_schema(&mut SchemaGenerator::default()).to_value();
        use VerifyCode::{Expired, InsufficientScope, Malformed, NotFound, Revoked, TenantFrozen, Valid};
        let codes = [Malformed, NotFound, Revoked, Expired, TenantFrozen, InsufficientScope, Valid];
        assert_eq!(schema["enum"], serde_json::json!(codes.map(VerifyCode::as_str)));
    }
}
