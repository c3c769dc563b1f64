//! The `Idempotency-Key` of a POST.
//!
//! The handler joins it with its body to the request that `app` runs once. Invariant: the fingerprint covers everything
//! that could make two requests different: method, path, query, tenant header, body.

use std::convert::Infallible;

use aide::OperationInput;
use aide::generate::GenContext;
use aide::openapi::Operation;
use aide::operation::{ParamLocation, add_parameters, parameters_from_schema};
use aws_lc_rs::digest::{Context, SHA256};
use axum::extract::FromRequestParts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{Error, FieldCode};
use http::request::Parts;
use schemars::JsonSchema;

use super::state::ApiState;
use crate::app::IdempotentRequest;

/// The most characters of a key.
pub const KEY_MAX: usize = 255;
const HEADER: &str = "Idempotency-Key";

/// The key, and what was hashed of the request so far. What is wrong with it is told when it is joined with the body,
/// which is judged before it.
#[must_use]
pub struct IdempotencyKey(Result<Option<(String, Context)>, Error>);

impl IdempotencyKey {
    /// The request, with its body; none without a key.
    ///
    /// # Errors
    /// A violation of `Idempotency-Key`.
    pub fn over(self, body: &[u8]) -> Result<Option<IdempotentRequest>, Error> {
        Ok(self.0?.map(|(key, mut context)| {
            context.update(body);
            IdempotentRequest { key, fingerprint: URL_SAFE_NO_PAD.encode(context.finish()) }
        }))
    }
}

impl FromRequestParts<ApiState> for IdempotencyKey {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &ApiState) -> Result<Self, Infallible> {
        Ok(Self(read(parts)))
    }
}

fn read(parts: &Parts) -> Result<Option<(String, Context)>, Error> {
    let mut sent = parts.headers.get_all("idempotency-key").iter();
    let Some(value) = sent.next() else { return Ok(None) };
    let invalid = |code, message: &str| Error::invalid(HEADER, code, message);
    if sent.next().is_some() {
        return Err(invalid(FieldCode::NotAllowed, "stands twice"));
    }
    let key = value.to_str().map_err(|_| invalid(FieldCode::InvalidFormat, "must be printable ASCII"))?.trim();
    if key.is_empty() {
        return Err(invalid(FieldCode::TooShort, "must not be empty"));
    }
    if key.len() > KEY_MAX {
        return Err(invalid(FieldCode::TooLong, "may have at most 255 characters"));
    }
    let mut context = Context::new(&SHA256);
    let tenant = parts.headers.get("x-tenant-id").map(|value| value.as_bytes()).unwrap_or_default();
    let query = parts.uri.query().unwrap_or_default();
    for part in [parts.method.as_str().as_bytes(), parts.uri.path().as_bytes(), query.as_bytes(), tenant] {
        context.update(&part.len().to_be_bytes());
        context.update(part);
    }
    Ok(Some((key.to_owned(), context)))
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "read by the document alone")]
struct KeyParameter {
    /// Makes the call safe to repeat for 24 hours: the same key and body give the first answer again.
    #[serde(rename = "Idempotency-Key")]
    #[serde(default)]
    #[schemars(with = "String", length(min = 1, max = KEY_MAX))]
    key: Option<String>,
}

impl OperationInput for IdempotencyKey {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        let schema = ctx.schema.subschema_for::<KeyParameter>();
        let parameters = parameters_from_schema(ctx, schema, ParamLocation::Header);
        add_parameters(ctx, operation, parameters);
    }
}
