//! What is told of each request, for counters and histograms by tenant.
//!
//! A hook given to [`TenantLayer::on_request`](crate::TenantLayer::on_request) is called with a [`RequestReport`]; which
//! metrics library it feeds is the embedder's choice. Invariant: every request is reported exactly once, also one whose
//! caller went away; where there is no hook, nothing is measured.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use crate::id::TenantId;
use crate::registry::Refusal;

/// What is called with every [`RequestReport`].
///
/// ```
/// use std::sync::Arc;
/// use tenancy::{RequestHook, RequestReport};
///
/// let hook: RequestHook = Arc::new(|request: &RequestReport<'_>| println!("{}", request.decision.as_str()));
/// # drop(hook);
/// ```
pub type RequestHook = Arc<dyn Fn(&RequestReport<'_>) + Send + Sync>;

/// What became of one request.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use std::sync::Arc;
/// use tenancy::{Decision, RequestReport, TenantLayer, TenantRegistry};
///
/// let refused = Arc::new(AtomicU64::new(0));
/// let registry: TenantRegistry<()> = TenantRegistry::builder().build();
/// let layer = TenantLayer::new(registry).on_request({
///     let refused = Arc::clone(&refused);
///     move |request: &RequestReport<'_>| {
///         if request.decision != Decision::Served {
///             refused.fetch_add(1, Ordering::Relaxed);
///         }
///     }
/// });
/// # drop(layer);
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RequestReport<'a> {
    /// For whom the request was, also where it was refused. None: for nobody who is known, which keeps labels few whatever
    /// callers send.
    pub tenant_id: Option<&'a TenantId>,
    /// What was decided.
    pub decision: Decision,
    /// The answer's status. None: there was none, because the inner service failed or the caller went away.
    pub status: Option<StatusCode>,
    /// From when the layer saw the request until the answer's head was there.
    pub elapsed: Duration,
}

/// What a [`TenantLayer`](crate::TenantLayer) decided of a request.
///
/// ```
/// use tenancy::Decision;
///
/// assert_eq!(Decision::UnknownHost.as_str(), "unknown_host");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Decision {
    /// It went to the tenant.
    Served,
    /// Nobody is there: 404.
    UnknownHost,
    /// The tenant is not ready: 503.
    Pending,
    /// The tenant is disabled: 503.
    Disabled,
    /// The tenant is suspended: 503.
    Suspended,
    /// The caller proved to belong to another tenant: 403.
    Mismatch,
    /// The request contradicts itself, or a resolver rejected it.
    Rejected,
    /// The caller went away while a lazy tenant was built.
    GivenUp,
}

impl Decision {
    /// A name for a metric's label, in `snake_case`.
    ///
    /// ```
    /// assert_eq!(tenancy::Decision::Served.as_str(), "served");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::UnknownHost => "unknown_host",
            Self::Pending => "pending",
            Self::Disabled => "disabled",
            Self::Suspended => "suspended",
            Self::Mismatch => "mismatch",
            Self::Rejected => "rejected",
            Self::GivenUp => "given_up",
        }
    }
}

impl From<&Refusal> for Decision {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::UnknownHost | Refusal::UnknownTenant => Self::UnknownHost,
            Refusal::Pending { .. } => Self::Pending,
            Refusal::Disabled { .. } => Self::Disabled,
            Refusal::Suspended { .. } => Self::Suspended,
        }
    }
}

/// One request under way; it reports when it is dropped.
pub(super) struct Watch {
    hook: RequestHook,
    begun: Instant,
    tenant_id: Option<TenantId>,
    decision: Decision,
    status: Option<StatusCode>,
}

impl Watch {
    pub(super) fn begin(hook: &RequestHook) -> Self {
        let hook = Arc::clone(hook);
        Self { hook, begun: Instant::now(), tenant_id: None, decision: Decision::GivenUp, status: None }
    }

    pub(super) fn decided(&mut self, decision: Decision, tenant_id: Option<TenantId>) {
        (self.decision, self.tenant_id) = (decision, tenant_id);
    }

    pub(super) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Self { tenant_id, decision, status, .. } = self;
        let elapsed = self.begun.elapsed();
        let report = RequestReport { tenant_id: tenant_id.as_ref(), decision: *decision, status: *status, elapsed };
        // A handler may have panicked already, and a second panic would end the process.
        if catch_unwind(AssertUnwindSafe(|| (self.hook)(&report))).is_err() {
            tracing::error!("a hook for requests panicked");
        }
    }
}
