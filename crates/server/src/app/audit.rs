//! The audit log for others: what they publish into it, and what they read of it.
//!
//! What the service itself does is audited by [`App::commit`]. Invariants: what is published is stored whole or not at all,
//! and is not itself audited; a caller of one tenant reads that tenant's events and no others, by the filter's own
//! predicate as well as by row security.

use std::collections::HashMap;
use std::sync::Arc;

use domain::audit::Receipt;
use domain::error::VIOLATIONS_MAX;
use domain::time::from_micros;
use domain::{
    AuditEvent, Error, EventId, FieldCode, NewEvent, Reach, Resource, Result, TenantId, Timestamp, Violation,
};
use store::{AuditFilter, Page, Scope, Unaudited};

use super::directory::Known;
use super::tenants::scope;
use super::{App, Ctx};

/// How many events an export reads at once.
const EXPORT_PAGE: usize = 1_000;

/// What somebody publishes in one request.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The events.
    pub events: Vec<NewEvent>,
    /// Whether they came as an array, so that each is named by its place.
    pub is_array: bool,
}

impl Publication {
    /// What is wrong with the events, as much as is told at once, each field named with the place of its event in an array.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        let mut violations = Vec::new();
        for (place, event) in self.events.iter().enumerate() {
            let at = if self.is_array { format!("{place}.") } else { String::new() };
            event.check(&at, &mut violations);
            if violations.len() >= VIOLATIONS_MAX {
                violations.truncate(VIOLATIONS_MAX);
                break;
            }
        }
        violations
    }
}

impl App {
    /// Judges a publication before it is looked up whether it was made before: its rules, and, for callers of one tenant,
    /// reach and freeze.
    ///
    /// # Errors
    /// `Validation`, `NotFound`, `TenantFrozen`.
    pub async fn judge_publication(&self, ctx: &Ctx, publication: &Publication) -> Result<()> {
        let violations = publication.violations();
        // Whom every tenant is open to is judged when the events are stored: what was published before may be told again
        // though its tenant is gone.
        if !violations.is_empty() || ctx.caller.reach != Reach::All {
            self.groups(ctx, publication, violations).await?;
        }
        Ok(())
    }

    /// Stores events, all or none. Says which each of them is: one that its sender published before is that one.
    ///
    /// # Errors
    /// As [`App::judge_publication`].
    pub async fn publish_events(&self, ctx: &Ctx, publication: Publication) -> Result<Vec<EventId>> {
        let groups = self.groups(ctx, &publication, Vec::new()).await?;
        let now = ctx.now();
        let receive = |((event, group), place): ((NewEvent, Option<Group>), i64)| {
            let id = EventId::generate(&*ctx.clock, &*ctx.rng);
            // Events of one request keep their order in a list that is sorted by time.
            let received = from_micros(now.as_microsecond().saturating_add(place));
            let mut event = event.receive(Receipt { id, group, received });
            if let Some(request) = &ctx.request_id
                && !event.metadata.contains_key("request_id")
            {
                event.metadata.insert("request_id".to_owned(), request.to_string());
            }
            event
        };
        let mut events: Vec<AuditEvent> = publication.events.into_iter().zip(groups).zip(0..).map(receive).collect();
        // What claims nothing, neither a key nor an external id, needs no transaction of its own.
        let alone = events.len() == 1 && ctx.claim.is_none();
        if alone && let Some(event) = events.pop_if(|event| event.external_id.is_none()) {
            let id = event.id;
            self.single_events.append(event).await?;
            return Ok(vec![id]);
        }
        let mut tx = self.store.begin(Scope::Platform).await?;
        let ids = tx.publish_audit_events(&events).await?;
        if let Some(claim) = &ctx.claim {
            tx.complete(claim, &serde_json::to_string(&ids).map_err(Error::internal)?).await?;
        }
        tx.commit_unaudited(Unaudited::Publishing).await?;
        Ok(ids)
    }

    /// Whose each event is: the tenant that it names, else the caller's own. Tenants come from memory, without a lock: an
    /// event whose tenant goes at the same moment is one that readers see without it.
    async fn groups(
        &self,
        ctx: &Ctx,
        publication: &Publication,
        mut violations: Vec<Violation>,
    ) -> Result<Vec<Option<Group>>> {
        if !publication.is_array && !violations.is_empty() {
            return Err(Error::Validation(violations));
        }
        let mut known: HashMap<TenantId, Option<Arc<Known>>> = HashMap::new();
        let mut groups = Vec::with_capacity(publication.events.len());
        for (place, event) in publication.events.iter().enumerate() {
            let id = match (&event.group, ctx.caller.reach) {
                (Some(group), _) => group.id.parse::<TenantId>().ok().filter(|id| ctx.caller.reaches(*id)),
                (None, Reach::One(own)) => Some(own),
                (None, Reach::None) => None,
                (None, Reach::All) => {
                    groups.push(None);
                    continue;
                }
            };
            let tenant = match id {
                Some(id) => match known.get(&id) {
                    Some(tenant) => tenant.clone(),
                    None => known.entry(id).or_insert(self.directory.by_id(id).await?).clone(),
                },
                None => None,
            };
            match tenant {
                Some(tenant) => groups.push(Some((tenant.id, tenant.name.clone()))),
                None if publication.is_array && event.group.is_some() => violations.push(Violation::new(
                    format!("{place}.group.id"),
                    FieldCode::NotAllowed,
                    "there is no such tenant",
                )),
                None => return Err(Error::NotFound(Resource::NamedTenant)),
            }
        }
        if !violations.is_empty() {
            violations.truncate(VIOLATIONS_MAX);
            return Err(Error::Validation(violations));
        }
        let now = ctx.now();
        for tenant in known.values().flatten() {
            ctx.caller.may_write_to(tenant, now)?;
        }
        Ok(groups)
    }

    /// Audit events, newest first.
    ///
    /// # Errors
    /// `Forbidden`, and `NotFound` for tenants that the filter names in vain.
    pub async fn list_audit_events(
        &self,
        ctx: &Ctx,
        filter: AuditFilter,
        page: Page<(Timestamp, EventId)>,
    ) -> Result<Vec<AuditEvent>> {
        match self.readable(ctx, filter).await? {
            Some(filter) => self.audit_page(ctx, &filter, page).await,
            None => Ok(Vec::new()),
        }
    }

    /// Begins an export: everything that the filter shows. What is received meanwhile is newer than where the walk has
    /// come to; no clock bounds it, since that of another replica may be ahead.
    ///
    /// # Errors
    /// As [`App::list_audit_events`].
    pub async fn export_audit_events(self: &Arc<Self>, ctx: Ctx, filter: AuditFilter) -> Result<AuditExport> {
        let filter = self.readable(&ctx, filter).await?;
        Ok(AuditExport { app: Arc::clone(self), ctx, filter, after: None, slice: None })
    }

    /// Makes room for the events of this month and the next two.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn ensure_audit_partitions_all_tenants(&self, ctx: &Ctx) -> Result<()> {
        let mut tx = self.store.begin(Scope::Platform).await?;
        tx.ensure_audit_partitions(ctx.now()).await?;
        Ok(tx.commit_unaudited(Unaudited::JobBookkeeping).await?)
    }

    async fn audit_page(
        &self,
        ctx: &Ctx,
        filter: &AuditFilter,
        page: Page<(Timestamp, EventId)>,
    ) -> Result<Vec<AuditEvent>> {
        Ok(self.store.read(scope(ctx)).await?.list_audit_events(filter, page).await?)
    }

    /// The filter with what the caller may see; none for a caller who sees nothing.
    async fn readable(&self, ctx: &Ctx, mut filter: AuditFilter) -> Result<Option<AuditFilter>> {
        if let Some(former) = filter.former_tenant {
            if !ctx.caller.is_platform_admin() {
                return Err(Error::Forbidden("only platform admins may read the events of deleted tenants"));
            }
            if !self.store.read(Scope::Platform).await?.is_former_tenant(former).await? {
                return Err(Error::NotFound(Resource::NamedTenant));
            }
        }
        let Some(tenant) = self.listed_tenant(ctx, filter.tenant).await? else { return Ok(None) };
        filter.tenant = tenant;
        Ok(Some(filter))
    }
}

/// A tenant, and its name at the time.
type Group = (TenantId, String);

/// An export under way. Each page is a short transaction of its own, so that one that takes hours holds nothing.
///
/// A filter that few events match would make one statement read the whole log for a page of them. Such an export walks the
/// log day by day, from the newest downwards, and no statement looks at more than one day.
#[derive(Debug)]
pub struct AuditExport {
    app: Arc<App>,
    ctx: Ctx,
    /// What is left; none when there is nothing, or never was.
    filter: Option<AuditFilter>,
    after: Option<(Timestamp, EventId)>,
    /// Where the day begins that is being walked.
    slice: Option<Timestamp>,
}

impl AuditExport {
    /// The next events, which may be none of a day; `None` at the end.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn next(&mut self) -> Result<Option<Vec<AuditEvent>>> {
        let Some(filter) = &self.filter else { return Ok(None) };
        let since = match self.slice {
            None if needs_slices(filter) => match self.newest(filter).await? {
                Some(newest) => Some(start_of_day(newest)),
                None => {
                    self.filter = None;
                    return Ok(None);
                }
            },
            known => known,
        };
        let page = Page { after: self.after, limit: EXPORT_PAGE };
        // An option is less than another when it is none.
        let part = AuditFilter { from: filter.from.max(since), ..filter.clone() };
        let events = self.app.audit_page(&self.ctx, &part, page).await?;
        if events.len() == EXPORT_PAGE {
            self.after = events.last().map(|last| (last.received, last.id));
            self.slice = since;
        } else {
            (self.after, self.slice) = (None, None);
            self.filter = since.map(|since| AuditFilter { to: Some(since), ..filter.clone() });
        }
        Ok(Some(events))
    }

    /// When the newest event was received that may match, found by an index alone: days without any are passed over.
    async fn newest(&self, filter: &AuditFilter) -> Result<Option<Timestamp>> {
        let AuditFilter { tenant, former_tenant, from, to, .. } = *filter;
        let any = AuditFilter { tenant, former_tenant, from, to, ..AuditFilter::default() };
        let newest = self.app.audit_page(&self.ctx, &any, Page { after: None, limit: 1 }).await?;
        Ok(newest.first().map(|event| event.received))
    }
}

/// Whether a filter looks at what no index has, so that the events that it shows may be far between.
fn needs_slices(filter: &AuditFilter) -> bool {
    let AuditFilter { tenant: _, former_tenant: _, action, crud, actor_id, target_id, from: _, to: _, text } = filter;
    action.is_some() || crud.is_some() || actor_id.is_some() || target_id.is_some() || text.is_some()
}

fn start_of_day(at: Timestamp) -> Timestamp {
    const DAY: i64 = 24 * 3_600 * 1_000_000;
    from_micros(at.as_microsecond().div_euclid(DAY).saturating_mul(DAY))
}
