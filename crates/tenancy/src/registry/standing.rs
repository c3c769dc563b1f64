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

#[cfg(test)]
mod tests {
    use super::*;
    use Health::{Disabled, Healthy, Pending, Unverified};

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Event {
        Valid,
        Transient,
        Permanent,
        Built,
        Failed,
    }
    use Event::{Built, Failed, Permanent, Transient, Valid};

    fn after(standing: Standing, event: Event) -> Standing {
        match event {
            Valid => standing.after_verdict(&Verdict::Valid),
            Transient => standing.after_verdict(&Verdict::Transient("t".into())),
            Permanent => standing.after_verdict(&Verdict::Permanent("p".into())),
            Built => standing.after_build(true),
            Failed => standing.after_build(false),
        }
    }

    #[track_caller]
    fn check(built: bool, steps: &[(Event, Health)]) {
        let mut standing = Standing::new(built);
        assert_eq!(standing.health, Pending);
        for (at, (event, health)) in steps.iter().enumerate() {
            standing = after(standing, *event);
            assert_eq!(standing.health, *health, "after {:?}", &steps[..=at]);
        }
    }

    #[test]
    fn with_its_platform_a_tenant_follows_the_table_of_health() {
        check(true, &[(Transient, Pending), (Permanent, Disabled), (Transient, Disabled), (Valid, Healthy)]);
        check(true, &[(Valid, Healthy), (Transient, Unverified), (Transient, Unverified), (Valid, Healthy)]);
        check(true, &[(Valid, Healthy), (Permanent, Disabled), (Transient, Disabled), (Valid, Healthy)]);
        check(true, &[(Valid, Healthy), (Transient, Unverified), (Permanent, Disabled), (Transient, Disabled)]);
    }

    #[test]
    fn without_its_platform_a_tenant_is_pending_until_it_is_validated_and_built() {
        check(false, &[(Valid, Pending), (Built, Healthy), (Transient, Unverified)]);
        check(false, &[(Transient, Pending), (Transient, Pending), (Valid, Pending), (Built, Healthy)]);
        check(false, &[(Permanent, Disabled), (Transient, Disabled), (Valid, Pending), (Built, Healthy)]);
        check(false, &[(Valid, Pending), (Permanent, Disabled), (Valid, Pending), (Built, Healthy)]);
    }

    #[test]
    fn a_passing_failure_leaves_what_was_valid_but_never_built_pending() {
        check(false, &[(Valid, Pending), (Transient, Pending), (Transient, Pending)]);
        check(false, &[(Valid, Pending), (Transient, Pending), (Built, Unverified), (Valid, Healthy)]);
        check(false, &[(Valid, Pending), (Transient, Pending), (Valid, Pending), (Built, Healthy)]);
    }

    #[test]
    fn a_factory_that_failed_disables_until_it_succeeds() {
        check(false, &[(Valid, Pending), (Failed, Disabled), (Valid, Disabled), (Built, Healthy)]);
        check(
            false,
            &[(Valid, Pending), (Failed, Disabled), (Transient, Disabled), (Valid, Disabled), (Built, Healthy)],
        );
        check(false, &[(Valid, Pending), (Failed, Disabled), (Failed, Disabled), (Built, Healthy)]);
        // A lasting verdict takes the place of the factory's failure: valid again, it is built by the next request.
        check(
            false,
            &[(Valid, Pending), (Failed, Disabled), (Permanent, Disabled), (Valid, Pending), (Built, Healthy)],
        );
    }

    #[test]
    fn a_replaced_tenant_is_healthy_and_was_valid() {
        assert_eq!(after(Standing::replaced(), Transient).health, Unverified);
        assert_eq!(after(Standing::replaced(), Permanent).health, Disabled);
        assert!(!Standing::replaced().build_failed());
    }

    /// A factory runs only of what is validated and not built, as `State::to_build` has it.
    fn possible(standing: Standing, event: Event) -> bool {
        !matches!(event, Built | Failed) || standing.validated && !standing.built
    }

    /// Every sequence of up to seven events.
    #[test]
    fn whatever_happens_what_serves_was_valid_once_and_has_its_platform() {
        let mut reached: Vec<(Standing, bool)> = [true, false].map(|built| (Standing::new(built), false)).into();
        let mut sequences = 0;
        for _ in 0..7 {
            let mut next = Vec::new();
            for (standing, was_valid) in reached {
                for event in [Valid, Transient, Permanent, Built, Failed] {
                    if possible(standing, event) {
                        next.push((after(standing, event), was_valid || event == Valid));
                    }
                }
            }
            for (standing, was_valid) in &next {
                assert!(!standing.health.serves() || *was_valid && standing.built, "{standing:?}");
                assert!(standing.health != Unverified || *was_valid, "{standing:?}");
            }
            sequences += next.len();
            reached = next;
        }
        assert!(sequences > 10_000, "only {sequences}");
    }
}
