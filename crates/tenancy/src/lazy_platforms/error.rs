//! Why there is no platform.
//!
//! What [`LazyPlatforms::get_or_build`](super::LazyPlatforms::get_or_build) answers to everybody who waited for the build.
//! Invariant: what the factory said is in it with credentials redacted.

use std::time::Duration;

use crate::flight::Fault;
use crate::reason::Reason;

/// Why a tenant's platform could not be built.
///
/// ```
/// use tenancy::BuildError;
///
/// let error = BuildError::Failed { reason: "connection refused".into() };
/// assert_eq!(error.to_string(), "the platform could not be built: connection refused");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The factory said so.
    #[error("the platform could not be built: {reason}")]
    Failed {
        /// What it said, with credentials redacted.
        reason: Reason,
    },
    /// The factory panicked.
    #[error("the platform could not be built: the factory panicked: {reason}")]
    Panicked {
        /// What the panic said, with credentials redacted.
        reason: Reason,
    },
    /// The factory took too long, and was dropped.
    #[error("the platform could not be built within {limit:?}")]
    TimedOut {
        /// How long it may take.
        limit: Duration,
    },
    /// The runtime that the platform was being built in ended.
    #[error("the build of the platform was interrupted")]
    Interrupted,
}

impl BuildError {
    pub(super) fn new(fault: Fault, limit: Duration) -> Self {
        match fault {
            Fault::Failed(reason) => Self::Failed { reason },
            Fault::Panicked(reason) => Self::Panicked { reason },
            Fault::TimedOut => Self::TimedOut { limit },
        }
    }
}
