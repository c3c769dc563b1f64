//! What the audit log is told of identity work.
//!
//! Invariant: an event has ids, steps and codes, and never an address, a link or a secret.

use domain::audit::{AuditEvent, Crud, Party};
use domain::{IdentityWork, Tenant};

use crate::app::Ctx;

/// An event about the tenant whose work this is. Of one that is gone the slug is what is left of its name.
pub(super) fn told(ctx: &Ctx, work: &IdentityWork, action: &str, crud: Crud) -> AuditEvent {
    let target = Party::target("tenant", work.tenant_id.to_string(), work.slug.clone());
    let mut event = ctx.event(action, crud, target, ctx.now());
    event.group = Some(work.tenant_id);
    event.group_name = Some(work.slug.clone());
    for (name, value) in [("organization_id", &work.shown.organization_id), ("account_id", &work.account_id)] {
        if let Some(value) = value {
            event = event.with(name, value.clone());
        }
    }
    event
}

/// The event with the tenant's name, where the tenant is there.
pub(super) fn named(mut event: AuditEvent, tenant: &Tenant) -> AuditEvent {
    event.target = Some(Party::target("tenant", tenant.id.to_string(), tenant.name.clone()));
    event.about(tenant)
}
