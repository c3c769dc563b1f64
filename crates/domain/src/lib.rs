//! What a tenant, a host route and an audit event **are**, and the rules of each.
//!
//! The server and the client decide by this same code. There is no I/O here, nothing asynchronous, no clock and no
//! generator: time and randomness come in as parameters. One file per resource.

pub mod access;
pub mod api_key;
pub mod audit;
pub mod catalog_request;
pub mod change;
pub mod entitlement;
pub mod error;
pub mod host;
pub mod ids;
pub mod product;
pub mod provisioning;
pub mod secret;
pub mod slug;
pub mod tenant;
pub mod text;
pub mod time;
mod words;

pub use access::{Caller, CallerKind, Reach};
pub use api_key::{ApiKey, KeyEnv, KeyHash, Minted, NewApiKey, VerifyCode};
pub use audit::{ActionPattern, AuditBatch, AuditEvent, Crud, NewEvent, NewGroup, Party};
pub use catalog_request::{CatalogRequest, RequestStatus};
pub use change::{Change, ChangeKind, ChangeOp, ChangeSeq, NewChange};
pub use entitlement::{Entitlement, EntitlementState, Grant, GrantState, Limit, Limits};
pub use error::{Error, FieldCode, Resource, Result, Violation};
pub use host::{HostRoute, Nesting};
pub use ids::{ACME, ApiKeyId, CatalogRequestId, EntitlementId, EventId, TenantId};
pub use product::{Product, ProductInput, ProductKey};
pub use provisioning::{IdentityWork, Provisioning, ProvisioningStatus};
pub use secret::Secret;
pub use slug::{ReservedSlugs, Slug};
pub use tenant::{MetadataPatch, NewTenant, Plan, Status, StatusReason, Tenant, TenantPatch};
pub use time::{Clock, Rng, Timestamp};
