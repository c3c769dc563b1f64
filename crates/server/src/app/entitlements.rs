//! Entitlements: what tenants are given, what is taken back, and what that allows.
//!
//! Every write locks the tenant and holds the product, so that neither goes meanwhile. Invariant: a grant, its event and
//! the trial that it uses up are one transaction, and this process' memory of the tenant's entitlements ends with it.

use domain::audit::{AuditEvent, Crud, Party};
use domain::entitlement::{self, Asked, Decision, Source, StateAt};
use domain::{Entitlement, EntitlementId, Error, Grant, GrantState, Product, Resource, Result, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use store::{EntitlementFilter, Page, Scope};

use super::tenants::{Write, scope};
use super::{App, Ctx};

/// An entitlement as it reads at some moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Shown {
    /// What the tenant has.
    pub entitlement: Entitlement,
    /// Where it stands by the clock.
    pub state: StateAt,
    /// Whether the tenant may use the product.
    pub effective: bool,
}

impl Shown {
    fn at(entitlement: Entitlement, now: Timestamp, tenant_frozen: bool) -> Self {
        let (state, effective) = (entitlement.state_at(now), entitlement.is_effective(now, tenant_frozen));
        Self { entitlement, state, effective }
    }
}

/// What a grant made of an entitlement.
pub(super) struct Granted {
    pub(super) entitlement: Entitlement,
    /// Where it stood before; none for a new one.
    before: Option<StateAt>,
    changed: Vec<&'static str>,
}

impl App {
    /// Entitlements, newest first: a tenant's callers see their own, or those of the tenant that is named.
    ///
    /// # Errors
    /// `NotFound` for a named tenant that is absent or foreign.
    pub async fn list_entitlements(
        &self,
        ctx: &Ctx,
        tenant: Option<TenantId>,
        page: Page<EntitlementId>,
    ) -> Result<Vec<Shown>> {
        let Some(tenant) = self.listed_tenant(ctx, tenant).await? else { return Ok(Vec::new()) };
        let now = ctx.now();
        let rows =
            self.store.read(scope(ctx)).await?.list_entitlements(&EntitlementFilter { tenant, now }, page).await?;
        Ok(rows.into_iter().map(|row| Shown::at(row.entitlement, now, row.tenant_frozen)).collect())
    }

    /// Gives a tenant a product, or changes what it has of it. Says whether that is new.
    ///
    /// # Errors
    /// Violations, `UnknownProduct`; `NotFound`.
    pub async fn put_entitlement(
        &self,
        ctx: &Ctx,
        tenant: TenantId,
        product: &str,
        grant: Grant,
    ) -> Result<(Shown, bool)> {
        judge(&grant, ctx)?;
        self.known_product(product).await?;
        let mut write = self.write_to(ctx, tenant, Resource::NamedTenant).await?;
        let product = held_product(&mut write, product).await?;
        let granted = give(ctx, &mut write, &product, grant, Source::Grant).await?;
        if granted.is_again() {
            let again = event(ctx, "entitlement.granted", Crud::C, &granted.entitlement, &write);
            write.note(again);
        } else if !granted.changed.is_empty() {
            let changed = event(ctx, "entitlement.changed", Crud::U, &granted.entitlement, &write);
            write.note(changed.with("changed", granted.changed.join(",")));
        }
        let is_new = granted.before.is_none();
        let shown = Shown::at(granted.entitlement, write.now, write.tenant.is_frozen());
        self.finish_grant(ctx, write, &shown).await?;
        Ok((shown, is_new))
    }

    /// Takes a product back. What was taken back before stays so.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn revoke_entitlement(&self, ctx: &Ctx, id: EntitlementId) -> Result<()> {
        let absent = || Error::NotFound(Resource::Entitlement);
        let found = self.store.read(scope(ctx)).await?.get_entitlement(id).await?.ok_or_else(absent)?;
        let mut write = self.write_to(ctx, found.tenant_id, Resource::Entitlement).await?;
        let mut held = write.tx.get_entitlement(id).await?.ok_or_else(absent)?;
        if held.revoke(write.now) {
            write.tx.put_entitlement(&held).await?;
            let revoked = event(ctx, "entitlement.revoked", Crud::D, &held, &write);
            write.note(revoked);
        }
        self.finish_grant(ctx, write, &()).await
    }

    /// Decides whether a tenant may use a product, from memory.
    ///
    /// # Errors
    /// `NotFound` for a tenant that is absent or foreign; a violation of `value` where a limit needs one.
    pub async fn check_entitlement(
        &self,
        ctx: &Ctx,
        tenant: TenantId,
        product: &str,
        asked: Option<Asked<'_>>,
    ) -> Result<Decision> {
        let tenant = self.named_tenant(ctx, tenant).await?;
        let entitlements = self.directory.entitlements(tenant.id).await?;
        let held = entitlements.iter().find(|entitlement| entitlement.product == product);
        entitlement::check(&tenant, held, asked, ctx.now())
    }

    /// Starts a tenant's trial of a product.
    ///
    /// # Errors
    /// `UnknownProduct`, `ProductNotRequestable`; `NotFound`, `TenantFrozen`; `TrialAlreadyUsed`,
    /// `EntitlementAlreadyActive`.
    pub async fn request_trial(&self, ctx: &Ctx, tenant: TenantId, product: &str) -> Result<Shown> {
        requestable(&self.known_product(product).await?)?;
        let mut write = self.write_to(ctx, tenant, Resource::NamedTenant).await?;
        let product = held_product(&mut write, product).await?;
        requestable(&product)?;
        let (key, now) = (product.key.as_str(), write.now);
        if !write.tx.use_trial(tenant, key, now).await? {
            return Err(Error::TrialAlreadyUsed { product: key.to_owned() });
        }
        let held = write.tx.get_entitlement_to(tenant, key).await?;
        if held.is_some_and(|held| held.state_at(now) == StateAt::Active) {
            return Err(Error::EntitlementAlreadyActive { product: key.to_owned() });
        }
        let trial = Grant::trial(product.trial_days, now);
        let granted = give(ctx, &mut write, &product, trial, Source::Trial).await?;
        let started = event(ctx, "trial.started", Crud::C, &granted.entitlement, &write);
        write.note(started.with("days", product.trial_days.to_string()));
        let shown = Shown::at(granted.entitlement, now, write.tenant.is_frozen());
        self.finish_grant(ctx, write, &shown).await?;
        Ok(shown)
    }

    /// Judges the reach of who asks for a product, before the answer of an earlier request may be given again. Input is
    /// judged before reach, so what is wrong with the product is told first.
    ///
    /// # Errors
    /// `UnknownProduct`, `ProductNotRequestable`; `NotFound`.
    pub async fn judge_reach(&self, ctx: &Ctx, tenant: TenantId, product: &str) -> Result<()> {
        if ctx.caller.reaches(tenant) {
            return Ok(());
        }
        requestable(&self.known_product(product).await?)?;
        Err(Error::NotFound(Resource::NamedTenant))
    }

    /// A product of the catalog, as it is before anything is locked.
    pub(super) async fn known_product(&self, key: &str) -> Result<Product> {
        let found = self.store.read(Scope::Platform).await?.get_product(key).await?;
        found.ok_or_else(|| Error::UnknownProduct { product: key.to_owned() })
    }

    /// Commits a write of entitlements, and forgets what was known of them.
    pub(super) async fn finish_grant(&self, ctx: &Ctx, write: Write, outcome: &(impl Serialize + Sync)) -> Result<()> {
        let tenant = write.tenant.id;
        let committed = self.finish_with(ctx, write, outcome).await;
        self.directory.forget_entitlements(tenant);
        committed
    }
}

impl Granted {
    /// Whether the tenant had nothing of the product before, or nothing any more.
    fn is_again(&self) -> bool {
        match self.before {
            None => true,
            Some(StateAt::Revoked | StateAt::Expired) => !self.changed.is_empty(),
            Some(StateAt::Trial | StateAt::Active) => false,
        }
    }
}

/// Refuses a grant that breaks a rule.
pub(super) fn judge(grant: &Grant, ctx: &Ctx) -> Result<()> {
    let violations = grant.check(ctx.now());
    if violations.is_empty() { Ok(()) } else { Err(Error::Validation(violations)) }
}

/// Refuses a product that tenants may not ask for.
pub(super) fn requestable(product: &Product) -> Result<()> {
    if product.requestable { Ok(()) } else { Err(Error::ProductNotRequestable { product: product.key.to_string() }) }
}

/// A product that stays until the end of the write.
pub(super) async fn held_product(write: &mut Write, key: &str) -> Result<Product> {
    let held = write.tx.hold_product(key).await?;
    held.ok_or_else(|| Error::UnknownProduct { product: key.to_owned() })
}

/// Writes what a grant makes of the tenant's entitlement, and the trial that it uses up. The product is held.
pub(super) async fn give(
    ctx: &Ctx,
    write: &mut Write,
    product: &Product,
    grant: Grant,
    source: Source,
) -> Result<Granted> {
    let (tenant, key, now) = (write.tenant.id, product.key.as_str(), write.now);
    let is_trial = grant.state == GrantState::Trial;
    let granted = match write.tx.get_entitlement_to(tenant, key).await? {
        None => {
            let id = EntitlementId::generate(&*ctx.clock, &*ctx.rng);
            let entitlement = grant.start(id, tenant, key.to_owned(), source, now);
            Granted { entitlement, before: None, changed: Vec::new() }
        }
        Some(mut held) => {
            let before = held.state_at(now);
            let changed = held.replace(grant, source, now);
            Granted { entitlement: held, before: Some(before), changed }
        }
    };
    if granted.before.is_none() || !granted.changed.is_empty() {
        write.tx.put_entitlement(&granted.entitlement).await?;
        if is_trial {
            write.tx.use_trial(tenant, key, now).await?;
        }
    }
    Ok(granted)
}

/// An event about an entitlement of the tenant that is written to.
pub(super) fn event(ctx: &Ctx, action: &str, crud: Crud, held: &Entitlement, write: &Write) -> AuditEvent {
    let target = Party::target("entitlement", held.id.to_string(), held.product.clone());
    let mut event = ctx
        .event(action, crud, target, write.now)
        .about(&write.tenant)
        .with("product", held.product.clone())
        .with("state", held.state.as_str())
        .with("source", held.source.as_str());
    for (name, at) in [("starts_at", held.starts_at), ("expires_at", held.expires_at)] {
        if let Some(at) = at {
            event = event.with(name, at.to_string());
        }
    }
    match serde_json::to_string(&held.limits) {
        Ok(limits) if !held.limits.is_empty() => event.with("limits", limits),
        Ok(_) | Err(_) => event,
    }
}
