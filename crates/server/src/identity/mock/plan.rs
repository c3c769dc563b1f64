//! What is to go wrong at which call of [`super::MockProvider`], and what it was asked.
//!
//! Invariant: calls are counted per operation, so that a plan says the same whatever else runs meanwhile.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use crate::identity::provider::{FaultKind, IdentityError};

/// How many calls the journal remembers.
const JOURNAL: usize = 1_000;

/// A call of the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "they are the methods of the port")]
pub enum Operation {
    Probe,
    EnsureOrganization,
    UpdateOrganization,
    DeleteOrganization,
    EnsureAccount,
    GetAccount,
    EnsureMember,
    EnsureAdmin,
    SendInvitation,
    InviteLink,
    SetAccountEnabled,
    LogOut,
    DeleteAccount,
}

impl Operation {
    /// The method's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::EnsureOrganization => "ensure_organization",
            Self::UpdateOrganization => "update_organization",
            Self::DeleteOrganization => "delete_organization",
            Self::EnsureAccount => "ensure_account",
            Self::GetAccount => "get_account",
            Self::EnsureMember => "ensure_member",
            Self::EnsureAdmin => "ensure_admin",
            Self::SendInvitation => "send_invitation",
            Self::InviteLink => "invite_link",
            Self::SetAccountEnabled => "set_account_enabled",
            Self::LogOut => "log_out",
            Self::DeleteAccount => "delete_account",
        }
    }
}

/// When a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Nothing was done.
    Before,
    /// All was done, and the answer was lost.
    After,
}

/// A call that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which.
    pub operation: Operation,
    /// The how manieth of its operation, from one.
    pub number: u64,
    /// Of what: an alias, an id, a tenant; never an address.
    pub subject: String,
    /// What came of it.
    pub outcome: Result<(), FaultKind>,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = self.outcome.map_or_else(FaultKind::code, |()| "done");
        write!(f, "{} {} #{}: {outcome}", self.operation.name(), self.subject, self.number)
    }
}

/// What goes wrong: a fault, or no end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planned {
    pub(super) kind: Option<FaultKind>,
    pub(super) moment: Moment,
}

#[derive(Debug)]
struct Plan {
    operation: Operation,
    /// Numbers of calls, both included.
    from: u64,
    to: u64,
    planned: Planned,
}

/// All plans, and the journal.
#[derive(Debug, Default)]
pub(super) struct Plans {
    plans: Vec<Plan>,
    calls: BTreeMap<Operation, u64>,
    journal: VecDeque<Entry>,
}

impl Plans {
    pub(super) fn add(&mut self, operation: Operation, from: u64, to: u64, kind: Option<FaultKind>, moment: Moment) {
        let before = self.calls(operation);
        let planned = Planned { kind, moment };
        let (from, to) = (before.saturating_add(from), before.saturating_add(to));
        self.plans.push(Plan { operation, from, to, planned });
    }

    pub(super) fn clear(&mut self) {
        self.plans.clear();
    }

    pub(super) fn calls(&self, operation: Operation) -> u64 {
        self.calls.get(&operation).copied().unwrap_or_default()
    }

    pub(super) fn begin(&mut self, operation: Operation) -> (u64, Option<Planned>) {
        let number = self.calls.entry(operation).or_default();
        *number += 1;
        let number = *number;
        let plan =
            self.plans.iter().find(|plan| plan.operation == operation && (plan.from..=plan.to).contains(&number));
        (number, plan.map(|plan| plan.planned))
    }

    pub(super) fn note(&mut self, entry: Entry) {
        if self.journal.len() == JOURNAL {
            self.journal.pop_front();
        }
        self.journal.push_back(entry);
    }

    pub(super) fn journal(&self) -> Vec<Entry> {
        self.journal.iter().cloned().collect()
    }
}

pub(super) fn fault(kind: FaultKind, detail: impl Into<String>) -> IdentityError {
    IdentityError { kind, detail: detail.into(), retry_after: None }
}
