//! The body of a publication: one event, or an array of them.
//!
//! It is read typed at first, which most bodies pass; only one that does not is read again with the schema, to say what is
//! wrong with it. Invariant: both ways take and refuse the same; the rules of the fields are the domain's.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use aide::OperationInput;
use aide::generate::GenContext;
use aide::openapi::{MediaType, Operation, RequestBody, SchemaObject};
use aide::operation::set_body;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use domain::audit::publish::{ACTION_MAX, DESCRIPTION_MAX, EVENTS_MAX, HREF_MAX, ID_MAX, MAP_MAX, NAME_MAX};
use domain::error::VIOLATIONS_MAX;
use domain::{Crud, Error, FieldCode, NewEvent, NewGroup, Party, Violation};
use http::HeaderMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::view::CrudWord;
use crate::api::error::ApiError;
use crate::api::input::{JSON, check_media_type, collect, malformed};
use crate::api::json;
use crate::api::state::ApiState;
use crate::app::audit::Publication;

/// The largest body, in bytes.
pub(super) const BODY_MAX: usize = 8 << 20;

/// An event to be published.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PublishEvent {
    /// What was done, as `user.login`.
    #[schemars(length(min = 1, max = ACTION_MAX))]
    action: String,
    /// What kind of thing that is.
    #[schemars(with = "CrudWord")]
    #[serde(deserialize_with = "word")]
    crud: Crud,
    /// Whose it is; the caller's own tenant where nobody says, and no tenant's for callers who have none.
    #[schemars(with = "Option<PublishGroup>")]
    group: Option<Object<PublishGroup>>,
    /// When it happened; when it was received, where nobody says.
    #[schemars(extend("format" = "date-time"))]
    created: Option<String>,
    /// Who did it; required unless `is_anonymous`.
    #[schemars(with = "Option<PublishActor>")]
    actor: Option<Object<PublishActor>>,
    /// To what it was done.
    #[schemars(with = "Option<PublishTarget>")]
    target: Option<Object<PublishTarget>>,
    /// From where: an IPv4 or IPv6 address.
    source_ip: Option<String>,
    /// In words.
    #[schemars(length(max = DESCRIPTION_MAX))]
    description: Option<String>,
    /// Whether nobody is named.
    is_anonymous: Option<bool>,
    /// Whether it failed.
    is_failure: Option<bool>,
    /// Details: at most 50 members, keys of at most 40 characters, values of at most 500.
    #[schemars(with = "Option<BTreeMap<String, String>>", extend("maxProperties" = MAP_MAX))]
    fields: Option<Texts>,
    /// The sender's component.
    #[schemars(length(max = NAME_MAX))]
    component: Option<String>,
    /// The sender's version.
    #[schemars(length(max = NAME_MAX))]
    version: Option<String>,
    /// The sender's own id of the event: a second one of its tenant with the same is the first one again.
    #[schemars(length(min = 1, max = ID_MAX))]
    external_id: Option<String>,
    /// Carried along, with the limits of `fields`; `request_id` is added where the sender has none.
    #[schemars(with = "Option<BTreeMap<String, String>>", extend("maxProperties" = MAP_MAX))]
    metadata: Option<Texts>,
}

/// The tenant that an event belongs to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PublishGroup {
    /// The tenant's id.
    #[schemars(length(min = 1, max = ID_MAX))]
    id: String,
    /// Its name; the tenant's own where nobody says.
    #[schemars(length(max = NAME_MAX))]
    name: Option<String>,
}

/// Who did it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PublishActor {
    /// What they are known by.
    #[schemars(length(min = 1, max = ID_MAX))]
    id: String,
    /// What people call them.
    #[schemars(length(max = NAME_MAX))]
    name: Option<String>,
    /// Where they can be looked at.
    #[schemars(length(max = HREF_MAX))]
    href: Option<String>,
    /// More about them, with the limits of the event's `fields`.
    #[schemars(with = "Option<BTreeMap<String, String>>", extend("maxProperties" = MAP_MAX))]
    fields: Option<Texts>,
}

/// To what it was done.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PublishTarget {
    /// What it is known by.
    #[schemars(length(min = 1, max = ID_MAX))]
    id: String,
    /// What people call it.
    #[schemars(length(max = NAME_MAX))]
    name: Option<String>,
    /// What kind of thing it is.
    #[schemars(length(max = NAME_MAX))]
    r#type: Option<String>,
    /// Where it can be looked at.
    #[schemars(length(max = HREF_MAX))]
    href: Option<String>,
    /// More about it, with the limits of the event's `fields`.
    #[schemars(with = "Option<BTreeMap<String, String>>", extend("maxProperties" = MAP_MAX))]
    fields: Option<Texts>,
}

/// What is sent as an object, and as nothing else: serde takes the members of a struct from an array too, in their order.
#[derive(Debug)]
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members)).map(Object)
            }
        }
        reader.deserialize_map(Members(PhantomData))
    }
}

/// A word, sent as a text and as nothing else: serde takes one from the name of a member too.
fn word<'de, D: Deserializer<'de>>(reader: D) -> Result<Crud, D::Error> {
    let word = String::deserialize(reader)?;
    Crud::from_word(&word).ok_or_else(|| serde::de::Error::custom("not a word of this list"))
}

/// A map of texts in which no name stands twice.
#[derive(Debug, Default)]
struct Texts(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Texts, A::Error> {
                let mut map = BTreeMap::new();
                while let Some((name, value)) = members.next_entry::<String, String>()? {
                    if map.insert(name, value).is_some() {
                        return Err(serde::de::Error::custom("a member stands twice"));
                    }
                }
                Ok(Texts(map))
            }
        }
        reader.deserialize_map(Members)
    }
}

fn texts(texts: Option<Texts>) -> BTreeMap<String, String> {
    texts.unwrap_or_default().0
}

impl From<PublishEvent> for NewEvent {
    fn from(event: PublishEvent) -> Self {
        Self {
            action: event.action,
            crud: event.crud,
            group: event.group.map(|Object(group)| NewGroup { id: group.id, name: group.name }),
            created: event.created,
            actor: event.actor.map(|Object(actor)| Party {
                id: actor.id,
                name: actor.name,
                kind: None,
                href: actor.href,
                fields: texts(actor.fields),
            }),
            target: event.target.map(|Object(target)| Party {
                id: target.id,
                name: target.name,
                kind: target.r#type,
                href: target.href,
                fields: texts(target.fields),
            }),
            source_ip: event.source_ip,
            description: event.description,
            is_anonymous: event.is_anonymous.unwrap_or_default(),
            is_failure: event.is_failure.unwrap_or_default(),
            fields: texts(event.fields),
            component: event.component,
            version: event.version,
            external_id: event.external_id,
            metadata: texts(event.metadata),
        }
    }
}

/// The events of a body.
#[derive(Debug)]
pub(super) struct Events {
    /// What was sent.
    pub(super) publication: Publication,
    /// The bytes, for the fingerprint of an idempotent request.
    pub(super) bytes: Bytes,
}

impl FromRequest<ApiState> for Events {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, ApiError> {
        let (headers, bytes) = collect(request, BODY_MAX).await?;
        Ok(Self { publication: read(state, &headers, &bytes)?, bytes })
    }
}

fn read(state: &ApiState, headers: &HeaderMap, bytes: &[u8]) -> Result<Publication, ApiError> {
    if bytes.is_empty() {
        return careful(state, Value::Object(Map::new()));
    }
    check_media_type(headers, &[JSON])?;
    if let Some(publication) = typed(bytes) {
        return Ok(publication);
    }
    if std::str::from_utf8(bytes).is_err() {
        return Err(malformed("the body is not UTF-8"));
    }
    careful(state, json::parse(bytes).map_err(|error| malformed(format!("the body is not JSON: {error}")))?)
}

/// What most bodies are. None for everything that has something to be said of.
fn typed(bytes: &[u8]) -> Option<Publication> {
    // A NUL can only be written so; whether this is one, and where, is seen with the whole in hand.
    if std::str::from_utf8(bytes).ok()?.contains("\\u0000") {
        return None;
    }
    let is_array = bytes.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'[');
    if !is_array {
        let Object::<PublishEvent>(event) = serde_json::from_slice(bytes).ok()?;
        return Some(Publication { events: vec![event.into()], is_array });
    }
    let events: Vec<Object<PublishEvent>> = serde_json::from_slice(bytes).ok()?;
    let events: Vec<NewEvent> = events.into_iter().map(|Object(event)| event.into()).collect();
    (1..=EVENTS_MAX).contains(&events.len()).then_some(Publication { events, is_array })
}

/// Reads a value with the schema, and says everything that is wrong with it.
fn careful(state: &ApiState, value: Value) -> Result<Publication, ApiError> {
    if let Some(field) = json::find_nul(&value) {
        return Err(Error::invalid(field, FieldCode::NotAllowed, "must not contain NUL").into());
    }
    let items = match value {
        Value::Array(items) => items,
        Value::Object(_) => {
            let event: PublishEvent = state.schemas.read(value)?;
            return Ok(Publication { events: vec![event.into()], is_array: false });
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            return Err(Error::invalid("", FieldCode::WrongType, "must be an event, or an array of events").into());
        }
    };
    if items.is_empty() {
        return Err(Error::invalid("", FieldCode::TooShort, "must have at least 1 event").into());
    }
    if items.len() > EVENTS_MAX {
        let message = format!("may have at most {EVENTS_MAX} events");
        return Err(Error::invalid("", FieldCode::TooLong, message).into());
    }
    let (mut events, mut violations) = (Vec::with_capacity(items.len()), Vec::new());
    for (place, item) in items.into_iter().enumerate() {
        match state.schemas.read::<PublishEvent>(item) {
            Ok(event) => {
                let event = NewEvent::from(event);
                event.check(&format!("{place}."), &mut violations);
                events.push(event);
            }
            Err(Error::Validation(broken)) => violations.extend(broken.into_iter().map(|one| {
                let field = if one.field.is_empty() { place.to_string() } else { format!("{place}.{}", one.field) };
                Violation { field, ..one }
            })),
            Err(other) => return Err(other.into()),
        }
        // As many as are told at once.
        if violations.len() > VIOLATIONS_MAX {
            violations.truncate(VIOLATIONS_MAX);
            break;
        }
    }
    if violations.is_empty() {
        Ok(Publication { events, is_array: true })
    } else {
        Err(Error::Validation(violations).into())
    }
}

/// What the document says of the body.
struct OneOrMany;

impl JsonSchema for OneOrMany {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Publication".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let event = generator.subschema_for::<PublishEvent>();
        json_schema!({
            "description": "An event, or 1 to 1,000 of them.",
            "oneOf": [event, { "type": "array", "items": event, "minItems": 1, "maxItems": EVENTS_MAX }],
        })
    }
}

impl OperationInput for Events {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        let json_schema = ctx.schema.subschema_for::<OneOrMany>();
        let schema = SchemaObject { json_schema, example: None, external_docs: None };
        let mut body = RequestBody { required: true, ..RequestBody::default() };
        body.content.insert(JSON.to_owned(), MediaType { schema: Some(schema), ..MediaType::default() });
        set_body(ctx, operation, body);
    }
}
