//! What can go wrong, in the words of the domain. It knows no HTTP and no SQL.
//!
//! `app` returns it, `api/error.rs` maps it to problem+json in one exhaustive match. Invariant: what is in a public
//! field may be read by the caller; what only the log may say travels in `internal` and never leaves the process.

use std::fmt;

use crate::tenant::Status;

/// The result of everything above the store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation did not happen.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Well-formed input that breaks a rule. Never empty.
    #[error("validation failed: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Validation(Vec<Violation>),
    /// No such thing, or another tenant's: both look the same.
    #[error("{0} not found")]
    NotFound(Resource),
    /// No credential, or one that is no good. The text says which, for the log and the caller.
    #[error("unauthenticated: {0}")]
    Unauthenticated(&'static str),
    /// Known, but not allowed to do this.
    #[error("forbidden: {0}")]
    Forbidden(&'static str),
    /// The credential names several tenants that are not one.
    #[error("the credential names tenants that disagree")]
    TenantMismatch,
    /// What is to be looked up names tenants that are not one, or names some that are and some that are not there.
    #[error("the look-ups do not lead to one tenant")]
    LookupsDisagree,
    /// The caller's tenant is frozen, and this would change something.
    #[error("the tenant is frozen")]
    TenantFrozen,
    /// `If-Match` named another version than the current one.
    #[error("version mismatch: current version is {current}")]
    VersionMismatch {
        /// The version that the thing has now.
        current: i64,
    },
    /// The slug belongs to another tenant.
    #[error("the slug `{slug}` is taken")]
    SlugTaken {
        /// The slug in question.
        slug: String,
    },
    /// The route belongs to another tenant, or overlaps one of another tenant.
    #[error("the host route `{host}{prefix}` is taken")]
    HostTaken {
        /// Host in normal form.
        host: String,
        /// Path prefix in normal form.
        prefix: String,
    },
    /// The tenant's status does not allow this step.
    #[error("cannot {action} a tenant that is {from}")]
    InvalidTransition {
        /// The status that the tenant has now.
        from: Status,
        /// What was asked for.
        action: &'static str,
    },
    /// No product of the catalog has this key.
    #[error("the product `{product}` is not known")]
    UnknownProduct {
        /// The key in question.
        product: String,
    },
    /// The product is not one that can be asked for.
    #[error("the product `{product}` cannot be requested")]
    ProductNotRequestable {
        /// The product's key.
        product: String,
    },
    /// Some tenant has, or had, the product.
    #[error("the product `{product}` is in use")]
    ProductInUse {
        /// The product's key.
        product: String,
    },
    /// The tenant has asked for this product, and nobody has decided yet.
    #[error("a request for `{product}` is open already")]
    RequestAlreadyOpen {
        /// The product's key.
        product: String,
    },
    /// Somebody decided the request before.
    #[error("the request was {status} already")]
    RequestAlreadyDecided {
        /// What became of it.
        status: &'static str,
    },
    /// The tenant had its trial of this product.
    #[error("the trial of `{product}` was used already")]
    TrialAlreadyUsed {
        /// The product's key.
        product: String,
    },
    /// The tenant has the product.
    #[error("the entitlement to `{product}` is active already")]
    EntitlementAlreadyActive {
        /// The product's key.
        product: String,
    },
    /// The key is at its end, or has a successor.
    #[error("the key cannot be rotated: {why}")]
    KeyNotRotatable {
        /// In what state it is.
        why: &'static str,
    },
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    IdempotencyKeyReused,
    /// The first request with this idempotency key is still running.
    #[error("the first request with this idempotency key is still running")]
    IdempotencyInProgress,
    /// The cursor is not one of this list with these filters.
    #[error("the cursor is not one of this list")]
    InvalidCursor,
    /// Something that this service needs is away; trying again may help.
    #[error("unavailable: {internal}")]
    Unavailable {
        /// For the log only.
        internal: String,
    },
    /// It took longer than allowed, and was given up.
    #[error("timed out: {internal}")]
    Timeout {
        /// For the log only.
        internal: String,
    },
    /// A fault of ours.
    #[error("internal: {internal}")]
    Internal {
        /// For the log only.
        internal: String,
    },
}

impl Error {
    /// One violation, as an error.
    #[must_use]
    pub fn invalid(field: impl Into<String>, code: FieldCode, message: impl Into<String>) -> Self {
        Self::Validation(vec![Violation::new(field, code, message)])
    }

    /// A fault of ours, with what the log should say.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self::Internal { internal: cause.to_string() }
    }
}

/// What kind of thing was not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// A tenant named in the path.
    Tenant,
    /// A tenant named in a body, a query or a credential.
    NamedTenant,
    /// What a tenant has of a product.
    Entitlement,
    /// A product of the catalog.
    Product,
    /// A request for a product.
    CatalogRequest,
    /// An API key.
    ApiKey,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tenant | Self::NamedTenant => "tenant",
            Self::Entitlement => "entitlement",
            Self::Product => "product",
            Self::CatalogRequest => "request",
            Self::ApiKey => "API key",
        })
    }
}

/// How many broken rules are told at once: an answer must not be larger than what it is about.
pub const VIOLATIONS_MAX: usize = 100;

/// One broken rule of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field, with dots (`metadata.colour`, `hosts.0`). Empty: the whole input.
    pub field: String,
    /// Which rule.
    pub code: FieldCode,
    /// The rule and the value's problem, for a person.
    pub message: String,
}

impl Violation {
    /// A violation of `field`.
    pub fn new(field: impl Into<String>, code: FieldCode, message: impl Into<String>) -> Self {
        Self { field: field.into(), code, message: message.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.field, self.message, self.code)
    }
}

/// The stable codes of field errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldCode {
    /// A member that must be there is not.
    Required,
    /// A member or parameter that this operation does not know.
    UnknownField,
    /// Another JSON type, or a null where none may be.
    WrongType,
    /// Fewer characters or members than allowed.
    TooShort,
    /// More characters or members than allowed.
    TooLong,
    /// A number outside its range.
    OutOfRange,
    /// Text that does not have the wanted form.
    InvalidFormat,
    /// A value that is well-formed and refused all the same.
    NotAllowed,
}

impl FieldCode {
    /// All of them, for the document.
    pub const ALL: [Self; 8] = [
        Self::Required,
        Self::UnknownField,
        Self::WrongType,
        Self::TooShort,
        Self::TooLong,
        Self::OutOfRange,
        Self::InvalidFormat,
        Self::NotAllowed,
    ];

    /// The code as it stands in an answer.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::UnknownField => "unknown_field",
            Self::WrongType => "wrong_type",
            Self::TooShort => "too_short",
            Self::TooLong => "too_long",
            Self::OutOfRange => "out_of_range",
            Self::InvalidFormat => "invalid_format",
            Self::NotAllowed => "not_allowed",
        }
    }
}

impl fmt::Display for FieldCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
