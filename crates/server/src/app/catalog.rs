//! The catalog: what there is, who asked for it, and what was decided.
//!
//! Products belong to no tenant; a request is decided under the lock of its tenant. Invariant: an approval and the grant
//! that it makes are one transaction, and of racing decisions one counts.

use domain::audit::{AuditEvent, Crud, Party};
use domain::catalog_request::CatalogRequest;
use domain::entitlement::Source;
use domain::{
    CatalogRequestId, Error, Grant, Product, ProductInput, ProductKey, RequestStatus, Resource, Result, TenantId,
    Timestamp,
};
use store::{Page, Removal, RequestFilter, Scope};

use super::entitlements::{event as entitlement_event, give, held_product, judge, requestable};
use super::tenants::{Write, scope};
use super::{App, Ctx};

impl App {
    /// Products, newest first: all of them for platform admins, those that can be asked for, for everybody else.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn list_products(&self, ctx: &Ctx, page: Page<(Timestamp, ProductKey)>) -> Result<Vec<Product>> {
        let all = ctx.caller.is_platform_admin();
        Ok(self.store.read(scope(ctx)).await?.list_products(all, page).await?)
    }

    /// Puts a product into the catalog, or replaces what is said of it. Says whether it is new.
    ///
    /// # Errors
    /// Violations.
    pub async fn put_product(&self, ctx: &Ctx, key: ProductKey, input: ProductInput) -> Result<(Product, bool)> {
        let violations = input.check();
        if !violations.is_empty() {
            return Err(Error::Validation(violations));
        }
        let mut tx = self.store.begin(Scope::Platform).await?;
        let mut known = tx.lock_product(key.as_str()).await?;
        if known.is_none() {
            let product = input.clone().start(key.clone(), ctx.now());
            if tx.insert_product(&product).await? {
                let created = event(ctx, "product.created", Crud::C, &product);
                self.commit(ctx, tx, &product, vec![created]).await?;
                return Ok((product, true));
            }
            // Somebody else was quicker: theirs is replaced.
            known = tx.lock_product(key.as_str()).await?;
        }
        let mut product = known.ok_or_else(|| Error::Unavailable { internal: format!("{key} comes and goes") })?;
        let changed = product.replace(input);
        if !changed.is_empty() {
            tx.update_product(&product).await?;
            let updated = event(ctx, "product.updated", Crud::U, &product).with("changed", changed.join(","));
            self.commit(ctx, tx, &product, vec![updated]).await?;
        }
        Ok((product, false))
    }

    /// Takes a product out of the catalog.
    ///
    /// # Errors
    /// `NotFound`; `ProductInUse` when a tenant has, or had, it.
    pub async fn delete_product(&self, ctx: &Ctx, key: &str) -> Result<()> {
        let absent = || Error::NotFound(Resource::Product);
        let mut tx = self.store.begin(Scope::Platform).await?;
        let product = tx.lock_product(key).await?.ok_or_else(absent)?;
        match tx.delete_product(key).await? {
            Removal::Removed => {
                let deleted = event(ctx, "product.deleted", Crud::D, &product);
                self.commit(ctx, tx, &(), vec![deleted]).await
            }
            Removal::Absent => Err(absent()),
            Removal::InUse => Err(Error::ProductInUse { product: key.to_owned() }),
        }
    }

    /// Asks for a product, for a tenant.
    ///
    /// # Errors
    /// `UnknownProduct`, `ProductNotRequestable`; `NotFound`, `TenantFrozen`; `RequestAlreadyOpen`.
    pub async fn request_product(
        &self,
        ctx: &Ctx,
        tenant: TenantId,
        product: &str,
        message: Option<String>,
    ) -> Result<CatalogRequest> {
        requestable(&self.known_product(product).await?)?;
        let mut write = self.write_to(ctx, tenant, Resource::NamedTenant).await?;
        requestable(&held_product(&mut write, product).await?)?;
        let request = CatalogRequest {
            id: CatalogRequestId::generate(&*ctx.clock, &*ctx.rng),
            tenant_id: tenant,
            product: product.to_owned(),
            message,
            status: RequestStatus::Open,
            requested_by: ctx.caller.actor.clone(),
            decided_by: None,
            created_at: write.now,
            decided_at: None,
        };
        if !write.tx.insert_catalog_request(&request).await? {
            return Err(Error::RequestAlreadyOpen { product: product.to_owned() });
        }
        let requested = request_event(ctx, "catalog.requested", Crud::C, &request, &write);
        write.note(requested);
        self.finish_with(ctx, write, &request).await?;
        Ok(request)
    }

    /// Requests, newest first: a tenant's callers see their own, or those of the tenant that is named.
    ///
    /// # Errors
    /// `NotFound` for a named tenant that is absent or foreign.
    pub async fn list_catalog_requests(
        &self,
        ctx: &Ctx,
        filter: RequestFilter,
        page: Page<CatalogRequestId>,
    ) -> Result<Vec<CatalogRequest>> {
        let Some(tenant) = self.listed_tenant(ctx, filter.tenant).await? else { return Ok(Vec::new()) };
        let filter = RequestFilter { tenant, ..filter };
        Ok(self.store.read(scope(ctx)).await?.list_catalog_requests(&filter, page).await?)
    }

    /// Agrees to a request, and gives the tenant what it asked for.
    ///
    /// # Errors
    /// Violations of the grant, `UnknownProduct` when the product is gone; `NotFound`; `RequestAlreadyDecided`.
    pub async fn approve_catalog_request(
        &self,
        ctx: &Ctx,
        id: CatalogRequestId,
        grant: Grant,
    ) -> Result<CatalogRequest> {
        judge(&grant, ctx)?;
        let (mut write, mut request) = self.write_request(ctx, id).await?;
        let product = held_product(&mut write, &request.product).await?;
        request.decide(true, &ctx.caller.actor, write.now)?;
        write.tx.decide_catalog_request(&request).await?;
        let granted = give(ctx, &mut write, &product, grant, Source::Request).await?;
        let approved = request_event(ctx, "catalog.approved", Crud::U, &request, &write);
        write.note(approved);
        let granted = entitlement_event(ctx, "entitlement.granted", Crud::C, &granted.entitlement, &write);
        write.note(granted);
        self.finish_grant(ctx, write, &request).await?;
        Ok(request)
    }

    /// Declines a request.
    ///
    /// # Errors
    /// `NotFound`; `RequestAlreadyDecided`.
    pub async fn reject_catalog_request(&self, ctx: &Ctx, id: CatalogRequestId) -> Result<CatalogRequest> {
        let (mut write, mut request) = self.write_request(ctx, id).await?;
        request.decide(false, &ctx.caller.actor, write.now)?;
        write.tx.decide_catalog_request(&request).await?;
        let rejected = request_event(ctx, "catalog.rejected", Crud::U, &request, &write);
        write.note(rejected);
        self.finish_with(ctx, write, &request).await?;
        Ok(request)
    }

    /// Begins a write to a request, under the lock of its tenant.
    async fn write_request(&self, ctx: &Ctx, id: CatalogRequestId) -> Result<(Write, CatalogRequest)> {
        let absent = || Error::NotFound(Resource::CatalogRequest);
        let found = self.store.read(scope(ctx)).await?.get_catalog_request(id).await?.ok_or_else(absent)?;
        let mut write = self.write_to(ctx, found.tenant_id, Resource::CatalogRequest).await?;
        let request = write.tx.lock_catalog_request(id).await?.ok_or_else(absent)?;
        Ok((write, request))
    }
}

fn event(ctx: &Ctx, action: &str, crud: Crud, product: &Product) -> AuditEvent {
    let target = Party::target("product", product.key.as_str(), product.name.clone());
    let event = ctx.event(action, crud, target, ctx.now());
    event.with("trial_days", product.trial_days.to_string()).with("requestable", product.requestable.to_string())
}

/// An event about a request of the tenant that is written to.
fn request_event(ctx: &Ctx, action: &str, crud: Crud, request: &CatalogRequest, write: &Write) -> AuditEvent {
    let target = Party::target("catalog", request.id.to_string(), request.product.clone());
    let mut event = ctx.event(action, crud, target, write.now).about(&write.tenant).with("product", &*request.product);
    event.description = request.message.clone();
    event
}
