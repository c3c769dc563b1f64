//! The port's part about products, entitlements, trials and requests.
//!
//! `app` calls it inside the transaction that has locked the tenant. Invariants, each with a case in the suite: one row
//! per tenant and product, one open request of each pair, and no product goes while a tenant has, or had, it.

use async_trait::async_trait;
use domain::{
    CatalogRequest, CatalogRequestId, Entitlement, EntitlementId, Product, ProductKey, RequestStatus, TenantId,
    Timestamp,
};

use super::Page;
use crate::error::Result;

/// Which entitlements to list.
#[derive(Debug, Clone, Default)]
pub struct EntitlementFilter {
    /// Only this tenant's.
    pub tenant: Option<TenantId>,
    /// By which a tenant's trial has ended or not.
    pub now: Timestamp,
}

/// An entitlement, and how its tenant stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntitlementRow {
    /// What the tenant has.
    pub entitlement: Entitlement,
    /// Whether the tenant is frozen, as it reads at [`EntitlementFilter::now`].
    pub tenant_frozen: bool,
}

/// Which requests to list.
#[derive(Debug, Clone, Default)]
pub struct RequestFilter {
    /// Only this tenant's.
    pub tenant: Option<TenantId>,
    /// Only those that stand so.
    pub status: Option<RequestStatus>,
}

/// What became of the removal of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It is gone.
    Removed,
    /// It was not there.
    Absent,
    /// Some tenant has, or had, it.
    InUse,
}

/// Reads of products, entitlements and requests.
#[async_trait]
pub trait CatalogReads: Send {
    /// Everything that a tenant has or had, in the order of the products' keys.
    async fn entitlements_of(&mut self, tenant: TenantId) -> Result<Vec<Entitlement>>;
    /// An entitlement by id.
    async fn get_entitlement(&mut self, id: EntitlementId) -> Result<Option<Entitlement>>;
    /// What a tenant has or had of one product.
    async fn get_entitlement_to(&mut self, tenant: TenantId, product: &str) -> Result<Option<Entitlement>>;
    /// Entitlements, newest first.
    async fn list_entitlements(
        &mut self,
        filter: &EntitlementFilter,
        page: Page<EntitlementId>,
    ) -> Result<Vec<EntitlementRow>>;
    /// A product by key.
    async fn get_product(&mut self, key: &str) -> Result<Option<Product>>;
    /// Products, newest first; without those that cannot be asked for, unless `all`.
    async fn list_products(&mut self, all: bool, page: Page<(Timestamp, ProductKey)>) -> Result<Vec<Product>>;
    /// A request by id.
    async fn get_catalog_request(&mut self, id: CatalogRequestId) -> Result<Option<CatalogRequest>>;
    /// Requests, newest first.
    async fn list_catalog_requests(
        &mut self,
        filter: &RequestFilter,
        page: Page<CatalogRequestId>,
    ) -> Result<Vec<CatalogRequest>>;
}

/// Writes of entitlements, and of trials that are used up. The tenant is locked.
#[async_trait]
pub trait Entitlements: Send {
    /// Writes an entitlement, a new one or a new state of one.
    ///
    /// # Errors
    /// `Stale` when the tenant has another one for the product.
    async fn put_entitlement(&mut self, entitlement: &Entitlement) -> Result<()>;
    /// Writes down that a tenant used its trial of a product. False: it had been used before.
    async fn use_trial(&mut self, tenant: TenantId, product: &str, at: Timestamp) -> Result<bool>;
}

/// Writes of products and requests.
#[async_trait]
pub trait Catalog: Send {
    /// A product by key, that nobody removes before the end of the transaction.
    async fn hold_product(&mut self, key: &str) -> Result<Option<Product>>;
    /// A product by key, held against every other writer until the end of the transaction.
    async fn lock_product(&mut self, key: &str) -> Result<Option<Product>>;
    /// Adds a product. False: somebody else has added one with that key.
    async fn insert_product(&mut self, product: &Product) -> Result<bool>;
    /// Writes the fields of a locked product.
    ///
    /// # Errors
    /// `Stale` when there is none with that key.
    async fn update_product(&mut self, product: &Product) -> Result<()>;
    /// Removes a product that no tenant has, or had.
    async fn delete_product(&mut self, key: &str) -> Result<Removal>;
    /// Adds an open request. False: there is one already, of that tenant for that product.
    async fn insert_catalog_request(&mut self, request: &CatalogRequest) -> Result<bool>;
    /// A request by id, held until the end of the transaction.
    async fn lock_catalog_request(&mut self, id: CatalogRequestId) -> Result<Option<CatalogRequest>>;
    /// Writes what became of a locked request.
    ///
    /// # Errors
    /// `Stale` when it was decided before, or is not there.
    async fn decide_catalog_request(&mut self, request: &CatalogRequest) -> Result<()>;
}
