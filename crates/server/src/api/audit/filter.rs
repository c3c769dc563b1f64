//! Which events are meant: the query parameters that the list and the export share.
//!
//! Invariant: both have the same filters under the same rules, because one macro writes both.

use domain::{ActionPattern, Caller, Crud, Error, FieldCode, Result, TenantId, Timestamp, Violation};
use store::AuditFilter;

use crate::api::fields::{instant, tenant_id};

/// Refuses callers who name a deleted tenant and are no platform admins, before anything else is said of the query: 403
/// comes first.
///
/// # Errors
/// `Forbidden`.
pub(super) fn judge_caller(caller: &Caller, query: Option<&str>) -> Result<()> {
    let names = |wanted: &str| {
        url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).any(|(name, _)| name == wanted)
    };
    if !caller.is_platform_admin() && names("former_tenant_id") {
        return Err(Error::Forbidden("only platform admins may read the events of deleted tenants"));
    }
    Ok(())
}

/// The parameters as they were sent.
pub(super) struct Asked {
    pub(super) tenant_id: Option<String>,
    pub(super) former_tenant_id: Option<String>,
    pub(super) action: Option<String>,
    pub(super) crud: Option<Crud>,
    pub(super) actor_id: Option<String>,
    pub(super) target_id: Option<String>,
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    pub(super) q: Option<String>,
}

impl Asked {
    /// The filter.
    ///
    /// # Errors
    /// `Validation`, with every broken rule.
    pub(super) fn read(self) -> Result<AuditFilter> {
        let mut violations = Vec::new();
        let mut tenant = |field: &'static str, text: Option<String>| -> Option<TenantId> {
            tenant_id(field, &text?).map_err(|violation| violations.push(violation)).ok()
        };
        let both = self.tenant_id.is_some() && self.former_tenant_id.is_some();
        let (tenant, former_tenant) =
            (tenant("tenant_id", self.tenant_id), tenant("former_tenant_id", self.former_tenant_id));
        if both {
            let message = "does not go together with tenant_id";
            violations.push(Violation::new("former_tenant_id", FieldCode::NotAllowed, message));
        }
        let action = self.action.and_then(|text| match ActionPattern::parse(&text) {
            Ok(action) => Some(action),
            Err(violation) => {
                violations.push(violation);
                None
            }
        });
        let mut time = |field: &'static str, text: Option<String>| -> Option<Timestamp> {
            instant(field, &text?).map_err(|violation| violations.push(violation)).ok()
        };
        let (from, to) = (time("from", self.from), time("to", self.to));
        if !violations.is_empty() {
            return Err(Error::Validation(violations));
        }
        let Self { crud, actor_id, target_id, q: text, .. } = self;
        Ok(AuditFilter { tenant, former_tenant, action, crud, actor_id, target_id, from, to, text })
    }
}

/// Defines a query with the filters, and further parameters.
macro_rules! filtered {
    ($(#[$doc:meta])* $name:ident { $($(#[$member_doc:meta])* $member:ident: $kind:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            $($(#[$member_doc])* $member: $kind,)*
            /// Only those of this tenant.
            #[schemars(extend("format" = "uuid"))]
            tenant_id: Option<String>,
            /// Only those of a tenant that was deleted; for platform admins.
            #[schemars(extend("format" = "uuid"))]
            former_tenant_id: Option<String>,
            /// Only this action, or with a `*` at the end those that begin so: `key.*`.
            #[schemars(length(min = 1, max = domain::audit::publish::ACTION_MAX + 1))]
            action: Option<String>,
            /// Only of this kind.
            #[schemars(with = "Option<super::view::CrudWord>")]
            crud: Option<domain::Crud>,
            /// Only done by this actor.
            #[schemars(length(min = 1, max = domain::audit::publish::ID_MAX))]
            actor_id: Option<String>,
            /// Only done to this target.
            #[schemars(length(min = 1, max = domain::audit::publish::ID_MAX))]
            target_id: Option<String>,
            /// Only received then or later.
            #[schemars(extend("format" = "date-time"))]
            from: Option<String>,
            /// Only received before.
            #[schemars(extend("format" = "date-time"))]
            to: Option<String>,
            /// Only with this text in action, actor, target, description, external id, component, address or a field's
            /// value, whatever its case; no wildcards.
            #[schemars(length(min = 1, max = domain::audit::publish::ID_MAX))]
            q: Option<String>,
        }

        impl $name {
            fn filter(self) -> domain::Result<store::AuditFilter> {
                let Self { tenant_id, former_tenant_id, action, crud, actor_id, target_id, from, to, q, .. } = self;
                let asked = super::filter::Asked {
                    tenant_id, former_tenant_id, action, crud, actor_id, target_id, from, to, q,
                };
                asked.read()
            }
        }
    };
}
pub(super) use filtered;
