//! POST `/v1/entitlements/check`

use aide::transform::TransformOperation;
use axum::extract::State;
use domain::FieldCode;
use domain::entitlement::{Asked, Decision, Reason, Step};
use domain::error::Violation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Number;
use uuid::Uuid;

use crate::api::auth::{EntitlementsRead, TenantScoped};
use crate::api::error::ApiError;
use crate::api::fields::tenant_id;
use crate::api::input::{Body, Nothing, Params};
use crate::api::reply::Reply;
use crate::api::schema::schema_words;
use crate::api::state::ApiState;

/// May this tenant do that?
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckEntitlement {
    /// Who.
    #[schemars(with = "Uuid")]
    tenant_id: String,
    /// Which product.
    #[schemars(length(max = 255))]
    product: String,
    /// Which limit, if one is to be weighed.
    #[schemars(length(max = 255))]
    limit: Option<String>,
    /// How much; a limit that is a switch needs none.
    #[schemars(with = "Option<f64>", extend("type" = ["number", "null"]))]
    value: Option<Number>,
}

/// The answer, with the rules that decided.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Decision")]
pub(super) struct DecisionView<'a> {
    /// Whether.
    allowed: bool,
    /// Why.
    #[schemars(with = "ReasonWord")]
    reason: Reason,
    /// The rules in the order in which they were asked; the last one decided.
    #[schemars(with = "Vec<StepView>")]
    chain: &'a [Step],
}

/// A rule, and what it said.
#[derive(JsonSchema)]
#[schemars(rename = "DecisionStep")]
#[expect(dead_code, reason = "read by the document alone")]
struct StepView {
    /// Which rule.
    rule: RuleWord,
    /// What it said.
    outcome: OutcomeWord,
    /// In words.
    detail: String,
}

schema_words! {
    /// Why.
    ReasonWord as "DecisionReason" {
        Allowed, NotEntitled, NotStarted, Expired, Revoked, TenantFrozen, UnknownLimit, LimitExceeded
    }
    /// A rule.
    RuleWord as "DecisionRule" { Entitlement, Revocation, Start, Expiry, Tenant, Limit, Value }
    /// What a rule said.
    OutcomeWord as "DecisionOutcome" { Pass, Fail }
}

pub(super) async fn check_entitlement(
    TenantScoped(ctx, _): TenantScoped<EntitlementsRead>,
    State(state): State<ApiState>,
    params: Params<Nothing>,
    body: Body<CheckEntitlement>,
) -> Result<Reply<DecisionView<'static>>, ApiError> {
    params.read()?;
    let CheckEntitlement { tenant_id: tenant, product, limit, value } = body.value;
    let tenant = tenant_id("tenant_id", &tenant)?;
    let asked = match (&limit, &value) {
        (Some(limit), value) => Some(Asked { limit, value: value.as_ref() }),
        (None, None) => None,
        (None, Some(_)) => {
            return Err(Violation::new("limit", FieldCode::Required, "is required where a value is said").into());
        }
    };
    let Decision { allowed, reason, chain } = state.app.check_entitlement(&ctx, tenant, &product, asked).await?;
    Reply::of(&DecisionView { allowed, reason, chain: &chain })
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(
        operation,
        "check_entitlement",
        "Decide whether a tenant may use a product",
        "Reads only: an `Idempotency-Key` is ignored, and a frozen tenant's callers may ask. A number limit allows a \
         `value` up to itself, a switch must be on. The chain ends at the first rule that failed.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::entitlement::{Outcome, Rule};
    use schemars::SchemaGenerator;

    #[track_caller]
    fn check<T: JsonSchema>(words: &[&str]) {
        let schema = T::json_schema(&mut SchemaGenerator::default()).to_value();
        assert_eq!(schema["enum"], serde_json::json!(words));
    }

    #[test]
    fn the_document_has_the_words_of_the_domain() {
        let rules =
            [Rule::Entitlement, Rule::Revocation, Rule::Start, Rule::Expiry, Rule::Tenant, Rule::Limit, Rule::Value];
        check::<RuleWord>(&rules.map(Rule::as_str));
        check::<OutcomeWord>(&[Outcome::Pass, Outcome::Fail].map(Outcome::as_str));
        let mut reasons = vec![Reason::Allowed.as_str()];
        reasons.extend(rules.map(|rule| rule.reason().as_str()));
        reasons.sort_unstable();
        let schema = ReasonWord::json_schema(&mut SchemaGenerator::default()).to_value();
        let mut words: Vec<&str> = schema["enum"].as_array().unwrap().iter().filter_map(|word| word.as_str()).collect();
        words.sort_unstable();
        assert_eq!(words, reasons);
    }
}
