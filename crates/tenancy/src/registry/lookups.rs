//! Who serves a host, a path or an id: the part of the registry that is on the path of every request.
//!
//! It reads [`Routes`](super::routes::Routes) and what slots have published, and changes nothing; only the lazy look-ups
//! have something built. Invariant: nothing here waits for a change of the registry.

use std::sync::Arc;

use super::TenantRegistry;
use super::refusal::Refusal;
use super::slot::{Published, Slot};
use super::status::Resolved;
#[cfg(feature = "tower")]
use crate::id::TenantId;

/// Look-ups.
impl<P: Send + Sync + 'static> TenantRegistry<P> {
    /// Who serves `host`: as [`resolve_by_request`](Self::resolve_by_request) with the path `/`.
    ///
    /// # Errors
    /// A [`Refusal`]: the host is nobody's, or whose it is may not be served.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # use tenancy::{Register, TenantConfig, TenantRegistry};
    /// # let registry = TenantRegistry::builder().build();
    /// # registry.register("acme", TenantConfig::new("https://acme.example.com", ()), Register::default()).await.unwrap();
    /// let resolved = registry.resolve_by_host("Acme.Example.com:8443").unwrap();
    /// assert_eq!(resolved.tenant_id, "acme");
    /// # }
    /// ```
    #[inline]
    pub fn resolve_by_host(&self, host: &str) -> Result<Resolved<P>, Refusal> {
        self.resolve_by_request(host, "/")
    }

    /// Who serves `path` on `host`: the longest path prefix on a segment boundary, on the exact host, or if that is
    /// not registered on the wildcard one label above.
    ///
    /// Takes no lock, and allocates nothing for a host in normal form. The host may be as a request spells it; the
    /// path is matched as it stands, neither decoded nor folded.
    ///
    /// # Errors
    /// A [`Refusal`]: nobody is reached there ([`Refusal::UnknownHost`], also for what is no host), or whoever is may
    /// not be served.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # use tenancy::{Refusal, Register, TenantConfig, TenantRegistry};
    /// # let registry = TenantRegistry::builder().build();
    /// # registry.register("api", TenantConfig::new("https://example.com/api", ()), Register::default()).await.unwrap();
    /// assert_eq!(registry.resolve_by_request("example.com", "/api/orders").unwrap().tenant_id, "api");
    /// assert_eq!(registry.resolve_by_request("example.com", "/apis").unwrap_err(), Refusal::UnknownHost);
    /// # }
    /// ```
    #[inline]
    pub fn resolve_by_request(&self, host: &str, path: &str) -> Result<Resolved<P>, Refusal> {
        match self.inner.routes.glance(host, path, Published::resolve) {
            Some(answer) => answer,
            None => self.look_up(host, path),
        }
    }

    #[inline(never)]
    fn look_up(&self, host: &str, path: &str) -> Result<Resolved<P>, Refusal> {
        let resolve = |_: &Arc<Slot<P>>, published: &Published<P>| published.resolve();
        self.inner.routes.find(host, path, resolve).unwrap_or(Err(Refusal::UnknownHost))
    }

    /// The tenant of this id.
    ///
    /// # Errors
    /// A [`Refusal`]: nobody has the id ([`Refusal::UnknownTenant`]), or the tenant may not be served.
    ///
    /// ```
    /// let registry: tenancy::TenantRegistry<()> = tenancy::TenantRegistry::builder().build();
    /// assert_eq!(registry.get("acme").unwrap_err(), tenancy::Refusal::UnknownTenant);
    /// ```
    pub fn get(&self, tenant_id: &str) -> Result<Resolved<P>, Refusal> {
        let guard = self.inner.tenants.guard();
        match self.inner.tenants.get(tenant_id, &guard) {
            Some(slot) => slot.published().resolve(),
            None => Err(Refusal::UnknownTenant),
        }
    }

    /// As [`resolve_by_host`](Self::resolve_by_host), and builds the platform of a lazy tenant, once for all who ask.
    ///
    /// # Errors
    /// As [`resolve_by_host`](Self::resolve_by_host); a factory that fails leaves the tenant disabled.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # use tenancy::{Register, TenantConfig, TenantRegistry};
    /// # let registry = TenantRegistry::builder().build();
    /// let config = TenantConfig::lazy("https://beta.example.com", || async { Ok::<_, String>("built") });
    /// registry.register("beta", config, Register::InBackground).await.unwrap();
    /// assert_eq!(*registry.resolve_lazy("beta.example.com").await.unwrap().platform, "built");
    /// # }
    /// ```
    pub async fn resolve_lazy(&self, host: &str) -> Result<Resolved<P>, Refusal> {
        self.resolve_lazy_request(host, "/").await
    }

    /// As [`resolve_by_request`](Self::resolve_by_request), and builds the platform of a lazy tenant, once for all who
    /// ask. It waits for a first validation that is under way, and begins none.
    ///
    /// # Errors
    /// As [`resolve_by_request`](Self::resolve_by_request); a factory that fails leaves the tenant disabled.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # use tenancy::{Refusal, Register, TenantConfig, TenantRegistry};
    /// # let registry: TenantRegistry<()> = TenantRegistry::builder().build();
    /// let config = TenantConfig::lazy("https://example.com/beta", || async { Err("no database") });
    /// registry.register("beta", config, Register::InBackground).await.unwrap();
    /// let refusal = registry.resolve_lazy_request("example.com", "/beta/x").await.unwrap_err();
    /// assert_eq!(refusal, Refusal::Disabled { reason: "no database".into() });
    /// # }
    /// ```
    pub async fn resolve_lazy_request(&self, host: &str, path: &str) -> Result<Resolved<P>, Refusal> {
        let answer = self.resolve_by_request(host, path);
        if !matches!(answer, Err(Refusal::Pending { .. })) {
            return answer;
        }
        let slot = self.inner.routes.find(host, path, |slot: &Arc<Slot<P>>, _: &Published<P>| Arc::clone(slot));
        if let Some(slot) = slot {
            self.inner.build_for_request(&slot).await;
        }
        self.resolve_by_request(host, path)
    }

    /// As [`get`](Self::get), and builds the platform of a lazy tenant, once for all who ask.
    ///
    /// # Errors
    /// As [`get`](Self::get); a factory that fails leaves the tenant disabled.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # use tenancy::{Register, TenantConfig, TenantRegistry};
    /// # let registry = TenantRegistry::builder().build();
    /// let config = TenantConfig::lazy("https://beta.example.com", || async { Ok::<_, String>("built") });
    /// registry.register("beta", config, Register::InBackground).await.unwrap();
    /// assert!(registry.get("beta").is_err());
    /// assert!(registry.get_lazy("beta").await.is_ok());
    /// # }
    /// ```
    pub async fn get_lazy(&self, tenant_id: &str) -> Result<Resolved<P>, Refusal> {
        let answer = self.get(tenant_id);
        if !matches!(answer, Err(Refusal::Pending { .. })) {
            return answer;
        }
        if let Some(slot) = self.inner.slot(tenant_id) {
            self.inner.build_for_request(&slot).await;
        }
        self.get(tenant_id)
    }
}

#[cfg(feature = "tower")]
impl<P: Send + Sync + 'static> TenantRegistry<P> {
    /// Whose `path` on `host` is, served or not: a refusal does not say.
    pub(crate) fn tenant_at(&self, host: &str, path: &str) -> Option<TenantId> {
        let whose = |_: &Arc<Slot<P>>, published: &Published<P>| published.tenant_id.clone();
        self.inner.routes.find(host, path, whose)
    }
}
