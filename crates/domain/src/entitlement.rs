//! What a tenant has of a product, since when, until when, and within which limits.
//!
//! `app` grants, changes and revokes it inside a store transaction; [`check()`] decides what it allows. Invariant: what
//! the clock decides (`expired`, not yet begun, a frozen tenant) is never stored, but read off whenever it is asked for.

mod check;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Number;

use crate::error::{FieldCode, Violation};
use crate::ids::{EntitlementId, TenantId};
use crate::text;
use crate::time::{Timestamp, plus_days};
use crate::words::words;

pub use check::{Asked, Decision, Outcome, Reason, Rule, Step, check};

/// The most members of `limits`.
pub const LIMITS_MAX: usize = 100;
/// The most characters of a limit's name.
pub const LIMIT_NAME_MAX: usize = 64;

words! {
    /// What is stored of where an entitlement stands.
    EntitlementState {
        /// Tried.
        Trial = "trial",
        /// Bought.
        Active = "active",
        /// Taken back.
        Revoked = "revoked",
    }
}
words! {
    /// Where an entitlement stands at some moment.
    StateAt {
        /// Tried.
        Trial = "trial",
        /// Bought.
        Active = "active",
        /// Past its end.
        Expired = "expired",
        /// Taken back.
        Revoked = "revoked",
    }
}
words! {
    /// As what a product is given.
    GrantState {
        /// To be tried.
        Trial = "trial",
        /// For good.
        Active = "active",
    }
}
words! {
    /// How an entitlement came to be as it is.
    Source {
        /// A platform admin gave it.
        Grant = "grant",
        /// The tenant tries it.
        Trial = "trial",
        /// The tenant asked for it, and a platform admin agreed.
        Request = "request",
    }
}

impl From<GrantState> for EntitlementState {
    fn from(state: GrantState) -> Self {
        match state {
            GrantState::Trial => Self::Trial,
            GrantState::Active => Self::Active,
        }
    }
}

/// How much, or whether.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Limit {
    /// Whether.
    Switch(bool),
    /// At most this much.
    Number(Number),
}

/// Limits by name.
pub type Limits = BTreeMap<String, Limit>;

/// What one tenant has of one product. There is one of each pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entitlement {
    /// Its id.
    pub id: EntitlementId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Of which product: its key.
    pub product: String,
    /// Where it stands, but for the clock.
    pub state: EntitlementState,
    /// How it came to be so.
    pub source: Source,
    /// From when on it holds; always, where nothing is said.
    pub starts_at: Option<Timestamp>,
    /// From when on it holds no more; never, where nothing is said.
    pub expires_at: Option<Timestamp>,
    /// Within which limits.
    pub limits: Limits,
    /// When it was first given.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// What a tenant is to have of a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// As what.
    pub state: GrantState,
    /// From when on.
    pub starts_at: Option<Timestamp>,
    /// Until when.
    pub expires_at: Option<Timestamp>,
    /// Within which limits.
    pub limits: Limits,
}

impl Grant {
    /// A trial of `days` that begins now.
    #[must_use]
    pub fn trial(days: u32, now: Timestamp) -> Self {
        Self {
            state: GrantState::Trial,
            starts_at: Some(now),
            expires_at: Some(plus_days(now, i64::from(days))),
            limits: Limits::new(),
        }
    }

    /// Every rule that it breaks at `now`.
    #[must_use]
    pub fn check(&self, now: Timestamp) -> Vec<Violation> {
        let mut violations = Vec::new();
        let mut broken = |field: &str, code, message: String| violations.push(Violation::new(field, code, message));
        if let Some(end) = self.expires_at {
            if end <= now {
                broken("expires_at", FieldCode::OutOfRange, "must be in the future".to_owned());
            } else if self.starts_at.is_some_and(|start| end <= start) {
                broken("expires_at", FieldCode::OutOfRange, "must be after starts_at".to_owned());
            }
        }
        if self.limits.len() > LIMITS_MAX {
            let message = format!("may have at most {LIMITS_MAX} members, has {}", self.limits.len());
            broken("limits", FieldCode::TooLong, message);
        }
        for name in self.limits.keys() {
            let (field, length) = (format!("limits.{name}"), name.chars().count());
            if length == 0 {
                broken(&field, FieldCode::TooShort, "a name must not be empty".to_owned());
            } else if length > LIMIT_NAME_MAX {
                let message = format!("a name may have at most {LIMIT_NAME_MAX} characters, has {length}");
                broken(&field, FieldCode::TooLong, message);
            } else if text::has_control(name) {
                broken(&field, FieldCode::InvalidFormat, "a name must not contain control characters".to_owned());
            }
        }
        violations
    }

    /// The entitlement that a tenant gets by it for the first time.
    #[must_use]
    pub fn start(
        self,
        id: EntitlementId,
        tenant_id: TenantId,
        product: String,
        source: Source,
        now: Timestamp,
    ) -> Entitlement {
        Entitlement {
            id,
            tenant_id,
            product,
            state: self.state.into(),
            source,
            starts_at: self.starts_at,
            expires_at: self.expires_at,
            limits: self.limits,
            created_at: now,
            updated_at: now,
        }
    }
}

impl Entitlement {
    /// Where it stands at `now`. What was revoked does not expire.
    #[must_use]
    pub fn state_at(&self, now: Timestamp) -> StateAt {
        match self.state {
            EntitlementState::Revoked => StateAt::Revoked,
            _ if self.has_expired(now) => StateAt::Expired,
            EntitlementState::Trial => StateAt::Trial,
            EntitlementState::Active => StateAt::Active,
        }
    }

    /// Whether the tenant may use the product at `now`; `tenant_frozen` is the tenant's standing at that time.
    #[must_use]
    pub fn is_effective(&self, now: Timestamp, tenant_frozen: bool) -> bool {
        let given = matches!(self.state_at(now), StateAt::Trial | StateAt::Active);
        given && self.has_started(now) && !tenant_frozen
    }

    fn has_started(&self, now: Timestamp) -> bool {
        self.starts_at.is_none_or(|start| start <= now)
    }

    fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// Replaces everything by a grant, and tells which fields that changed. One that changes nothing leaves the source
    /// alone too, unless it is a request that was approved: that is shown.
    pub fn replace(&mut self, grant: Grant, source: Source, now: Timestamp) -> Vec<&'static str> {
        let state = EntitlementState::from(grant.state);
        let fields = [
            ("state", self.state != state),
            ("starts_at", self.starts_at != grant.starts_at),
            ("expires_at", self.expires_at != grant.expires_at),
            ("limits", self.limits != grant.limits),
            ("source", source == Source::Request && self.source != source),
        ];
        let changed: Vec<_> = fields.into_iter().filter_map(|(field, changed)| changed.then_some(field)).collect();
        if !changed.is_empty() {
            self.state = state;
            self.source = source;
            self.starts_at = grant.starts_at;
            self.expires_at = grant.expires_at;
            self.limits = grant.limits;
            self.updated_at = now;
        }
        changed
    }

    /// Takes it back; says whether there was anything to take.
    pub fn revoke(&mut self, now: Timestamp) -> bool {
        if self.state == EntitlementState::Revoked {
            return false;
        }
        self.state = EntitlementState::Revoked;
        self.updated_at = now;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::from_micros;
    use uuid::Uuid;

    const NOW: i64 = 1_790_000_000_000_001;

    fn at(seconds: i64) -> Timestamp {
        from_micros(NOW + seconds * 1_000_000)
    }

    fn grant(state: GrantState, starts: Option<i64>, expires: Option<i64>) -> Grant {
        Grant { state, starts_at: starts.map(at), expires_at: expires.map(at), limits: Limits::new() }
    }

    fn given(grant: Grant) -> Entitlement {
        grant.start(EntitlementId(Uuid::nil()), TenantId(Uuid::nil()), "crm".to_owned(), Source::Grant, at(0))
    }

    #[test]
    fn the_state_is_read_off_the_clock_and_revoked_wins() {
        let mut trial = given(grant(GrantState::Trial, None, Some(10)));
        assert_eq!(trial.state_at(at(9)), StateAt::Trial);
        assert_eq!(trial.state_at(at(10)), StateAt::Expired, "the end itself is past it");
        assert!(trial.revoke(at(3)));
        assert_eq!((trial.state_at(at(9)), trial.state_at(at(99))), (StateAt::Revoked, StateAt::Revoked));
        assert!(!trial.revoke(at(4)));
        assert_eq!(trial.updated_at, at(3));
        assert_eq!(given(grant(GrantState::Active, Some(50), None)).state_at(at(0)), StateAt::Active);
    }

    #[test]
    fn effective_weighs_state_start_end_and_the_tenant() {
        let active = given(grant(GrantState::Active, Some(0), Some(10)));
        for (seconds, frozen, expected) in
            [(-1, false, false), (0, false, true), (9, false, true), (10, false, false), (5, true, false)]
        {
            assert_eq!(active.is_effective(at(seconds), frozen), expected, "{seconds} {frozen}");
        }
        let mut revoked = active;
        revoked.revoke(at(1));
        assert!(!revoked.is_effective(at(5), false));
        assert!(given(grant(GrantState::Trial, None, None)).is_effective(at(5), false));
    }

    #[track_caller]
    fn check(grant: &Grant, expected: &[(&str, FieldCode)]) {
        let found: Vec<_> = grant.check(at(0)).into_iter().map(|v| (v.field, v.code)).collect();
        let expected: Vec<_> = expected.iter().map(|(field, code)| ((*field).to_owned(), *code)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_grant_must_end_in_the_future_and_after_its_start() {
        let lasting = |starts, expires| grant(GrantState::Active, starts, expires);
        check(&lasting(None, None), &[]);
        check(&lasting(None, Some(1)), &[]);
        check(&lasting(None, Some(0)), &[("expires_at", FieldCode::OutOfRange)]);
        check(&lasting(None, Some(-1)), &[("expires_at", FieldCode::OutOfRange)]);
        check(&lasting(Some(-9), Some(1)), &[]);
        check(&lasting(Some(5), Some(6)), &[]);
        check(&lasting(Some(5), Some(5)), &[("expires_at", FieldCode::OutOfRange)]);
        check(&lasting(Some(5), Some(4)), &[("expires_at", FieldCode::OutOfRange)]);
        check(&lasting(Some(-9), None), &[]);
    }

    #[test]
    fn limits_are_counted_and_their_names_judged() {
        let with = |names: Vec<String>| Grant {
            limits: names.into_iter().map(|name| (name, Limit::Switch(true))).collect(),
            ..grant(GrantState::Active, None, None)
        };
        check(&with((0..100).map(|n| n.to_string()).collect()), &[]);
        check(&with((0..101).map(|n| n.to_string()).collect()), &[("limits", FieldCode::TooLong)]);
        check(&with(vec!["é".repeat(64)]), &[]);
        let long = "é".repeat(65);
        check(&with(vec![long.clone()]), &[(&format!("limits.{long}"), FieldCode::TooLong)]);
        check(&with(vec![String::new()]), &[("limits.", FieldCode::TooShort)]);
        check(&with(vec!["a\nb".to_owned()]), &[("limits.a\nb", FieldCode::InvalidFormat)]);
    }

    #[test]
    fn replacing_tells_what_changed_and_nothing_leaves_the_source() {
        let mut held = given(Grant::trial(14, at(0)));
        held.source = Source::Trial;
        let before = held.clone();
        assert_eq!(held.replace(Grant::trial(14, at(0)), Source::Grant, at(5)), Vec::<&str>::new());
        assert_eq!(held, before);
        let mut wanted = grant(GrantState::Active, None, Some(90));
        wanted.limits.insert("seats".to_owned(), Limit::Number(5.into()));
        assert_eq!(held.replace(wanted, Source::Grant, at(5)), ["state", "starts_at", "expires_at", "limits"]);
        assert_eq!((held.state, held.source, held.updated_at), (EntitlementState::Active, Source::Grant, at(5)));
        assert_eq!((held.id, held.created_at), (before.id, before.created_at));
    }

    #[test]
    fn limits_keep_their_numbers_through_json() {
        let text = r#"{"a":1,"b":1.5,"c":true,"d":18446744073709551615,"e":-9223372036854775808,"f":9007199254740993}"#;
        let limits: Limits = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&limits).unwrap(), text);
        serde_json::from_str::<Limits>(r#"{"a":"1"}"#).unwrap_err();
        serde_json::from_str::<Limits>(r#"{"a":null}"#).unwrap_err();
    }
}
