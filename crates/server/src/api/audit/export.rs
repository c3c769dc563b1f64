//! GET `/v1/audit/export`

use std::io;

use aide::OperationOutput;
use aide::generate::GenContext;
use aide::openapi::{MediaType, Operation, Response as DocResponse, SchemaObject, StatusCode as DocStatus};
use aide::transform::TransformOperation;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::{AuditEvent, Error};
use futures_util::stream;
use http::Method;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue, VARY};

use super::accept::{Accepted, Format};
use super::csv;
use super::filter::{filtered, judge_caller};
use super::view::EventView;
use crate::api::auth::{AuditRead, TenantScoped};
use crate::api::error::ApiError;
use crate::api::input::Params;
use crate::api::state::ApiState;
use crate::app::audit::AuditExport;

filtered! {
    /// Which events.
    ExportQuery {}
}

/// The events as they are read, page by page.
pub(super) struct ExportReply {
    format: Format,
    body: Body,
}

pub(super) async fn export_audit_events(
    TenantScoped(ctx, _): TenantScoped<AuditRead>,
    State(state): State<ApiState>,
    method: Method,
    accepted: Accepted,
    RawQuery(sent): RawQuery,
    params: Params<ExportQuery>,
) -> Result<ExportReply, ApiError> {
    judge_caller(&ctx.caller, sent.as_deref())?;
    let format = accepted.read()?;
    let request = ctx.request_id.clone();
    let filter = params.read()?.filter()?;
    let mut export = state.app.export_audit_events(ctx, filter).await?;
    // The first page comes before the answer, so that a store that is away is a 503 and no broken file. Who asks for the
    // head alone makes nobody read the log.
    let first = if method == Method::HEAD { None } else { export.next().await? };
    let mut start = match format {
        Format::Csv => csv::header()?,
        Format::Ndjson => Vec::new(),
    };
    start.extend(render(format, first.as_deref().unwrap_or_default())?);
    let rest = stream::try_unfold((export, Some(start), request), move |(mut export, start, request)| async move {
        let bytes = match start {
            Some(start) => start,
            None => match next(format, &mut export).await {
                Ok(Some(bytes)) => bytes,
                Ok(None) => return Ok(None),
                Err(error) => {
                    // The answer has begun, so this is no longer inside the request's own span.
                    let request_id = request.as_deref().unwrap_or_default();
                    tracing::warn!(%error, request_id, "an export broke off");
                    // Ends the connection without the file's end: half an export must not look like a whole one.
                    return Err(io::Error::other("the export broke off"));
                }
            },
        };
        Ok(Some((Bytes::from(bytes), (export, None, request))))
    });
    Ok(ExportReply { format, body: Body::from_stream(rest) })
}

async fn next(format: Format, export: &mut AuditExport) -> Result<Option<Vec<u8>>, Error> {
    while let Some(events) = export.next().await? {
        if !events.is_empty() {
            return Ok(Some(render(format, &events)?));
        }
    }
    Ok(None)
}

fn render(format: Format, events: &[AuditEvent]) -> Result<Vec<u8>, Error> {
    let events = events.iter().map(EventView::from);
    match format {
        Format::Csv => csv::lines(events),
        Format::Ndjson => {
            let mut bytes = Vec::new();
            for event in events {
                serde_json::to_writer(&mut bytes, &event).map_err(Error::internal)?;
                bytes.push(b'\n');
            }
            Ok(bytes)
        }
    }
}

impl IntoResponse for ExportReply {
    fn into_response(self) -> Response {
        let (media, disposition) = match self.format {
            Format::Csv => ("text/csv; charset=utf-8", "attachment; filename=\"audit.csv\""),
            Format::Ndjson => ("application/x-ndjson", "attachment; filename=\"audit.ndjson\""),
        };
        let mut response = Response::new(self.body);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
        headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static(disposition));
        headers.insert(VARY, HeaderValue::from_static("accept"));
        response
    }
}

impl OperationOutput for ExportReply {
    type Inner = String;

    fn inferred_responses(ctx: &mut GenContext, _operation: &mut Operation) -> Vec<(Option<DocStatus>, DocResponse)> {
        let mut response = DocResponse { description: "The events.".to_owned(), ..DocResponse::default() };
        for format in [Format::Csv, Format::Ndjson] {
            let json_schema = ctx.schema.subschema_for::<String>();
            let schema = SchemaObject { json_schema, example: None, external_docs: None };
            response
                .content
                .insert(format.media_type().to_owned(), MediaType { schema: Some(schema), ..MediaType::default() });
        }
        vec![(Some(DocStatus::Code(200)), response)]
    }
}

pub(super) fn docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    super::documented(
        operation,
        "export_audit_events",
        "Export audit events",
        "What the list shows of everything that was received until now, newest first: as CSV (RFC 4180, one header for every \
         export, maps as JSON; a value that a spreadsheet would take for a formula begins with an apostrophe), or with \
         `Accept: application/x-ndjson` an event a line. 406 for another `Accept`. An export that breaks off ends the \
         connection before the end of the body.",
    )
}
