//! Who is behind a request, after the credential has been verified.
//!
//! Authentication makes a [`Principal`], resolvers and handlers read it. Invariant: a principal is made only of a credential
//! that was verified; nothing in it is what the caller merely says.

use crate::id::TenantId;

/// Who is behind a request: what a verified credential says.
///
/// A principal without a tenant is bound to none, as an operator's token is; what a request names then counts.
///
/// ```
/// use tenancy::{Principal, PrincipalKind};
///
/// let principal = Principal::token("user-7").with_tenant("acme").with_scopes(["orders:read"]);
/// assert_eq!(principal.kind, PrincipalKind::Token);
/// assert!(principal.has_scope("orders:read") && !principal.has_scope("orders:write"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// What kind of credential it was.
    pub kind: PrincipalKind,
    /// The tenant that the credential belongs to. None is a credential that is bound to no tenant.
    pub tenant: Option<TenantId>,
    /// Whom the credential stands for: a token's `sub` (RFC 7519 §4.1.2), a key's id. Never the credential itself.
    pub subject: String,
    /// What the credential is good for, in the deployment's own words.
    pub scopes: Vec<String>,
}

/// What kind of credential a [`Principal`] came with.
///
/// ```
/// assert_ne!(tenancy::PrincipalKind::Token, tenancy::PrincipalKind::ApiKey);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PrincipalKind {
    /// A signed token, such as a JSON Web Token.
    Token,
    /// A key that the server itself gave out.
    ApiKey,
}

impl Principal {
    /// The bearer of a signed token, bound to no tenant and without scopes.
    ///
    /// ```
    /// assert_eq!(tenancy::Principal::token("user-7").subject, "user-7");
    /// ```
    #[must_use]
    pub fn token(subject: impl Into<String>) -> Self {
        Self { kind: PrincipalKind::Token, tenant: None, subject: subject.into(), scopes: Vec::new() }
    }

    /// The holder of a key, bound to no tenant and without scopes.
    ///
    /// ```
    /// assert_eq!(tenancy::Principal::api_key("key-7").kind, tenancy::PrincipalKind::ApiKey);
    /// ```
    #[must_use]
    pub fn api_key(subject: impl Into<String>) -> Self {
        Self { kind: PrincipalKind::ApiKey, ..Self::token(subject) }
    }

    /// The same, bound to a tenant.
    ///
    /// ```
    /// let principal = tenancy::Principal::token("user-7").with_tenant("acme");
    /// assert!(principal.tenant.is_some_and(|id| id == "acme"));
    /// ```
    #[must_use]
    pub fn with_tenant(mut self, tenant: impl Into<TenantId>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// The same, with these scopes and no others.
    ///
    /// ```
    /// let principal = tenancy::Principal::token("user-7").with_scopes(["a", "b"]);
    /// assert_eq!(principal.scopes, ["a", "b"]);
    /// ```
    #[must_use]
    pub fn with_scopes(mut self, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// Whether the credential has this scope, byte by byte; one scope includes no other.
    ///
    /// ```
    /// assert!(!tenancy::Principal::token("user-7").has_scope("orders:read"));
    /// ```
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|own| own == scope)
    }
}
