//! Events as CSV (RFC 4180): one header for every export, and no cell that a spreadsheet would run.
//!
//! Invariant: the columns are the same whatever the events have in them.

use std::collections::BTreeMap;

use csv::{Terminator, Writer, WriterBuilder};
use domain::{Error, Result};

use super::view::EventView;

/// The columns, in order.
const HEADER: [&str; 25] = [
    "id",
    "action",
    "crud",
    "group_id",
    "group_name",
    "actor_id",
    "actor_name",
    "actor_href",
    "actor_fields",
    "target_id",
    "target_name",
    "target_type",
    "target_href",
    "target_fields",
    "created",
    "received",
    "source_ip",
    "description",
    "is_anonymous",
    "is_failure",
    "fields",
    "component",
    "version",
    "external_id",
    "metadata",
];

/// The header as bytes.
pub(super) fn header() -> Result<Vec<u8>> {
    let mut writer = writer();
    writer.write_record(HEADER).map_err(Error::internal)?;
    writer.into_inner().map_err(Error::internal)
}

/// Events as bytes, a line each.
pub(super) fn lines<'a>(events: impl Iterator<Item = EventView<'a>>) -> Result<Vec<u8>> {
    let mut writer = writer();
    for event in events {
        for text in cells(&event)? {
            if is_formula(&text) {
                writer.write_field(format!("'{text}")).map_err(Error::internal)?;
            } else {
                writer.write_field(text).map_err(Error::internal)?;
            }
        }
        writer.write_record(None::<&[u8]>).map_err(Error::internal)?;
    }
    writer.into_inner().map_err(Error::internal)
}

fn writer() -> Writer<Vec<u8>> {
    WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new())
}

/// Whether a spreadsheet would take a text for more than one (OWASP, CSV injection); some read the full-width signs as the
/// others.
fn is_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'])
}

fn cells(event: &EventView<'_>) -> Result<[String; HEADER.len()]> {
    let own = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let json = |map: Option<&BTreeMap<String, String>>| match map {
        Some(map) => serde_json::to_string(map).map_err(Error::internal),
        None => Ok(String::new()),
    };
    let (group, actor, target) = (event.group.as_ref(), event.actor.as_ref(), event.target.as_ref());
    Ok([
        event.id.to_string(),
        event.action.to_owned(),
        event.crud.as_str().to_owned(),
        group.map(|group| group.id.to_string()).unwrap_or_default(),
        own(group.and_then(|group| group.name)),
        own(actor.map(|actor| actor.id)),
        own(actor.and_then(|actor| actor.name)),
        own(actor.and_then(|actor| actor.href)),
        json(actor.map(|actor| actor.fields))?,
        own(target.map(|target| target.id)),
        own(target.and_then(|target| target.name)),
        own(target.and_then(|target| target.r#type)),
        own(target.and_then(|target| target.href)),
        json(target.map(|target| target.fields))?,
        event.created.to_string(),
        event.received.to_string(),
        event.source_ip.map(|address| address.to_string()).unwrap_or_default(),
        own(event.description),
        event.is_anonymous.to_string(),
        event.is_failure.to_string(),
        json(Some(event.fields))?,
        own(event.component),
        own(event.version),
        own(event.external_id),
        json(Some(event.metadata))?,
    ])
}
