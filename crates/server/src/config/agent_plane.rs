//! How the agent plane finds a request's tenant (contract, `agent-plane.md`).
//!
//! The resolver chain and the agent plane's writes read it.
//! Invariant: a name in `TENANT_RESOLVERS` is one that the chain can build, and stands there once.

use super::reader::Reader;

/// A resolver of crate `tenancy` that a configuration can name. Add yours here, and its name in [`ResolverName::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResolverName {
    /// `X-Tenant-Id`.
    Header,
    /// The token's tenant.
    Claim,
    /// The API key's tenant.
    ApiKey,
    /// The request's host.
    Host,
    /// The request's path.
    Path,
}

impl ResolverName {
    /// All names, as they are written in the configuration.
    pub const ALL: [(&'static str, Self); 5] = [
        ("header", Self::Header),
        ("claim", Self::Claim),
        ("api_key", Self::ApiKey),
        ("host", Self::Host),
        ("path", Self::Path),
    ];

    fn parse(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text).map(|(_, resolver)| *resolver);
        found.ok_or_else(|| {
            format!("must hold names out of {}", Self::ALL.map(|(name, _)| format!("`{name}`")).join(", "))
        })
    }
}

/// The agent plane.
#[derive(Debug, Clone)]
pub struct AgentPlaneConfig {
    /// `TENANT_RESOLVERS`, in order.
    pub resolvers: Vec<ResolverName>,
    /// `AGENT_DEFAULT_TENANT`; none refuses requests that name no tenant.
    pub default_tenant: Option<String>,
    /// `AGENT_AUTO_CREATE_TENANTS`.
    pub auto_create_tenants: bool,
}

impl AgentPlaneConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut seen = Vec::new();
        let resolvers = reader.list("TENANT_RESOLVERS", |text| {
            let resolver = ResolverName::parse(text)?;
            if seen.contains(&resolver) {
                return Err(format!("names `{text}` twice"));
            }
            seen.push(resolver);
            Ok(resolver)
        });
        Self {
            resolvers,
            default_tenant: reader.optional_text("AGENT_DEFAULT_TENANT"),
            auto_create_tenants: reader.boolean("AGENT_AUTO_CREATE_TENANTS"),
        }
    }
}
