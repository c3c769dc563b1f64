//! Answers with a body: JSON, a status that the document knows from the type, and a few headers.
//!
//! Invariant: the schema in the document is the one of the type that was serialised.

use std::marker::PhantomData;

use aide::OperationOutput;
use aide::generate::GenContext;
use aide::openapi::{MediaType, Operation, Response as DocResponse, SchemaObject, StatusCode as DocStatus};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::Error;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use super::error::ApiError;

/// Set on an answer that was kept from an earlier request.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// JSON of a `T`, with a status.
#[derive(Debug)]
pub struct Reply<T, const STATUS: u16 = 200> {
    headers: HeaderMap,
    body: Bytes,
    schema: PhantomData<fn() -> T>,
}

impl<T, const STATUS: u16> Reply<T, STATUS> {
    /// Serialises a value whose schema is that of `T` (a borrowing view of it, as a rule).
    ///
    /// # Errors
    /// `Internal`, which a value made of maps and texts cannot cause.
    pub fn of(value: &impl Serialize) -> Result<Self, ApiError> {
        // Roomy enough for a tenant and for the headers that the manners add, so that neither grows step by step.
        let mut body = Vec::with_capacity(1_024);
        serde_json::to_writer(&mut body, value).map_err(Error::internal)?;
        Ok(Self::from_body(body.into()))
    }

    /// An answer that was serialised before, by [`Reply::of`].
    #[must_use]
    pub fn from_body(body: Bytes) -> Self {
        Self { headers: HeaderMap::with_capacity(12), body, schema: PhantomData }
    }

    /// What was serialised, to be kept.
    #[must_use]
    pub fn into_body(self) -> Bytes {
        self.body
    }

    /// With a header. A value that cannot be one is left out.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Marks an answer that was kept from an earlier request.
    #[must_use]
    pub fn replayed(self, replayed: bool) -> Self {
        if replayed { self.header(REPLAYED, "true") } else { self }
    }
}

impl<T, const STATUS: u16> IntoResponse for Reply<T, STATUS> {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = StatusCode::from_u16(STATUS).unwrap_or(StatusCode::OK);
        *response.headers_mut() = self.headers;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

impl<T: JsonSchema, const STATUS: u16> OperationOutput for Reply<T, STATUS> {
    type Inner = T;

    fn operation_response(ctx: &mut GenContext, _operation: &mut Operation) -> Option<DocResponse> {
        let json_schema = ctx.schema.subschema_for::<T>();
        let resolved = ctx.resolve_schema(&json_schema);
        let description =
            resolved.get("description").and_then(|text| text.as_str()).unwrap_or("The answer.").to_owned();
        let media = MediaType {
            schema: Some(SchemaObject { json_schema, example: None, external_docs: None }),
            ..MediaType::default()
        };
        let mut response = DocResponse { description, ..DocResponse::default() };
        response.content.insert("application/json".to_owned(), media);
        Some(response)
    }

    fn inferred_responses(ctx: &mut GenContext, operation: &mut Operation) -> Vec<(Option<DocStatus>, DocResponse)> {
        let response = Self::operation_response(ctx, operation);
        response.map(|response| (Some(DocStatus::Code(STATUS)), response)).into_iter().collect()
    }
}

/// The answer of a PUT: 201 for what is new, 200 for what was there.
#[derive(Debug)]
pub enum Put<T> {
    /// It is new.
    Created(Reply<T, 201>),
    /// It was there.
    Replaced(Reply<T>),
}

impl<T> IntoResponse for Put<T> {
    fn into_response(self) -> Response {
        match self {
            Self::Created(reply) => reply.into_response(),
            Self::Replaced(reply) => reply.into_response(),
        }
    }
}

impl<T: JsonSchema> OperationOutput for Put<T> {
    type Inner = T;

    fn inferred_responses(ctx: &mut GenContext, operation: &mut Operation) -> Vec<(Option<DocStatus>, DocResponse)> {
        let mut responses = Reply::<T, 201>::inferred_responses(ctx, operation);
        responses.extend(Reply::<T, 200>::inferred_responses(ctx, operation));
        responses
    }
}

/// 204.
#[derive(Debug)]
pub struct NoContent;

impl IntoResponse for NoContent {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

impl OperationOutput for NoContent {
    type Inner = ();

    fn inferred_responses(_ctx: &mut GenContext, _operation: &mut Operation) -> Vec<(Option<DocStatus>, DocResponse)> {
        let response = DocResponse { description: "Done.".to_owned(), ..DocResponse::default() };
        vec![(Some(DocStatus::Code(204)), response)]
    }
}
