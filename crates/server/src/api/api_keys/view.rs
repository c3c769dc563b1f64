//! An API key on the wire, and a new one with its text.
//!
//! Invariant: the text of a key stands in the answer that made it and in no other.

use domain::{ApiKey, Minted, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::api::error::ApiError;
use crate::api::reply::Reply;
use crate::app::Once;

/// An API key, without its text.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ApiKey")]
pub struct ApiKeyView<'a> {
    /// Its id, a UUIDv7, which is no secret.
    id: Uuid,
    /// Whose it is; null for a key of the platform.
    tenant_id: Option<Uuid>,
    /// Its name for people.
    name: &'a str,
    /// What it begins with, whole.
    prefix: &'a str,
    /// What it ends with.
    last_four: &'a str,
    /// What it may be used for.
    scopes: &'a [String],
    /// When its time is over.
    expires_at: Option<Timestamp>,
    /// When it was made.
    created_at: Timestamp,
    /// Who made it.
    created_by: &'a str,
    /// When it was last good for something, to about a minute.
    last_used_at: Option<Timestamp>,
    /// When it was revoked.
    revoked_at: Option<Timestamp>,
}

impl<'a> From<&'a ApiKey> for ApiKeyView<'a> {
    fn from(key: &'a ApiKey) -> Self {
        Self {
            id: key.id.0,
            tenant_id: key.tenant_id.map(|id| id.0),
            name: &key.name,
            prefix: &key.prefix,
            last_four: &key.last_four,
            scopes: &key.scopes,
            expires_at: key.expires_at,
            created_at: key.created_at,
            created_by: &key.created_by,
            last_used_at: key.last_used_at,
            revoked_at: key.revoked_at,
        }
    }
}

/// A key that was just made.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "NewApiKey")]
pub struct MintedView<'a> {
    /// The key.
    api_key: ApiKeyView<'a>,
    /// Its text, shown this once; null when the answer repeats an earlier one.
    plaintext: Option<&'a str>,
}

/// The answer that a key was made.
pub(super) fn minted(once: &Once<Minted>) -> Result<Reply<MintedView<'static>, 201>, ApiError> {
    let Minted { key, plaintext } = &once.outcome;
    let view = MintedView { api_key: key.into(), plaintext: plaintext.as_ref().map(|secret| secret.expose()) };
    // No `Location`: a key by itself is not read anywhere.
    Ok(Reply::of(&view)?.replayed(once.replayed))
}
