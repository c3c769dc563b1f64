//! The single mapping of domain errors to RFC 9457 problem details, and of everything else that is not an answer.
//!
//! Handlers return [`ApiError`]; the manners layer writes the body, because it knows the request's id and path.
//! Invariant: the match over domain errors has no `_` arm, and what only the log may say never reaches the body.

use aide::OperationOutput;
use aide::generate::GenContext;
use aide::openapi::{MediaType, Operation, Response as DocResponse, SchemaObject, StatusCode as DocStatus};
use axum::response::{IntoResponse, Response};
use domain::{Error, FieldCode, Resource, Violation};
use http::header::{HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// The media type of every error.
pub const PROBLEM_JSON: &str = "application/problem+json";
/// What the `type` of a problem begins with; the code follows.
pub const PROBLEM_TYPE: &str = "urn:tenant-registry:problem:";

/// What a problem says, but for what only the request knows. Travels as a response extension.
#[derive(Debug, Clone)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// The stable code.
    pub code: &'static str,
    /// What went wrong, for the caller.
    pub detail: String,
    /// Broken rules, field by field.
    pub errors: Vec<Violation>,
    /// Further members.
    pub members: Map<String, Value>,
    /// Further headers.
    pub headers: HeaderMap,
    /// For the log only.
    pub internal: Option<String>,
}

impl Problem {
    /// A problem without extras.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            members: Map::new(),
            headers: HeaderMap::new(),
            internal: None,
        }
    }

    fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    fn header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }

    fn internal(mut self, text: String) -> Self {
        self.internal = Some(text);
        self
    }

    /// The body, for a request.
    #[must_use]
    pub fn body(&self, request_id: &str, instance: &str) -> Value {
        let mut body = Map::new();
        body.insert("type".to_owned(), format!("{PROBLEM_TYPE}{}", self.code).into());
        body.insert("title".to_owned(), self.status.canonical_reason().unwrap_or("Error").into());
        body.insert("status".to_owned(), self.status.as_u16().into());
        body.insert("detail".to_owned(), self.detail.as_str().into());
        body.insert("instance".to_owned(), instance.into());
        body.insert("code".to_owned(), self.code.into());
        body.insert("request_id".to_owned(), request_id.into());
        if !self.errors.is_empty() {
            let errors = self.errors.iter();
            let errors = errors.map(|e| json!({ "field": e.field, "code": e.code.as_str(), "message": e.message }));
            body.insert("errors".to_owned(), errors.collect());
        }
        for (name, value) in &self.members {
            body.insert(name.clone(), value.clone());
        }
        Value::Object(body)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.headers_mut().extend(self.headers.clone());
        response.extensions_mut().insert(self);
        response
    }
}

/// What a handler returns instead of an answer.
#[derive(Debug)]
pub struct ApiError(Box<Problem>);

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl From<Violation> for ApiError {
    fn from(violation: Violation) -> Self {
        Error::Validation(vec![violation]).into()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let problem = match error {
            Error::Validation(errors) => {
                let detail = match &*errors {
                    [one] => format!("{}: {}", one.field, one.message),
                    several => format!("{} fields are not valid", several.len()),
                };
                let mut problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "validation_failed", detail);
                problem.errors = errors;
                problem
            }
            Error::NotFound(Resource::Tenant) => Problem::new(StatusCode::NOT_FOUND, "not_found", "no such tenant"),
            Error::NotFound(
                resource @ (Resource::Entitlement | Resource::Product | Resource::CatalogRequest | Resource::ApiKey),
            ) => Problem::new(StatusCode::NOT_FOUND, "not_found", format!("no such {resource}")),
            Error::NotFound(Resource::NamedTenant) => {
                Problem::new(StatusCode::NOT_FOUND, "tenant_not_found", "no such tenant")
            }
            Error::Unauthenticated(why) => {
                let challenge = if why == NO_CREDENTIAL { CHALLENGE } else { CHALLENGE_INVALID };
                Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", why).header(WWW_AUTHENTICATE, challenge)
            }
            Error::Forbidden(why) => Problem::new(StatusCode::FORBIDDEN, "forbidden", why),
            Error::TenantMismatch => Problem::new(
                StatusCode::FORBIDDEN,
                "tenant_mismatch",
                "the credential names tenants that disagree with each other",
            ),
            Error::LookupsDisagree => {
                conflict("lookups_disagree", "what is to be looked up does not lead to one tenant".to_owned())
            }
            Error::TenantFrozen => Problem::new(
                StatusCode::FORBIDDEN,
                "tenant_frozen",
                "the tenant is frozen: it can be read, but not changed",
            ),
            Error::VersionMismatch { current } => Problem::new(
                StatusCode::PRECONDITION_FAILED,
                "version_mismatch",
                format!("If-Match names another version than the current one, {current}"),
            )
            .member("current_version", current),
            Error::SlugTaken { slug } => {
                Problem::new(StatusCode::CONFLICT, "slug_taken", format!("the slug `{slug}` is taken"))
            }
            Error::HostTaken { host, prefix } => Problem::new(
                StatusCode::CONFLICT,
                "host_taken",
                format!("the route {host}{prefix} belongs to another tenant, or overlaps one of another tenant"),
            )
            .member("host", host)
            .member("prefix", prefix),
            Error::InvalidTransition { from, action } => Problem::new(
                StatusCode::CONFLICT,
                "invalid_transition",
                format!("cannot {action} a tenant whose status is {from}"),
            )
            .member("current_status", from.as_str()),
            Error::UnknownProduct { product } => {
                unprocessable("unknown_product", format!("the catalog has no product `{product}`"))
            }
            Error::ProductNotRequestable { product } => {
                unprocessable("product_not_requestable", format!("the product `{product}` cannot be requested"))
            }
            Error::ProductInUse { product } => {
                conflict("product_in_use", format!("tenants have, or had, the product `{product}`"))
            }
            Error::RequestAlreadyOpen { product } => conflict(
                "request_already_open",
                format!("the tenant has asked for `{product}` already, and nobody has decided yet"),
            ),
            Error::RequestAlreadyDecided { status } => {
                conflict("request_already_decided", format!("the request was {status} already"))
                    .member("current_status", status)
            }
            Error::TrialAlreadyUsed { product } => {
                conflict("trial_already_used", format!("the tenant had its trial of `{product}` already"))
            }
            Error::EntitlementAlreadyActive { product } => {
                conflict("entitlement_already_active", format!("the tenant has `{product}` already"))
            }
            Error::KeyNotRotatable { why } => {
                conflict("key_not_rotatable", format!("the key cannot be rotated: it is {why}"))
            }
            Error::IdempotencyKeyReused => Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "this Idempotency-Key was used for another request",
            ),
            Error::IdempotencyInProgress => Problem::new(
                StatusCode::CONFLICT,
                "idempotency_in_progress",
                "the first request with this Idempotency-Key is still running",
            )
            .header(RETRY_AFTER, "1"),
            Error::InvalidCursor => Problem::new(
                StatusCode::BAD_REQUEST,
                "invalid_cursor",
                "the cursor is not one of this list with these filters",
            ),
            Error::Unavailable { internal } => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the service cannot answer right now")
                    .header(RETRY_AFTER, "1")
                    .internal(internal)
            }
            Error::Timeout { internal } => {
                Problem::new(StatusCode::GATEWAY_TIMEOUT, "timeout", "the request took too long").internal(internal)
            }
            Error::Internal { internal } => {
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "something went wrong on our side")
                    .internal(internal)
            }
        };
        problem.into()
    }
}

/// A 422 with a code of its own, about the member `product`.
fn unprocessable(code: &'static str, detail: String) -> Problem {
    let mut problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail.clone());
    problem.errors = vec![Violation::new("product", FieldCode::NotAllowed, detail)];
    problem
}

fn conflict(code: &'static str, detail: String) -> Problem {
    Problem::new(StatusCode::CONFLICT, code, detail)
}

/// Why there is nobody: told apart from a bad credential in the challenge (RFC 6750 §3).
pub const NO_CREDENTIAL: &str = "no credential was sent";
const CHALLENGE: &str = r#"Bearer realm="tenant-registry""#;
const CHALLENGE_INVALID: &str = r#"Bearer realm="tenant-registry", error="invalid_token""#;

/// The shape of every error, for the document.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub struct ProblemView {
    /// `urn:tenant-registry:problem:` and the code.
    pub r#type: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong.
    pub detail: String,
    /// The path of the request.
    pub instance: String,
    /// Stable, lower_snake.
    pub code: String,
    /// The request's id, as in `X-Request-Id`.
    pub request_id: String,
    /// Broken rules, with `validation_failed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<Vec<FieldErrorView>>,
}

/// One broken rule.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FieldError")]
pub struct FieldErrorView {
    /// Path of the field, with dots.
    pub field: String,
    /// `required`, `unknown_field`, `wrong_type`, `too_short`, `too_long`, `out_of_range`, `invalid_format` or
    /// `not_allowed`.
    pub code: String,
    /// The rule, and the value's problem.
    pub message: String,
}

impl OperationOutput for ApiError {
    type Inner = ProblemView;

    fn operation_response(ctx: &mut GenContext, _operation: &mut Operation) -> Option<DocResponse> {
        let json_schema = ctx.schema.subschema_for::<ProblemView>();
        let media = MediaType {
            schema: Some(SchemaObject { json_schema, example: None, external_docs: None }),
            ..MediaType::default()
        };
        let mut response = DocResponse { description: "A problem (RFC 9457).".to_owned(), ..DocResponse::default() };
        response.content.insert(PROBLEM_JSON.to_owned(), media);
        Some(response)
    }

    fn inferred_responses(ctx: &mut GenContext, operation: &mut Operation) -> Vec<(Option<DocStatus>, DocResponse)> {
        Self::operation_response(ctx, operation).map(|response| (None, response)).into_iter().collect()
    }
}
