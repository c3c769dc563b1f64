//! How a tenant stands, and how a finding changes that: the one place where health is decided.
//!
//! `registry/slot.rs` feeds it verdicts and the outcomes of factories and shows what it says. It is pure, so that it can
//! be read, and tested, as a table. Invariant: what serves was valid once and has a platform.

use crate::health::Health;
use crate::validate::Verdict;

impl Health {
    /// The health after a verdict: the whole transition, of a tenant that has its platform.
    ///
    /// | before | `Valid` | `Transient`, ever valid | `Transient`, never valid | `Permanent` |
    /// |---|---|---|---|---|
    /// | `pending` | `healthy` | `pending` | `pending` | `disabled` |
    /// | `healthy` | `healthy` | `unverified` | `pending` | `disabled` |
    /// | `unverified` | `healthy` | `unverified` | `pending` | `disabled` |
    /// | `disabled` | `healthy` | `disabled` | `disabled` | `disabled` |
    ///
    /// A tenant that was never valid is never `healthy` or `unverified` before; the table is total all the same, and
    /// takes what cannot be to the state that refuses.
    ///
    /// ```
    /// use tenancy::{Health, Verdict};
    ///
    /// let trouble = Verdict::Transient("timed out".into());
    /// assert_eq!(Health::Healthy.after(true, &trouble), Health::Unverified);
    /// // A disabled tenant does not come back because its validation could not be carried out.
    /// assert_eq!(Health::Disabled.after(true, &trouble), Health::Disabled);
    /// ```
    #[must_use]
    pub fn after(self, ever_valid: bool, verdict: &Verdict) -> Self {
        match (verdict, self) {
            (Verdict::Valid, _) => Self::Healthy,
            (Verdict::Permanent(_), _) | (Verdict::Transient(_), Self::Disabled) => Self::Disabled,
            (Verdict::Transient(_), Self::Healthy | Self::Unverified) if ever_valid => Self::Unverified,
            (Verdict::Transient(_), Self::Pending | Self::Healthy | Self::Unverified) => Self::Pending,
        }
    }
}

/// How a tenant stands: its health, and what that rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) health: Health,
    /// There was a `Valid` verdict, and no `Permanent` one since, of what is configured now.
    pub(crate) validated: bool,
    /// The platform is there: given at once, or built.
    pub(crate) built: bool,
    /// The latest verdict was a `Transient` one.
    doubted: bool,
    /// There was a `Valid` verdict at any time.
    ever_valid: bool,
}

impl Standing {
    /// As registered, before anything was found.
    pub(crate) fn new(built: bool) -> Self {
        Self { health: Health::Pending, validated: false, built, doubted: false, ever_valid: false }
    }

    /// As replaced: valid, and with its platform.
    pub(crate) fn replaced() -> Self {
        Self { health: Health::Healthy, validated: true, built: true, doubted: false, ever_valid: true }
    }

    /// A factory failed; nothing but a recheck runs it again.
    pub(crate) fn build_failed(self) -> bool {
        !self.built && self.validated && self.health == Health::Disabled
    }

    #[must_use]
    pub(crate) fn after_verdict(self, verdict: &Verdict) -> Self {
        let mut next = self;
        match verdict {
            Verdict::Valid => (next.validated, next.doubted, next.ever_valid) = (true, false, true),
            Verdict::Transient(_) => next.doubted = true,
            Verdict::Permanent(_) => (next.validated, next.doubted) = (false, false),
        }
        next.health = match verdict {
            _ if self.built => self.health.after(self.ever_valid, verdict),
            // Valid it may be, but there is still nothing to serve it with.
            Verdict::Valid if self.build_failed() => Health::Disabled,
            Verdict::Valid => Health::Pending,
            Verdict::Transient(_) => self.health,
            Verdict::Permanent(_) => Health::Disabled,
        };
        next
    }

    #[must_use]
    pub(crate) fn after_build(self, succeeded: bool) -> Self {
        if !succeeded {
            return Self { built: false, health: Health::Disabled, ..self };
        }
        let health = match (self.validated, self.doubted) {
            (true, false) => Health::Healthy,
            (true, true) => Health::Unverified,
            (false, _) => self.health,
        };
        Self { built: true, health, ..self }
    }
}
