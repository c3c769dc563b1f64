//! Why it could not be found out whose a host is.
//!
//! What [`HostRouter::resolve`](super::HostRouter::resolve) answers when it has nothing better; a server answers 503 with
//! it. Invariant: that a host is unknown is no error.

use std::time::Duration;

use crate::flight::Fault;
use crate::reason::Reason;

/// Why it could not be found out whose a host is.
///
/// ```
/// use tenancy::LookupError;
///
/// let error = LookupError::Failed { reason: "connection refused".into() };
/// assert_eq!(error.to_string(), "the host could not be looked up: connection refused");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// The look-up said so.
    #[error("the host could not be looked up: {reason}")]
    Failed {
        /// What it said, with credentials redacted.
        reason: Reason,
    },
    /// The look-up panicked.
    #[error("the look-up of the host panicked: {reason}")]
    Panicked {
        /// What the panic said, with credentials redacted.
        reason: Reason,
    },
    /// The look-up took too long, and was dropped.
    #[error("the look-up of the host took longer than {limit:?}")]
    TimedOut {
        /// How long it may take.
        limit: Duration,
    },
    /// The runtime that the look-up ran in ended.
    #[error("the look-up of the host was interrupted")]
    Interrupted,
}

impl LookupError {
    pub(super) fn new(fault: Fault, limit: Duration) -> Self {
        match fault {
            Fault::Failed(reason) => Self::Failed { reason },
            Fault::Panicked(reason) => Self::Panicked { reason },
            Fault::TimedOut => Self::TimedOut { limit },
        }
    }
}
