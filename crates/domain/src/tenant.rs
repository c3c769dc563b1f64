//! What a tenant is, and how it may change.
//!
//! `app` calls the transitions inside a store transaction; `api` shows the result. Everything is a pure function of the
//! tenant and the time. Invariant: a trial past its end reads exactly as it will once the freezing job has written it
//! down, so that nothing changes for a reader when it does.

mod rules;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, FieldCode, Result, Violation};
use crate::host::HostRoute;
use crate::ids::TenantId;
use crate::provisioning::Provisioning;
use crate::slug::Slug;
use crate::time::{Timestamp, plus_days};
use crate::words::words;
pub(crate) use rules::check_name;
use rules::{check_email, check_metadata, check_metadata_member, check_text, days_out_of_range, too_many_members};

/// The most characters of a tenant's name: Keycloak cuts an organization's name at 255.
pub const NAME_MAX: usize = 255;
/// The most members of `metadata`.
pub const METADATA_MAX: usize = 50;
/// The most characters of a key of `metadata` (as Stripe and WorkOS have it).
pub const METADATA_KEY_MAX: usize = 40;
/// The most characters of a value of `metadata` (as Stripe and WorkOS have it).
pub const METADATA_VALUE_MAX: usize = 500;
/// The longest trial, and the longest single extension, in days.
pub const TRIAL_DAYS_MAX: u32 = 365;
/// Days of a trial where the caller says nothing.
pub const TRIAL_DAYS_DEFAULT: u32 = 14;
/// The most characters of a cancellation's reason.
pub const REASON_MAX: usize = 1_000;
/// The most characters of the first administrator's name.
pub const ADMIN_NAME_MAX: usize = 255;
/// The most characters of an address (RFC 5321 §4.5.3.1.3).
pub const EMAIL_MAX: usize = 254;

words! {
    /// What was bought.
    Plan {
        /// The smallest.
        Starter = "starter",
        /// The middle one.
        Professional = "professional",
        /// The largest.
        Enterprise = "enterprise",
    }
}
words! {
    /// Where a tenant stands in its life.
    Status {
        /// Trying, until `trial_ends_at`.
        Trial = "trial",
        /// Paying.
        Active = "active",
        /// Reads only.
        Frozen = "frozen",
    }
}
words! {
    /// Why a tenant is frozen.
    StatusReason {
        /// Somebody cancelled it.
        Cancelled = "cancelled",
        /// Its trial ended.
        TrialExpired = "trial_expired",
    }
}

/// A tenant, with its host routes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Its slug; it never changes.
    pub slug: Slug,
    /// Its name, for people.
    pub name: String,
    /// What it bought.
    pub plan: Plan,
    /// Where it stands.
    pub status: Status,
    /// Why it is frozen, when it is.
    pub status_reason: Option<StatusReason>,
    /// When its trial ends or ended; none for a tenant that never had one.
    pub trial_ends_at: Option<Timestamp>,
    /// The platform's own notes about it.
    pub metadata: BTreeMap<String, String>,
    /// How it is reached, in the order in which the routes were added.
    pub hosts: Vec<HostRoute>,
    /// Counts changes of fields, status and hosts, from 1.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Since when it is frozen, when it is.
    pub frozen_at: Option<Timestamp>,
    /// Whom to invite as its first administrator.
    pub admin_email: Option<String>,
    /// That person's name.
    pub admin_name: Option<String>,
    /// How far its identity is provisioned. No part of `version`.
    #[serde(default)]
    pub provisioning: Provisioning,
}

/// What a new tenant is made of. [`NewTenant::check`] has the rules that no type can hold.
#[derive(Debug, Clone)]
pub struct NewTenant {
    /// Its slug.
    pub slug: Slug,
    /// Its name.
    pub name: String,
    /// What it bought.
    pub plan: Plan,
    /// Days of its trial, 1 to [`TRIAL_DAYS_MAX`].
    pub trial_days: u32,
    /// Whom to invite.
    pub admin_email: Option<String>,
    /// That person's name.
    pub admin_name: Option<String>,
    /// Notes.
    pub metadata: BTreeMap<String, String>,
    /// Routes.
    pub hosts: Vec<HostRoute>,
}

impl NewTenant {
    /// Every rule that the input breaks.
    #[must_use]
    pub fn check(&self) -> Vec<Violation> {
        let mut violations = check_name("name", &self.name);
        violations.extend(check_metadata(&self.metadata));
        if !(1..=TRIAL_DAYS_MAX).contains(&self.trial_days) {
            violations.push(days_out_of_range("trial_days"));
        }
        if let Some(email) = &self.admin_email {
            violations.extend(check_email("admin_email", email));
        }
        if let Some(name) = &self.admin_name {
            violations.extend(check_text("admin_name", name, ADMIN_NAME_MAX));
        }
        violations
    }

    /// The tenant, starting its trial at `now`.
    #[must_use]
    pub fn start(self, id: TenantId, now: Timestamp) -> Tenant {
        let invites = self.admin_email.is_some();
        Tenant {
            id,
            slug: self.slug,
            name: self.name,
            plan: self.plan,
            status: Status::Trial,
            status_reason: None,
            trial_ends_at: Some(plus_days(now, i64::from(self.trial_days))),
            metadata: self.metadata,
            hosts: self.hosts,
            version: 1,
            created_at: now,
            updated_at: now,
            frozen_at: None,
            admin_email: self.admin_email,
            admin_name: self.admin_name,
            provisioning: if invites { Provisioning::BEGUN } else { Provisioning::SKIPPED },
        }
    }
}

/// A merge patch (RFC 7396) of a tenant's own fields.
#[derive(Debug, Clone, Default)]
pub struct TenantPatch {
    /// A new name.
    pub name: Option<String>,
    /// A new plan.
    pub plan: Option<Plan>,
    /// What happens to the metadata.
    pub metadata: Option<MetadataPatch>,
}

/// What a patch does to the metadata.
#[derive(Debug, Clone)]
pub enum MetadataPatch {
    /// `null`: everything goes.
    Clear,
    /// Member by member: a value sets, a null removes.
    Merge(BTreeMap<String, Option<String>>),
}

impl TenantPatch {
    /// Every rule that the patch breaks, whatever the tenant.
    #[must_use]
    pub fn check(&self) -> Vec<Violation> {
        let mut violations = Vec::new();
        if let Some(name) = &self.name {
            violations.extend(check_name("name", name));
        }
        if let Some(MetadataPatch::Merge(members)) = &self.metadata {
            for (key, value) in members {
                violations.extend(check_metadata_member(key, value.as_deref()));
            }
        }
        violations
    }
}

impl Tenant {
    /// Whether a trial has run out by `now`, and nobody has written that down yet.
    #[must_use]
    pub fn trial_ran_out(&self, now: Timestamp) -> bool {
        self.status == Status::Trial && self.trial_ends_at.is_some_and(|end| end <= now)
    }

    /// Writes down that the trial ran out, dated to its end. Says whether there was anything to write.
    pub fn expire_trial(&mut self, now: Timestamp) -> bool {
        let Some(end) = self.trial_ends_at.filter(|_| self.trial_ran_out(now)) else { return false };
        self.status = Status::Frozen;
        self.status_reason = Some(StatusReason::TrialExpired);
        self.frozen_at = Some(end);
        self.updated_at = end;
        self.version += 1;
        true
    }

    /// The tenant as it reads at `now`.
    #[must_use]
    pub fn at(mut self, now: Timestamp) -> Self {
        self.expire_trial(now);
        self
    }

    /// Whether people and keys of the tenant may only read, as it is written down.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.status == Status::Frozen
    }

    /// Where it stands at `now`: a trial that ran out is frozen, whether or not that was written down.
    #[must_use]
    pub fn status_at(&self, now: Timestamp) -> Status {
        if self.trial_ran_out(now) { Status::Frozen } else { self.status }
    }

    /// Whether people and keys of the tenant may only read at `now`.
    #[must_use]
    pub fn is_frozen_at(&self, now: Timestamp) -> bool {
        self.status_at(now) == Status::Frozen
    }

    /// Trial or frozen becomes active.
    ///
    /// # Errors
    /// `InvalidTransition` for a tenant that is active.
    pub fn activate(&mut self, now: Timestamp) -> Result<()> {
        match self.status {
            Status::Trial | Status::Frozen => {}
            Status::Active => return Err(self.refuse("activate")),
        }
        self.status = Status::Active;
        self.status_reason = None;
        self.frozen_at = None;
        self.touch(now);
        Ok(())
    }

    /// Trial or active becomes frozen.
    ///
    /// # Errors
    /// `InvalidTransition` for a tenant that is frozen.
    pub fn cancel(&mut self, now: Timestamp) -> Result<()> {
        match self.status {
            Status::Trial | Status::Active => {}
            Status::Frozen => return Err(self.refuse("cancel")),
        }
        self.status = Status::Frozen;
        self.status_reason = Some(StatusReason::Cancelled);
        self.frozen_at = Some(now);
        self.touch(now);
        Ok(())
    }

    /// Adds days to a running trial, or starts it again from now once it ran out.
    ///
    /// # Errors
    /// `InvalidTransition` for a tenant that is active or was cancelled; a violation of `days` outside
    /// 1 to [`TRIAL_DAYS_MAX`], and when the trial would end after the last instant that RFC 3339 can write.
    pub fn extend_trial(&mut self, days: u32, now: Timestamp) -> Result<()> {
        if !(1..=TRIAL_DAYS_MAX).contains(&days) {
            return Err(Error::Validation(vec![days_out_of_range("days")]));
        }
        let from = match (self.status, self.status_reason) {
            (Status::Trial, _) => self.trial_ends_at.unwrap_or(now),
            (Status::Frozen, Some(StatusReason::TrialExpired)) => now,
            (Status::Frozen | Status::Active, _) => return Err(self.refuse("extend the trial of")),
        };
        let end = plus_days(from, i64::from(days));
        if end <= from || end == Timestamp::MAX {
            return Err(Error::invalid("days", FieldCode::OutOfRange, "the trial would end after the year 9999"));
        }
        self.status = Status::Trial;
        self.status_reason = None;
        self.frozen_at = None;
        self.trial_ends_at = Some(end);
        self.touch(now);
        Ok(())
    }

    /// Whether the tenant may be deleted.
    ///
    /// # Errors
    /// `InvalidTransition` unless it is frozen.
    pub fn check_delete(&self) -> Result<()> {
        match self.status {
            Status::Frozen => Ok(()),
            Status::Trial | Status::Active => Err(self.refuse("delete")),
        }
    }

    /// Applies a patch, and says which fields it changed. A patch that changes nothing leaves the version alone.
    ///
    /// # Errors
    /// Violations of the patch, and of `metadata` when it would hold more than [`METADATA_MAX`] members afterwards.
    pub fn patch(&mut self, patch: TenantPatch, now: Timestamp) -> Result<Vec<&'static str>> {
        let violations = patch.check();
        if !violations.is_empty() {
            return Err(Error::Validation(violations));
        }
        let mut changed = Vec::new();
        if let Some(name) = patch.name.filter(|name| *name != self.name) {
            self.name = name;
            changed.push("name");
        }
        if let Some(plan) = patch.plan.filter(|plan| *plan != self.plan) {
            self.plan = plan;
            changed.push("plan");
        }
        if let Some(metadata) = patch.metadata {
            let merged = match metadata {
                MetadataPatch::Clear => BTreeMap::new(),
                MetadataPatch::Merge(members) => merge(self.metadata.clone(), members),
            };
            if merged.len() > METADATA_MAX {
                return Err(Error::Validation(vec![too_many_members(merged.len())]));
            }
            if merged != self.metadata {
                self.metadata = merged;
                changed.push("metadata");
            }
        }
        if !changed.is_empty() {
            self.touch(now);
        }
        Ok(changed)
    }

    /// Adds a route. A route that is there already, however it is spelled, changes nothing.
    ///
    /// # Errors
    /// A violation of `url` past [`crate::host::HOSTS_MAX`] routes.
    pub fn add_host(&mut self, route: &HostRoute, now: Timestamp) -> Result<bool> {
        if self.hosts.iter().any(|known| known.same_route(route)) {
            return Ok(false);
        }
        if self.hosts.len() >= crate::host::HOSTS_MAX {
            return Err(Error::Validation(vec![crate::host::too_many_hosts("url", self.hosts.len() + 1)]));
        }
        self.hosts.push(route.clone());
        self.touch(now);
        Ok(true)
    }

    /// Removes a route; says whether it was there.
    pub fn remove_host(&mut self, route: &HostRoute, now: Timestamp) -> bool {
        let before = self.hosts.len();
        self.hosts.retain(|known| !known.same_route(route));
        let removed = self.hosts.len() < before;
        if removed {
            self.touch(now);
        }
        removed
    }

    fn touch(&mut self, now: Timestamp) {
        self.version += 1;
        self.updated_at = now;
    }

    fn refuse(&self, action: &'static str) -> Error {
        Error::InvalidTransition { from: self.status, action }
    }
}

fn merge(mut into: BTreeMap<String, String>, members: BTreeMap<String, Option<String>>) -> BTreeMap<String, String> {
    for (key, value) in members {
        match value {
            Some(value) => into.insert(key, value),
            None => into.remove(&key),
        };
    }
    into
}
