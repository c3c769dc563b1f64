//! What a request brings: body, query, path, and the two headers that writes know.
//!
//! Handlers take these extractors in the order of the contract's checks. Invariants: every handler under `/v1` takes a
//! [`Params`], so that an unknown query parameter is named and never ignored; a refused input has changed nothing.

use std::convert::Infallible;
use std::str::FromStr;

use aide::OperationInput;
use aide::generate::GenContext;
use aide::openapi::{MediaType, Operation, RequestBody, SchemaObject};
use aide::operation::{ParamLocation, add_parameters, parameters_from_schema, set_body};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use bytes::{Bytes, BytesMut};
use domain::{ApiKeyId, CatalogRequestId, EntitlementId, Error, FieldCode, Resource, TenantId};
use http::header::{CONTENT_TYPE, IF_MATCH};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::{ApiError, Problem};
use super::json;
use super::state::ApiState;
use crate::app::tenants::Precondition;

/// The largest body of an ordinary request, in bytes.
pub const BODY_MAX: usize = 1 << 20;
/// How much of a body that is too large is read before the connection is given up, in bytes.
const DRAIN_MAX: usize = 16 << 20;
/// The media type of JSON.
pub(super) const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";

/// A JSON body, checked and read. Where `T` needs no member, an empty body is `{}`.
#[derive(Debug)]
pub struct Body<T> {
    /// What was sent.
    pub value: T,
    /// The bytes, for the fingerprint of an idempotent request.
    pub bytes: Bytes,
}

/// As [`Body`], for calls that come by the thousand and only read: a body that is right is read in one go, and only one
/// that is not is held against the schema, which says what is wrong with it. NUL may stand in it, and rules that no type
/// can say (lengths, patterns) are the handler's to check.
#[derive(Debug)]
pub struct QuickBody<T>(pub T);

/// A merge patch (RFC 7396): as [`Body`], and its own media type is welcome too.
#[derive(Debug)]
pub struct Patch<T>(pub T);

/// An input without members: for calls whose body or query says nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

impl<T: JsonSchema + DeserializeOwned + 'static> FromRequest<ApiState> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, ApiError> {
        let (headers, bytes) = collect(request, BODY_MAX).await?;
        let value = parse(state, &headers, &bytes, &[JSON])?;
        Ok(Self { value, bytes })
    }
}

impl<T: JsonSchema + DeserializeOwned + 'static> FromRequest<ApiState> for Patch<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, ApiError> {
        let (headers, bytes) = collect(request, BODY_MAX).await?;
        parse(state, &headers, &bytes, &[JSON, MERGE_PATCH]).map(Self)
    }
}

impl<T: JsonSchema + DeserializeOwned + 'static> FromRequest<ApiState> for QuickBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, ApiError> {
        let (headers, bytes) = collect(request, BODY_MAX).await?;
        // serde would take the members of an object from an array too, in their order.
        if bytes.first() == Some(&b'{') {
            check_media_type(&headers, &[JSON])?;
            if let Ok(value) = serde_json::from_slice(&bytes) {
                return Ok(Self(value));
            }
        }
        Ok(Self(state.schemas.read(json_of(&headers, &bytes, &[JSON])?)?))
    }
}

/// Reads a body of at most `max` bytes.
pub(super) async fn collect(request: Request, max: usize) -> Result<(HeaderMap, Bytes), ApiError> {
    let too_large = || {
        let detail = format!("a body may have at most {max} bytes");
        ApiError::from(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail))
    };
    let (parts, mut body) = request.into_parts();
    let announced = body.size_hint().lower();
    let mut bytes = BytesMut::with_capacity(usize::try_from(announced).unwrap_or(max).min(max));
    let mut received = 0;
    // What is too much is read and thrown away up to a point: a client that is still sending when the connection closes
    // would never see the answer.
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| malformed("the body broke off"))?.into_data() else { continue };
        received += data.len();
        if received <= max {
            bytes.extend_from_slice(&data);
        } else if received > DRAIN_MAX {
            break;
        }
    }
    if received > max { Err(too_large()) } else { Ok((parts.headers, bytes.freeze())) }
}

/// A 400.
pub(super) fn malformed(detail: impl Into<String>) -> ApiError {
    Problem::new(StatusCode::BAD_REQUEST, "malformed_json", detail).into()
}

fn parse<T: JsonSchema + DeserializeOwned + 'static>(
    state: &ApiState,
    headers: &HeaderMap,
    bytes: &[u8],
    accepted: &[&str],
) -> Result<T, ApiError> {
    let value = json_of(headers, bytes, accepted)?;
    if let Some(field) = json::find_nul(&value) {
        return Err(Error::invalid(field, FieldCode::NotAllowed, "must not contain NUL").into());
    }
    Ok(state.schemas.read(value)?)
}

/// The body as JSON; `{}` where there is none.
fn json_of(headers: &HeaderMap, bytes: &[u8], accepted: &[&str]) -> Result<Value, ApiError> {
    if bytes.is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    check_media_type(headers, accepted)?;
    if std::str::from_utf8(bytes).is_err() {
        return Err(malformed("the body is not UTF-8"));
    }
    json::parse(bytes).map_err(|error| malformed(format!("the body is not JSON: {error}")))
}

/// A 415, unless the body says that it is one of `accepted`.
pub(super) fn check_media_type(headers: &HeaderMap, accepted: &[&str]) -> Result<(), ApiError> {
    let sent = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = sent.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let known = accepted.iter().any(|one| one.eq_ignore_ascii_case(essence));
    // JSON is UTF-8 (RFC 8259 §8.1); a sender who says so is believed, and no other charset is.
    let charset = parts.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"').to_ascii_lowercase())
    });
    if known && charset.is_none_or(|name| name == "utf-8" || name == "utf8") {
        return Ok(());
    }
    let detail = format!("the body must be {}", accepted.join(" or "));
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail).into())
}

fn body_doc<T: JsonSchema>(ctx: &mut GenContext, operation: &mut Operation, media: &[&str]) {
    let json_schema = ctx.schema.subschema_for::<T>();
    let required = ctx.resolve_schema(&json_schema).get("required").is_some();
    let mut body = RequestBody { required, ..RequestBody::default() };
    for name in media {
        let schema = SchemaObject { json_schema: json_schema.clone(), example: None, external_docs: None };
        body.content.insert((*name).to_owned(), MediaType { schema: Some(schema), ..MediaType::default() });
    }
    set_body(ctx, operation, body);
}

impl<T: JsonSchema> OperationInput for Body<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        body_doc::<T>(ctx, operation, &[JSON]);
    }
}

impl<T: JsonSchema> OperationInput for QuickBody<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        body_doc::<T>(ctx, operation, &[JSON]);
    }
}

impl<T: JsonSchema> OperationInput for Patch<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        body_doc::<T>(ctx, operation, &[JSON, MERGE_PATCH]);
    }
}

/// The query: no unknown parameter, none twice. What is wrong with it is told when it is read, since the body is judged
/// before it (413, 415 and 400 come before 422).
#[derive(Debug)]
#[must_use]
pub struct Params<T>(Result<T, Error>);

impl<T> Params<T> {
    /// The parameters.
    ///
    /// # Errors
    /// `Validation`.
    pub fn read(self) -> Result<T, Error> {
        self.0
    }
}

impl<T: JsonSchema + DeserializeOwned + Send + 'static> FromRequestParts<ApiState> for Params<T> {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Infallible> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        if let Some((name, _)) = pairs.iter().find(|(name, value)| name.contains('\0') || value.contains('\0')) {
            let name = name.replace('\0', "\u{fffd}");
            return Ok(Self(Err(Error::invalid(name, FieldCode::NotAllowed, "must not contain NUL"))));
        }
        Ok(Self(state.schemas.read_query(pairs)))
    }
}

impl<T: JsonSchema> OperationInput for Params<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        let schema = ctx.schema.subschema_for::<T>();
        let parameters = parameters_from_schema(ctx, schema, ParamLocation::Query);
        add_parameters(ctx, operation, parameters);
    }
}

/// An id that stands in a path.
pub trait PathId: FromStr + Send + Sync + 'static {
    /// What is not there when nothing has the id.
    const RESOURCE: Resource;
}

macro_rules! path_ids {
    ($($id:ident is $resource:ident),+ $(,)?) => {$(
        impl PathId for $id {
            const RESOURCE: Resource = Resource::$resource;
        }
    )+};
}
path_ids! {
    TenantId is Tenant,
    EntitlementId is Entitlement,
    ApiKeyId is ApiKey,
    CatalogRequestId is CatalogRequest,
}

/// The id in the path. One that is no UUID is absent, which the handler says after the body was checked.
#[derive(Debug)]
pub struct IdPath<T>(Option<T>);

/// A tenant's id in the path.
pub type TenantPath = IdPath<TenantId>;

impl<T: PathId> IdPath<T> {
    /// The id.
    ///
    /// # Errors
    /// `NotFound` for a text that is no UUID.
    pub fn id(self) -> Result<T, Error> {
        self.0.ok_or(Error::NotFound(T::RESOURCE))
    }
}

impl<T: PathId> FromRequestParts<ApiState> for IdPath<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        Ok(Self(path_text(parts, state).await.and_then(|text| text.parse().ok())))
    }
}

/// A text in the path: a slug, a host. Bytes that are no UTF-8 name nothing.
#[derive(Debug)]
pub struct TextPath(Option<String>);

impl TextPath {
    /// The text, by which something is named.
    ///
    /// # Errors
    /// `NotFound` for bytes that are no text.
    pub fn text(self, named: Resource) -> Result<String, Error> {
        self.0.ok_or(Error::NotFound(named))
    }
}

impl FromRequestParts<ApiState> for TextPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        Ok(Self(path_text(parts, state).await.filter(|text| !text.contains('\0'))))
    }
}

async fn path_text(parts: &mut Parts, state: &ApiState) -> Option<String> {
    Path::<String>::from_request_parts(parts, state).await.ok().map(|Path(text)| text)
}

/// The one parameter of a path, for the document.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "read by the document alone")]
struct IdParameter {
    /// The id of the thing, a UUID.
    id: uuid::Uuid,
}

impl<T> OperationInput for IdPath<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        let schema = ctx.schema.subschema_for::<IdParameter>();
        let parameters = parameters_from_schema(ctx, schema, ParamLocation::Path);
        add_parameters(ctx, operation, parameters);
    }
}

// Its name differs from route to route: the route's own documentation adds it, as a [`PathDocs`].
impl OperationInput for TextPath {}

/// Documents the parameters of a path, one for each member of `T`.
#[derive(Debug)]
pub struct PathDocs<T>(std::marker::PhantomData<T>);

impl<T: JsonSchema> OperationInput for PathDocs<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        let schema = ctx.schema.subschema_for::<T>();
        let parameters = parameters_from_schema(ctx, schema, ParamLocation::Path);
        add_parameters(ctx, operation, parameters);
    }
}

/// `If-Match` (RFC 9110 §13.1.1), judged when it is read, as [`Params`].
#[derive(Debug)]
#[must_use]
pub struct IfMatch(Result<Precondition, Error>);

impl IfMatch {
    /// The versions that the caller has seen.
    ///
    /// # Errors
    /// A violation of `If-Match`.
    pub fn read(self) -> Result<Precondition, Error> {
        self.0
    }
}

impl FromRequestParts<ApiState> for IfMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &ApiState) -> Result<Self, Infallible> {
        Ok(Self(if_match(&parts.headers)))
    }
}

fn if_match(headers: &HeaderMap) -> Result<Precondition, Error> {
    let invalid =
        || Error::invalid("If-Match", FieldCode::InvalidFormat, "must be * or a list of quoted versions, as in ETag");
    let mut versions = Vec::new();
    let mut present = false;
    for value in headers.get_all(IF_MATCH) {
        present = true;
        for tag in value.to_str().map_err(|_| invalid())?.split(',').map(str::trim) {
            if tag == "*" {
                return Ok(Precondition::None);
            }
            let opaque = tag.strip_prefix("W/").unwrap_or(tag);
            let inner = opaque.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or_else(invalid)?;
            // Weak tags never match here (strong comparison), and a tag of another making is no version of ours.
            if opaque == tag
                && let Ok(version) = inner.parse::<i64>()
                // Tags are compared letter by letter: `"05"` is not `"5"`.
                && version.to_string() == inner
            {
                versions.push(version);
            }
        }
    }
    Ok(if present { Precondition::Versions(versions) } else { Precondition::None })
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "read by the document alone")]
struct IfMatchParameter {
    /// The version that the change is based on, as in `ETag`, or `*`.
    #[serde(rename = "If-Match")]
    #[serde(default)]
    #[schemars(with = "String")]
    if_match: Option<String>,
}

impl OperationInput for IfMatch {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        let schema = ctx.schema.subschema_for::<IfMatchParameter>();
        let parameters = parameters_from_schema(ctx, schema, ParamLocation::Header);
        add_parameters(ctx, operation, parameters);
    }
}
