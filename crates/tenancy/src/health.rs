//! The health of a tenant, as a name that is the same in code, in JSON and in logs.
//!
//! Whoever decides whether a request may reach a tenant asks [`Health::serves`]; whoever shows or stores a state uses
//! its text. Health is what the server itself found out; suspension, the control plane's word, is not a health.
//!
//! Invariant: every state has exactly one text, and [`Health::from_str`] reads exactly those texts.

use std::fmt;
use std::str::FromStr;

/// What a server has found out about one tenant.
///
/// | state | meaning | traffic |
/// |---|---|---|
/// | `pending` | registered, never validated | refused: 503 with `Retry-After` |
/// | `healthy` | validated | served |
/// | `unverified` | was healthy; the latest validation failed for a passing reason | served |
/// | `disabled` | failed for a lasting reason | refused: 503, until a recheck succeeds |
///
/// A tenant that was never valid is never `unverified`: a passing failure leaves it `pending`, or `disabled` if it was.
///
/// ```
/// use tenancy::Health;
///
/// assert_eq!(Health::Unverified.to_string(), "unverified");
/// assert_eq!("disabled".parse(), Ok(Health::Disabled));
/// assert!(Health::Unverified.serves() && !Health::Pending.serves());
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Health {
    /// Registered, never validated: traffic is refused for the time being.
    Pending,
    /// Validated: traffic is served.
    Healthy,
    /// Was healthy, and the latest validation failed for a passing reason: traffic is still served.
    Unverified,
    /// Failed for a lasting reason: traffic is refused until a recheck succeeds.
    Disabled,
}

impl Health {
    /// Every state, in the order of the table above.
    ///
    /// ```
    /// use tenancy::Health;
    ///
    /// assert!(Health::ALL.iter().all(|health| health.as_str().parse() == Ok(*health)));
    /// ```
    pub const ALL: &'static [Self] = &[Self::Pending, Self::Healthy, Self::Unverified, Self::Disabled];

    /// The state's one text, in lower case.
    ///
    /// ```
    /// assert_eq!(tenancy::Health::Pending.as_str(), "pending");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Healthy => "healthy",
            Self::Unverified => "unverified",
            Self::Disabled => "disabled",
        }
    }

    /// Whether requests reach a tenant in this state.
    ///
    /// ```
    /// assert!(tenancy::Health::Healthy.serves());
    /// assert!(!tenancy::Health::Disabled.serves());
    /// ```
    #[must_use]
    pub const fn serves(self) -> bool {
        match self {
            Self::Healthy | Self::Unverified => true,
            Self::Pending | Self::Disabled => false,
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Health {
    type Err = UnknownHealth;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|health| health.as_str() == text).ok_or(UnknownHealth)
    }
}

/// The text names no [`Health`]; the message lists the names there are.
///
/// ```
/// let error = "Healthy".parse::<tenancy::Health>().unwrap_err();
/// assert_eq!(error.to_string(), "not a health: expected `pending`, `healthy`, `unverified` or `disabled`");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a health: expected `pending`, `healthy`, `unverified` or `disabled`")]
#[non_exhaustive]
pub struct UnknownHealth;
