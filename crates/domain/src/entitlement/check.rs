//! May a tenant do this? The one place where that is decided, and the rules that decided it.
//!
//! A pure function of tenant, entitlement, question and time, so that server and client decide alike. Invariant: the
//! chain ends at the first rule that fails, and the reason is that rule's; without a failure it is `allowed`.

use serde::Serialize;
use serde_json::Number;

use super::{Entitlement, EntitlementState, Limit};
use crate::error::{Error, FieldCode, Result};
use crate::tenant::Tenant;
use crate::time::Timestamp;
use crate::words::words;

words! {
    /// The rules, in the order in which they are asked.
    Rule {
        /// The tenant was given the product.
        Entitlement = "entitlement",
        /// It was not taken back.
        Revocation = "revocation",
        /// It has begun.
        Start = "start",
        /// It has not ended.
        Expiry = "expiry",
        /// The tenant is not frozen.
        Tenant = "tenant",
        /// The entitlement has the limit that was asked for.
        Limit = "limit",
        /// The limit allows the value.
        Value = "value",
    }
}
words! {
    /// What a rule said.
    Outcome {
        /// Go on.
        Pass = "pass",
        /// No.
        Fail = "fail",
    }
}
words! {
    /// Why it is so.
    Reason {
        /// No rule failed.
        Allowed = "allowed",
        /// The tenant was never given the product, or there is none.
        NotEntitled = "not_entitled",
        /// It is still to begin.
        NotStarted = "not_started",
        /// It is past its end.
        Expired = "expired",
        /// It was taken back.
        Revoked = "revoked",
        /// The tenant is frozen.
        TenantFrozen = "tenant_frozen",
        /// The entitlement has no such limit.
        UnknownLimit = "unknown_limit",
        /// The limit is lower, or off.
        LimitExceeded = "limit_exceeded",
    }
}

impl Rule {
    /// The reason of a decision that this rule made by failing.
    #[must_use]
    pub fn reason(self) -> Reason {
        match self {
            Self::Entitlement => Reason::NotEntitled,
            Self::Revocation => Reason::Revoked,
            Self::Start => Reason::NotStarted,
            Self::Expiry => Reason::Expired,
            Self::Tenant => Reason::TenantFrozen,
            Self::Limit => Reason::UnknownLimit,
            Self::Value => Reason::LimitExceeded,
        }
    }
}

/// A rule, and what it said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Which.
    pub rule: Rule,
    /// What.
    pub outcome: Outcome,
    /// In words.
    pub detail: String,
}

/// The answer, with everything that led to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// Whether.
    pub allowed: bool,
    /// Why.
    pub reason: Reason,
    /// The rules that were asked, in order.
    pub chain: Vec<Step>,
}

/// The limit that is asked for, and how much of it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Its name.
    pub limit: &'a str,
    /// How much; a limit that is a switch needs none.
    pub value: Option<&'a Number>,
}

/// Decides whether `tenant` may use what it has of a product, at `now`.
///
/// # Errors
/// A violation of `value` where the limit that was asked for is a number and no value was said.
pub fn check(
    tenant: &Tenant,
    entitlement: Option<&Entitlement>,
    asked: Option<Asked<'_>>,
    now: Timestamp,
) -> Result<Decision> {
    let mut chain = Chain::default();
    let stopped = chain.walk(tenant, entitlement, asked, now)?;
    let reason = stopped.map_or(Reason::Allowed, Rule::reason);
    Ok(Decision { allowed: stopped.is_none(), reason, chain: chain.0 })
}

#[derive(Default)]
struct Chain(Vec<Step>);

impl Chain {
    /// Asks one rule after the other; says which one failed.
    fn walk(
        &mut self,
        tenant: &Tenant,
        entitlement: Option<&Entitlement>,
        asked: Option<Asked<'_>>,
        now: Timestamp,
    ) -> Result<Option<Rule>> {
        macro_rules! ask {
            ($rule:expr, $holds:expr, $pass:expr, $fail:expr) => {
                if !self.note($rule, $holds, || if $holds { $pass } else { $fail }) {
                    return Ok(Some($rule));
                }
            };
        }
        let Some(held) = entitlement else {
            self.note(Rule::Entitlement, false, || "the tenant was never given the product".to_owned());
            return Ok(Some(Rule::Entitlement));
        };
        self.note(Rule::Entitlement, true, || format!("the tenant has `{}`, by {}", held.product, held.source));
        let is_kept = held.state != EntitlementState::Revoked;
        ask!(Rule::Revocation, is_kept, "it was not revoked".to_owned(), "it was revoked".to_owned());
        let since = || held.starts_at.map_or("it has no beginning".to_owned(), |start| format!("it begins at {start}"));
        ask!(Rule::Start, held.has_started(now), since(), since());
        let until = || held.expires_at.map_or("it has no end".to_owned(), |end| format!("it ends at {end}"));
        ask!(Rule::Expiry, !held.has_expired(now), until(), until());
        ask!(
            Rule::Tenant,
            !tenant.is_frozen_at(now),
            "the tenant is not frozen".to_owned(),
            "the tenant is frozen".to_owned()
        );
        let Some(Asked { limit: name, value }) = asked else { return Ok(None) };
        let Some(limit) = held.limits.get(name) else {
            self.note(Rule::Limit, false, || "the entitlement has no such limit".to_owned());
            return Ok(Some(Rule::Limit));
        };
        match limit {
            Limit::Switch(on) => {
                self.note(Rule::Limit, true, || "the limit is a switch".to_owned());
                ask!(Rule::Value, *on, "it is on".to_owned(), "it is off".to_owned());
            }
            Limit::Number(most) => {
                let Some(value) = value else {
                    let message = format!("is required: the limit `{name}` is a number");
                    return Err(Error::invalid("value", FieldCode::Required, message));
                };
                self.note(Rule::Limit, true, || format!("the limit is {most}"));
                let fits = at_most(value, most);
                ask!(Rule::Value, fits, format!("{value} is at most {most}"), format!("{value} is more than {most}"));
            }
        }
        Ok(None)
    }

    fn note(&mut self, rule: Rule, holds: bool, detail: impl FnOnce() -> String) -> bool {
        let outcome = if holds { Outcome::Pass } else { Outcome::Fail };
        self.0.push(Step { rule, outcome, detail: detail() });
        holds
    }
}

/// Whether `value` ≤ `most`, exactly: 2^53 + 1 is more than 2^53, although the nearest floating-point numbers are equal.
fn at_most(value: &Number, most: &Number) -> bool {
    // A cast to an integer ends at the integer's own ends, which are far outside what JSON's integers reach here.
    match (whole(value), whole(most)) {
        (Some(value), Some(most)) => value <= most,
        (Some(value), None) => most.as_f64().is_some_and(|most| value <= most.floor() as i128),
        (None, Some(most)) => value.as_f64().is_some_and(|value| value.ceil() as i128 <= most),
        (None, None) => value.as_f64().zip(most.as_f64()).is_some_and(|(value, most)| value <= most),
    }
}

fn whole(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::entitlement::{Grant, GrantState, Limits, Source};
    use crate::ids::{EntitlementId, TenantId};
    use crate::slug::Slug;
    use crate::tenant::{NewTenant, Plan};
    use crate::time::from_micros;

    const NOW: i64 = 1_790_000_000_000_001;

    fn at(seconds: i64) -> Timestamp {
        from_micros(NOW + seconds * 1_000_000)
    }

    fn tenant(frozen: bool, trial_days: u32) -> Tenant {
        let new = NewTenant {
            slug: Slug::stored("acme".to_owned()),
            name: "Acme".to_owned(),
            plan: Plan::Starter,
            trial_days,
            admin_email: None,
            admin_name: None,
            metadata: BTreeMap::new(),
            hosts: Vec::new(),
        };
        let mut tenant = new.start(TenantId(Uuid::nil()), at(0));
        if frozen {
            tenant.cancel(at(0)).unwrap();
        }
        tenant
    }

    fn held(starts: Option<i64>, expires: Option<i64>, revoked: bool, limits: &str) -> Entitlement {
        let limits: Limits = serde_json::from_str(limits).unwrap();
        let grant = Grant { state: GrantState::Active, starts_at: starts.map(at), expires_at: expires.map(at), limits };
        let mut held =
            grant.start(EntitlementId(Uuid::nil()), TenantId(Uuid::nil()), "crm".to_owned(), Source::Grant, at(0));
        if revoked {
            held.revoke(at(0));
        }
        held
    }

    /// The rules that were asked, of which the last failed unless the reason is `allowed`.
    #[track_caller]
    fn decides(decision: &Decision, reason: Reason, rules: &[Rule]) {
        assert_eq!(decision.reason, reason, "{decision:?}");
        assert_eq!(decision.chain.iter().map(|step| step.rule).collect::<Vec<_>>(), rules);
    }

    #[test]
    fn the_first_rule_that_fails_ends_the_chain() {
        use Rule::{Expiry, Limit, Revocation, Start, Value};
        let (free, frozen) = (tenant(false, 14), tenant(true, 14));
        let given = [Rule::Entitlement, Revocation, Start, Expiry, Rule::Tenant, Limit, Value];
        let decide = |tenant: &Tenant, held: Option<&Entitlement>| check(tenant, held, None, at(1)).unwrap();
        decides(&decide(&frozen, None), Reason::NotEntitled, &given[..1]);
        // Everything is wrong with it: the first rule names the reason.
        decides(&decide(&frozen, Some(&held(Some(5), Some(1), true, "{}"))), Reason::Revoked, &given[..2]);
        decides(&decide(&frozen, Some(&held(Some(5), Some(1), false, "{}"))), Reason::NotStarted, &given[..3]);
        decides(&decide(&frozen, Some(&held(Some(1), Some(1), false, "{}"))), Reason::Expired, &given[..4]);
        decides(&decide(&frozen, Some(&held(None, None, false, "{}"))), Reason::TenantFrozen, &given[..5]);
        decides(&decide(&free, Some(&held(Some(1), Some(2), false, "{}"))), Reason::Allowed, &given[..5]);
        // A trial that ran out is frozen, whether or not that was written down.
        let ended = check(&tenant(false, 1), Some(&held(None, None, false, "{}")), None, at(86_400)).unwrap();
        decides(&ended, Reason::TenantFrozen, &given[..5]);
        let unknown = Asked { limit: "seats", value: Some(&1.into()) };
        let none = check(&free, Some(&held(None, None, false, "{}")), Some(unknown), at(1)).unwrap();
        decides(&none, Reason::UnknownLimit, &given[..6]);
        let sought = check(&frozen, Some(&held(None, None, false, "{}")), Some(unknown), at(1)).unwrap();
        decides(&sought, Reason::TenantFrozen, &given[..5]);
    }

    #[track_caller]
    fn limited(limit: &str, value: Option<&str>, expected: Option<Reason>) {
        let held = held(None, None, false, &format!(r#"{{"x":{limit}}}"#));
        let value: Option<Number> = value.map(|text| serde_json::from_str(text).unwrap());
        let outcome = check(&tenant(false, 14), Some(&held), Some(Asked { limit: "x", value: value.as_ref() }), at(1));
        assert_eq!(outcome.ok().map(|decision| decision.reason), expected, "{value:?} of {limit}");
    }

    #[test]
    fn numbers_are_compared_exactly_and_switches_must_be_on() {
        let (allowed, exceeded) = (Some(Reason::Allowed), Some(Reason::LimitExceeded));
        limited("10", Some("10"), allowed);
        limited("10", Some("11"), exceeded);
        limited("10", Some("10.0"), allowed);
        limited("10", Some("10.000001"), exceeded);
        limited("10.5", Some("10"), allowed);
        limited("10.5", Some("11"), exceeded);
        limited("0", Some("-1"), allowed);
        limited("-1", Some("0"), exceeded);
        limited("-0.5", Some("-1"), allowed);
        limited("-0.5", Some("0"), exceeded);
        limited("9007199254740992", Some("9007199254740993"), exceeded);
        limited("9007199254740992.0", Some("9007199254740993"), exceeded);
        limited("18446744073709551615", Some("18446744073709551615"), allowed);
        limited("18446744073709551614", Some("18446744073709551615"), exceeded);
        limited("1e300", Some("18446744073709551615"), allowed);
        limited("18446744073709551615", Some("1e300"), exceeded);
        limited("-9223372036854775808", Some("-1e300"), allowed);
        limited("1e300", Some("1e301"), exceeded);
        limited("true", None, allowed);
        limited("true", Some("7"), allowed);
        limited("false", None, exceeded);
        limited("false", Some("0"), exceeded);
        limited("10", None, None);
    }

    #[test]
    fn a_value_is_missed_only_when_it_would_decide() {
        let none = Asked { limit: "x", value: None };
        let revoked = held(None, None, true, r#"{"x":1}"#);
        let decision = check(&tenant(false, 14), Some(&revoked), Some(none), at(1)).unwrap();
        assert_eq!(decision.reason, Reason::Revoked);
    }

    proptest! {
        #[test]
        fn reason_and_chain_agree(
            is_given in any::<bool>(), starts in proptest::option::of(-3_i64..3), expires in proptest::option::of(-3_i64..3),
            revoked in any::<bool>(), frozen in any::<bool>(), limit in proptest::option::of("[xy]"), most in -2_i64..2,
            value in -2_i64..2, on in proptest::option::of(any::<bool>()),
        ) {
            let limits = on.map_or_else(|| format!(r#"{{"x":{most}}}"#), |on| format!(r#"{{"x":{on}}}"#));
            let held = is_given.then(|| held(starts, expires, revoked, &limits));
            let value = Number::from(value);
            let asked = limit.as_deref().map(|limit| Asked { limit, value: Some(&value) });
            let decision = check(&tenant(frozen, 14), held.as_ref(), asked, at(0)).unwrap();
            let (last, before) = decision.chain.split_last().unwrap();
            prop_assert!(before.iter().all(|step| step.outcome == Outcome::Pass));
            prop_assert_eq!(decision.allowed, decision.reason == Reason::Allowed);
            prop_assert_eq!(decision.allowed, last.outcome == Outcome::Pass);
            if !decision.allowed {
                prop_assert_eq!(decision.reason, last.rule.reason());
            }
            prop_assert!(decision.chain.iter().all(|step| !step.detail.is_empty()));
            if asked.is_none() {
                prop_assert_eq!(decision.allowed, held.is_some_and(|held| held.is_effective(at(0), frozen)));
            }
        }
    }
}
