//! What handlers and the manners layer share; cheap to clone.
//!
//! Invariant: there is no global state: two servers in one process share nothing.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use domain::Secret;
use ipnet::IpNet;

use super::page::Cursors;
use super::schema::Schemas;
use crate::app::App;
use crate::identity::tokens::TokenVerifier;
use crate::telemetry::{Metrics, MetricsReader};

/// The state of a running API.
#[derive(Debug, Clone)]
pub struct ApiState(Arc<Inner>);

/// What [`ApiState`] holds.
#[derive(Debug)]
pub struct Inner {
    /// Who decides.
    pub app: Arc<App>,
    /// Whose tokens are believed; none without an issuer.
    pub verifier: Option<TokenVerifier>,
    /// The platform admin's token in dev.
    pub dev_token: Option<Secret>,
    /// Compiled schemas of inputs.
    pub schemas: Schemas,
    /// Seals list cursors.
    pub cursors: Cursors,
    /// Proxies whose forwarded headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// Whether somebody collects the spans of requests.
    pub traced: bool,
    /// What is counted.
    pub metrics: Metrics,
    /// Reads it out.
    pub metrics_reader: MetricsReader,
    /// The OpenAPI document and the pages made of it.
    pub document: Document,
    /// Whether the server has begun to stop.
    pub stopping: AtomicBool,
}

/// The OpenAPI document in its three forms.
#[derive(Debug, Clone, Default)]
pub struct Document {
    /// As JSON.
    pub json: Bytes,
    /// As YAML.
    pub yaml: Bytes,
    /// As a page.
    pub html: Bytes,
}

impl ApiState {
    /// Shares the parts.
    #[must_use]
    pub fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// From now on `/readyz` says no.
    pub fn begin_stop(&self) {
        self.0.stopping.store(true, Ordering::Release);
    }

    /// Whether the server has begun to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.0.stopping.load(Ordering::Acquire)
    }
}

impl Deref for ApiState {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}
