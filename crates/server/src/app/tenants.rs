//! Tenants: creation, life, hosts, and how they are found.
//!
//! Every write locks the tenant, writes down a trial that ran out meanwhile, and only then judges freeze, version and
//! transition, in the order of the contract. Invariant: reads show a tenant as the clock has it, whether or not the
//! freezing job has been there.

use std::sync::Arc;

use domain::audit::{AuditEvent, Crud, Party};
use domain::{
    Error, HostRoute, Nesting, NewTenant, Reach, Resource, Result, Status, Tenant, TenantId, TenantPatch, Timestamp,
};
use serde::Serialize;
use store::{Conflict, Page, Scope, StoreError, TenantFilter, Tx};

use super::directory::Known;
use super::{App, Ctx, Provisioned};

/// Which version of a thing the caller has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// Any.
    None,
    /// One of these.
    Versions(Vec<i64>),
}

impl Precondition {
    fn check(&self, current: i64) -> Result<()> {
        match self {
            Self::None => Ok(()),
            Self::Versions(versions) if versions.contains(&current) => Ok(()),
            Self::Versions(_) => Err(Error::VersionMismatch { current }),
        }
    }
}

/// A write under way: the transaction, the locked tenant as the clock has it, and what is to be told of it.
pub(super) struct Write {
    pub(super) tx: Box<dyn Tx>,
    pub(super) tenant: Tenant,
    pub(super) events: Vec<AuditEvent>,
    pub(super) now: Timestamp,
    /// Whether a trial that ran out was written down on the way.
    pub(super) expired: bool,
}

impl App {
    /// Makes a tenant, in trial, and provisions its identity where it has somebody to invite: the tenant is there whatever
    /// becomes of that, and the wait for it is bounded.
    ///
    /// # Errors
    /// Violations; `SlugTaken`, `HostTaken`.
    pub async fn create_tenant(self: &Arc<Self>, ctx: &Ctx, new: NewTenant) -> Result<Provisioned> {
        let deadline = self.deadline();
        let violations = new.check();
        if !violations.is_empty() {
            return Err(Error::Validation(violations));
        }
        let now = ctx.now();
        let tenant = new.start(TenantId::generate(&*ctx.clock, &*ctx.rng), now);
        if tenant.admin_email.is_none() {
            return Ok(Provisioned::nobody(self.insert_tenant(ctx, tenant, "tenant.created", now).await?));
        }
        let waits = Ctx { runs_until: Some(self.waits_until(now)), ..ctx.clone() };
        let tenant = self.insert_tenant(&waits, tenant, "tenant.created", now).await?;
        self.provision_within(ctx, tenant, now, deadline).await
    }

    /// Puts a tenant in place as it is: the seed of a store in memory.
    ///
    /// # Errors
    /// As [`App::create_tenant`].
    pub async fn seed_tenant(&self, ctx: &Ctx, tenant: Tenant) -> Result<Tenant> {
        let now = tenant.created_at;
        self.insert_tenant(ctx, tenant, "tenant.created", now).await
    }

    async fn insert_tenant(&self, ctx: &Ctx, tenant: Tenant, action: &str, now: Timestamp) -> Result<Tenant> {
        let mut tx = self.store.begin(Scope::Platform).await?;
        tx.insert_tenant(&tenant, nesting(ctx)).await.map_err(|error| match error {
            StoreError::Conflict(Conflict::SlugTaken) => Error::SlugTaken { slug: tenant.slug.to_string() },
            other => other.into(),
        })?;
        let mut events = vec![event(ctx, action, Crud::C, &tenant, now)];
        events.extend(tenant.hosts.iter().map(|route| host_event(ctx, "host.added", Crud::C, &tenant, route, now)));
        let outcome = self.commit(ctx, tx, &tenant, events).await;
        self.forget_tenant(&tenant);
        outcome?;
        Ok(tenant)
    }

    /// A tenant by id.
    ///
    /// # Errors
    /// `NotFound`, for a foreign one too.
    pub async fn get_tenant(&self, ctx: &Ctx, id: TenantId) -> Result<Arc<Known>> {
        self.seen(ctx, self.directory.by_id(id).await?)
    }

    /// A tenant by slug, which every request of a portal asks for.
    ///
    /// # Errors
    /// `NotFound`, for a foreign one too.
    pub async fn get_tenant_by_slug(&self, ctx: &Ctx, slug: &str) -> Result<Arc<Known>> {
        self.seen(ctx, self.directory.by_slug(slug).await?)
    }

    /// The tenant that a request for `host` and `path` reaches: the longest prefix of the exact host, or, where nobody
    /// has that host, of its wildcard.
    ///
    /// # Errors
    /// `NotFound`, also for a host that is none.
    pub async fn get_tenant_by_host(&self, ctx: &Ctx, host: &str, path: &str) -> Result<Arc<Known>> {
        let absent = || Error::NotFound(Resource::Tenant);
        let host = tenancy::normalize_host(host).map_err(|_| absent())?;
        let mut routes = self.directory.routes(&host).await?;
        if routes.is_none()
            && let Some(wildcard) = tenancy::HostPattern::wildcard_of(&host)
        {
            routes = self.directory.routes(&wildcard).await?;
        }
        let routes = routes.ok_or_else(absent)?;
        let candidates = routes.iter().map(|found| (found.route.prefix.as_str(), found.tenant_id));
        let (_, id) = tenancy::longest_prefix(candidates, path).ok_or_else(absent)?;
        self.seen(ctx, self.directory.by_id(id).await?)
    }

    /// Tenants, newest first; a tenant's caller sees its own place in the list.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn list_tenants(&self, ctx: &Ctx, filter: TenantFilter, page: Page<TenantId>) -> Result<Vec<Tenant>> {
        let Some(id) = shown(ctx, filter.id) else { return Ok(Vec::new()) };
        let now = ctx.now();
        let filter = TenantFilter { id, now, ..filter };
        let mut tx = self.store.read(scope(ctx)).await?;
        let tenants = tx.list_tenants(&filter, page).await?;
        Ok(tenants.into_iter().map(|tenant| tenant.at(now)).collect())
    }

    /// Changes a tenant's own fields.
    ///
    /// # Errors
    /// Violations; `NotFound`, `VersionMismatch`.
    pub async fn update_tenant(
        &self,
        ctx: &Ctx,
        id: TenantId,
        seen: &Precondition,
        patch: TenantPatch,
    ) -> Result<Tenant> {
        let violations = patch.check();
        if !violations.is_empty() {
            return Err(Error::Validation(violations));
        }
        let mut write = self.write_tenant(ctx, id, seen).await?;
        let changed = write.tenant.patch(patch, write.now)?;
        if !changed.is_empty() {
            write.note(
                event(ctx, "tenant.updated", Crud::U, &write.tenant, write.now).with("changed", changed.join(",")),
            );
            write.tx.update_tenant(&write.tenant).await?;
        }
        self.finish(ctx, write).await
    }

    /// Trial or frozen becomes active.
    ///
    /// # Errors
    /// `NotFound`, `VersionMismatch`, `InvalidTransition`.
    pub async fn activate_tenant(&self, ctx: &Ctx, id: TenantId, seen: &Precondition) -> Result<Tenant> {
        let mut write = self.write_tenant(ctx, id, seen).await?;
        let from = write.tenant.status;
        write.tenant.activate(write.now)?;
        write.note(moved(event(ctx, "tenant.activated", Crud::U, &write.tenant, write.now), from, &write.tenant));
        write.tx.update_tenant(&write.tenant).await?;
        self.finish(ctx, write).await
    }

    /// Trial or active becomes frozen. The reason is the event's description.
    ///
    /// # Errors
    /// `NotFound`, `VersionMismatch`, `InvalidTransition`.
    pub async fn cancel_tenant(
        &self,
        ctx: &Ctx,
        id: TenantId,
        seen: &Precondition,
        reason: Option<String>,
    ) -> Result<Tenant> {
        let mut write = self.write_tenant(ctx, id, seen).await?;
        let from = write.tenant.status;
        write.tenant.cancel(write.now)?;
        let mut cancelled =
            moved(event(ctx, "tenant.cancelled", Crud::U, &write.tenant, write.now), from, &write.tenant);
        cancelled.description = reason;
        write.note(cancelled);
        write.tx.update_tenant(&write.tenant).await?;
        self.finish(ctx, write).await
    }

    /// Makes a trial end later.
    ///
    /// # Errors
    /// `NotFound`, `VersionMismatch`, `InvalidTransition`; a violation of `days`.
    pub async fn extend_trial(&self, ctx: &Ctx, id: TenantId, seen: &Precondition, days: u32) -> Result<Tenant> {
        let mut write = self.write_tenant(ctx, id, seen).await?;
        let from = write.tenant.status;
        write.tenant.extend_trial(days, write.now)?;
        let extended =
            moved(event(ctx, "tenant.trial_extended", Crud::U, &write.tenant, write.now), from, &write.tenant);
        write.note(extended.with("days", days.to_string()));
        write.tx.update_tenant(&write.tenant).await?;
        self.finish(ctx, write).await
    }

    /// Removes a frozen tenant and everything that is its own. Its audit events stay, without their group.
    ///
    /// # Errors
    /// `NotFound`, `VersionMismatch`, `InvalidTransition`.
    pub async fn delete_tenant(&self, ctx: &Ctx, id: TenantId, seen: &Precondition) -> Result<()> {
        let mut write = self.write_tenant(ctx, id, seen).await?;
        write.tenant.check_delete()?;
        write.note(event(ctx, "tenant.deleted", Crud::D, &write.tenant, write.now));
        write.tx.delete_tenant(&write.tenant, write.now).await?;
        self.finish(ctx, write).await?;
        Ok(())
    }

    /// Adds a host route; one that is there already changes nothing.
    ///
    /// # Errors
    /// `Forbidden` for a wildcard of anybody but a platform admin; `NotFound`, `TenantFrozen`, `VersionMismatch`,
    /// `HostTaken`; a violation of `url` past the limit.
    pub async fn add_host(&self, ctx: &Ctx, id: TenantId, seen: &Precondition, route: HostRoute) -> Result<Tenant> {
        if route.is_wildcard() && !ctx.caller.is_platform_admin() {
            return Err(Error::Forbidden("only platform admins may use wildcard hosts"));
        }
        let mut write = self.write_tenant(ctx, id, seen).await?;
        if write.tenant.add_host(&route, write.now)? {
            write.note(host_event(ctx, "host.added", Crud::C, &write.tenant, &route, write.now));
            write.tx.add_host(id, &route, nesting(ctx)).await?;
            write.tx.update_tenant(&write.tenant).await?;
        }
        self.finish(ctx, write).await
    }

    /// Removes a host route; one that is not there changes nothing.
    ///
    /// # Errors
    /// `NotFound`, `TenantFrozen`, `VersionMismatch`.
    pub async fn remove_host(&self, ctx: &Ctx, id: TenantId, seen: &Precondition, route: HostRoute) -> Result<Tenant> {
        if route.is_wildcard() && !ctx.caller.is_platform_admin() {
            return Err(Error::Forbidden("only platform admins may use wildcard hosts"));
        }
        let mut write = self.write_tenant(ctx, id, seen).await?;
        if write.tenant.remove_host(&route, write.now) {
            write.note(host_event(ctx, "host.removed", Crud::D, &write.tenant, &route, write.now));
            write.tx.remove_host(id, &route).await?;
            write.tx.update_tenant(&write.tenant).await?;
        }
        let outcome = self.finish(ctx, write).await;
        self.directory.forget_host(&route.host);
        outcome
    }

    /// Writes down at most `batch` trials that ran out; says how many there were.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn expire_trials_all_tenants(&self, ctx: &Ctx, batch: usize) -> Result<usize> {
        let now = ctx.now();
        let mut tx = self.store.begin(Scope::Platform).await?;
        let mut tenants = tx.lock_ended_trials(now, batch).await?;
        let mut events = Vec::with_capacity(tenants.len());
        for tenant in &mut tenants {
            if tenant.expire_trial(now) {
                tx.update_tenant(tenant).await?;
                events.push(expired_event(ctx, tenant, now));
            }
        }
        if events.is_empty() {
            return Ok(0);
        }
        let outcome = self.commit(ctx, tx, &(), events).await;
        for tenant in &tenants {
            self.forget_tenant(tenant);
            self.nudge_provisioning(tenant);
        }
        outcome?;
        Ok(tenants.len())
    }

    /// Takes the group from a batch of events of deleted tenants; 0 means that none are left.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn detach_audit_events_all_tenants(&self, ctx: &Ctx, batch: usize) -> Result<u64> {
        let mut tx = self.store.begin(Scope::Platform).await?;
        let detached = tx.detach_audit_events(batch, ctx.now()).await?;
        tx.commit_unaudited(store::Unaudited::JobBookkeeping).await?;
        Ok(detached)
    }

    /// Begins a write: locks the tenant, writes down a trial that ran out, and judges reach, freeze and version.
    pub(super) async fn write_tenant(&self, ctx: &Ctx, id: TenantId, seen: &Precondition) -> Result<Write> {
        let write = self.write_to(ctx, id, Resource::Tenant).await?;
        seen.check(write.tenant.version)?;
        Ok(write)
    }

    /// Begins a write to a thing of a tenant, which is locked; an absent or foreign one is not found as `named`.
    pub(super) async fn write_to(&self, ctx: &Ctx, id: TenantId, named: Resource) -> Result<Write> {
        let write = self.write_even_frozen(ctx, id, named).await?;
        ctx.caller.may_write_to(&write.tenant, write.now)?;
        Ok(write)
    }

    /// As [`App::write_to`], for the one thing that a frozen tenant's people and keys still may: revoking keys.
    pub(super) async fn write_even_frozen(&self, ctx: &Ctx, id: TenantId, named: Resource) -> Result<Write> {
        let now = ctx.now();
        let mut tx = self.store.begin(Scope::Platform).await?;
        let mut tenant = ctx.caller.visible_as(tx.lock_tenant(id).await?, named)?;
        let mut events = Vec::new();
        let expired = tenant.expire_trial(now);
        if expired {
            tx.update_tenant(&tenant).await?;
            events.push(expired_event(ctx, &tenant, now));
        }
        Ok(Write { tx, tenant, events, now, expired })
    }

    /// Commits a write to the tenant itself. One that found nothing to change commits nothing.
    pub(super) async fn finish(&self, ctx: &Ctx, write: Write) -> Result<Tenant> {
        let Write { tx, tenant, events, .. } = write;
        let changed = !events.is_empty();
        let outcome = self.commit(ctx, tx, &tenant, events).await;
        if changed {
            // Also when it failed: a commit whose answer was lost may have happened.
            self.forget_tenant(&tenant);
            self.nudge_provisioning(&tenant);
        }
        outcome?;
        Ok(tenant)
    }

    /// Commits a write whose outcome is not the tenant but a thing of it. Whoever calls makes the directory forget that
    /// thing, also when this fails: a commit whose answer was lost may have happened.
    pub(super) async fn finish_with(&self, ctx: &Ctx, write: Write, outcome: &(impl Serialize + Sync)) -> Result<()> {
        let Write { tx, tenant, events, expired, .. } = write;
        let committed = self.commit(ctx, tx, outcome, events).await;
        if expired {
            self.forget_tenant(&tenant);
        }
        self.nudge_provisioning(&tenant);
        committed
    }

    /// A tenant that a body or a filter names.
    pub(super) async fn named_tenant(&self, ctx: &Ctx, id: TenantId) -> Result<Arc<Known>> {
        let absent = Error::NotFound(Resource::NamedTenant);
        if !ctx.caller.reaches(id) {
            return Err(absent);
        }
        self.directory.by_id(id).await?.ok_or(absent)
    }

    /// Whose things a list shows whose filter may name a tenant: that tenant's, else a tenant's callers their own, and who
    /// reaches every tenant everybody's. None for a caller who sees nothing.
    pub(super) async fn listed_tenant(&self, ctx: &Ctx, named: Option<TenantId>) -> Result<Option<Option<TenantId>>> {
        if let Some(id) = named {
            self.named_tenant(ctx, id).await?;
        }
        Ok(shown(ctx, named))
    }

    /// Makes memory forget a tenant, what it has, and whose its hosts are.
    pub(super) fn forget_tenant(&self, tenant: &Tenant) {
        self.directory.forget(tenant.id, tenant.slug.as_str());
        self.directory.forget_metadata(&tenant.metadata);
        self.directory.forget_entitlements(tenant.id);
        for route in &tenant.hosts {
            self.directory.forget_host(&route.host);
        }
    }

    fn seen(&self, ctx: &Ctx, tenant: Option<Arc<Known>>) -> Result<Arc<Known>> {
        let tenant = tenant.filter(|tenant| ctx.caller.reaches(tenant.id)).ok_or(Error::NotFound(Resource::Tenant))?;
        let now = ctx.now();
        if tenant.trial_ran_out(now) { Ok(Arc::new(Known::new(Tenant::clone(&tenant).at(now)))) } else { Ok(tenant) }
    }
}

impl Write {
    pub(super) fn note(&mut self, event: AuditEvent) {
        self.events.push(event);
    }
}

/// Whose things a list of this caller shows: of one tenant, or everybody's; none for a caller who sees nothing.
fn shown(ctx: &Ctx, named: Option<TenantId>) -> Option<Option<TenantId>> {
    match ctx.caller.reach {
        Reach::All => Some(named),
        Reach::One(own) => Some(Some(own)),
        Reach::None => None,
    }
}

/// What row security lets a read of this caller see.
pub(super) fn scope(ctx: &Ctx) -> Scope {
    match ctx.caller.reach {
        Reach::One(own) => Scope::Tenant(own),
        Reach::All | Reach::None => Scope::Platform,
    }
}

fn nesting(ctx: &Ctx) -> Nesting {
    if ctx.caller.is_platform_admin() { Nesting::Allowed } else { Nesting::Refused }
}

fn event(ctx: &Ctx, action: &str, crud: Crud, tenant: &Tenant, now: Timestamp) -> AuditEvent {
    ctx.event(action, crud, Party::target("tenant", tenant.id.to_string(), tenant.name.clone()), now).about(tenant)
}

fn host_event(ctx: &Ctx, action: &str, crud: Crud, tenant: &Tenant, route: &HostRoute, now: Timestamp) -> AuditEvent {
    let id = domain::change::host_change_id(&route.host, &route.prefix);
    ctx.event(action, crud, Party::target("host", id, route.url.clone()), now).about(tenant)
}

/// The event of a trial that ran out: whoever comes upon it, it is the freezing job's doing, and dated to the end.
fn expired_event(ctx: &Ctx, tenant: &Tenant, now: Timestamp) -> AuditEvent {
    let mut expired = event(ctx, "tenant.trial_expired", Crud::U, tenant, now);
    expired.actor = Some(Party::actor("system:trial_expiry"));
    expired.source_ip = None;
    expired.created = tenant.frozen_at.unwrap_or(now);
    moved(expired, Status::Trial, tenant)
}

fn moved(event: AuditEvent, from: Status, tenant: &Tenant) -> AuditEvent {
    event.with("from", from.as_str()).with("to", tenant.status.as_str())
}
