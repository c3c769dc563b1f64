//! For whom a request is, and whether it may go there.
//!
//! `gate.rs` asks for every request. The host and path, or a resolver, name a tenant; the registry says whether it is
//! served; the verified principal has the last word. Invariants: a request is let through with a
//! [`Resolved`] or not at all; a principal that belongs to another tenant learns nothing of how this one stands, and has
//! nothing built.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::header::{HOST, HeaderValue};
use http::{Request, Uri};
use ipnet::IpNet;
use tracing::Span;

use super::answer::Answer;
use super::host::{self, NoHost};
use super::report::{Decision, RequestHook};
use crate::id::TenantId;
use crate::registry::{Refusal, Resolved, TenantRegistry};
use crate::resolver::{Principal, RequestHead, Resolution, TENANT_MISMATCH, TenantResolver};

pub(super) type Built<P> = Pin<Box<dyn Future<Output = Result<Resolved<P>, Refusal>> + Send>>;

pub(super) struct Config<P> {
    pub(super) registry: TenantRegistry<P>,
    pub(super) by: By,
    pub(super) trusted: Vec<IpNet>,
    pub(super) show_reasons: bool,
    pub(super) spans: bool,
    pub(super) hook: Option<RequestHook>,
}

impl<P> Clone for Config<P> {
    fn clone(&self) -> Self {
        Self {
            registry: self.registry.clone(),
            by: self.by.clone(),
            trusted: self.trusted.clone(),
            hook: self.hook.clone(),
            ..*self
        }
    }
}

/// What names the tenant.
#[derive(Clone)]
pub(super) enum By {
    Host,
    Resolver(Arc<dyn TenantResolver>),
}

/// What was found out about a request.
pub(super) enum Found<P> {
    Served(Resolved<P>),
    /// The tenant is not there yet; it may be lazy.
    Waiting(Built<P>),
    Refused(Refused),
}

/// A request that goes no further.
pub(super) struct Refused {
    pub(super) tenant_id: Option<TenantId>,
    pub(super) decision: Decision,
    pub(super) answer: Answer,
}

impl Refused {
    fn rejected(answer: Answer) -> Self {
        Self { tenant_id: None, decision: Decision::Rejected, answer }
    }

    fn mismatch(tenant_id: TenantId) -> Self {
        Self { tenant_id: Some(tenant_id), decision: Decision::Mismatch, answer: Answer::mismatch() }
    }
}

impl From<NoHost> for Refused {
    fn from(trouble: NoHost) -> Self {
        match trouble {
            NoHost::Missing => Self { tenant_id: None, decision: Decision::UnknownHost, answer: Answer::NOBODY },
            NoHost::Conflict => Self::rejected(Answer::conflicting_hosts()),
        }
    }
}

/// By what a tenant was asked for.
enum Way<'r> {
    Host(Cow<'r, str>, &'r str),
    Id(TenantId),
}

impl<P: Send + Sync + 'static> Config<P> {
    #[inline]
    pub(super) fn find<B>(&self, request: &Request<B>) -> Found<P> {
        let principal = request.extensions().get::<Principal>();
        let way = match self.way(request, principal) {
            Ok(way) => way,
            Err(refused) => return Found::Refused(refused),
        };
        let answer = match &way {
            Way::Host(host, path) => self.registry.resolve_by_request(host, path),
            Way::Id(id) => self.registry.get(id),
        };
        match answer {
            Ok(resolved) => match check(principal, &resolved.tenant_id) {
                Ok(()) => Found::Served(resolved),
                Err(refused) => Found::Refused(refused),
            },
            Err(refusal) => self.refused_or_waiting(refusal, way, principal),
        }
    }

    /// What a lazy tenant's building led to.
    pub(super) fn settle<B>(
        &self,
        built: Result<Resolved<P>, Refusal>,
        request: &Request<B>,
    ) -> Result<Resolved<P>, Refused> {
        let principal = request.extensions().get::<Principal>();
        match built {
            // The host may be another tenant's than it was before the wait.
            Ok(resolved) => check(principal, &resolved.tenant_id).map(|()| resolved),
            Err(refusal) => {
                let tenant_id = self.way(request, principal).ok().and_then(|way| self.tenant_of(&refusal, &way));
                Err(self.refused(&refusal, tenant_id, principal))
            }
        }
    }

    pub(super) fn span(&self, tenant_id: &TenantId) -> Span {
        if self.spans { tracing::info_span!("request", tenant.id = tenant_id.as_str()) } else { Span::none() }
    }

    #[inline]
    fn way<'r, B>(&self, request: &'r Request<B>, principal: Option<&Principal>) -> Result<Way<'r>, Refused> {
        match &self.by {
            By::Host => Ok(Way::Host(host::asked(request, &self.trusted)?, request.uri().path())),
            By::Resolver(resolver) => self.named(&**resolver, request, principal).map(Way::Id),
        }
    }

    fn named<B>(
        &self,
        resolver: &dyn TenantResolver,
        request: &Request<B>,
        principal: Option<&Principal>,
    ) -> Result<TenantId, Refused> {
        let peer = host::peer(request.extensions());
        let head = RequestHead { principal, peer, ..RequestHead::of(request) };
        let resolution = match self.as_forwarded(request)? {
            None => resolver.resolve(&head),
            Some((uri, headers)) => resolver.resolve(&RequestHead { uri: &uri, headers: &headers, ..head }),
        };
        match resolution {
            Resolution::Tenant { id, .. } => Ok(id),
            Resolution::NotMine => Err(Refused::from(NoHost::Missing)),
            Resolution::Reject { status, code } => {
                let decision = if code == TENANT_MISMATCH { Decision::Mismatch } else { Decision::Rejected };
                Err(Refused { tenant_id: None, decision, answer: Answer::rejection(status, code) })
            }
        }
    }

    /// The request as it was before a trusted proxy changed its host: resolvers read `Host` and nothing else.
    fn as_forwarded<B>(&self, request: &Request<B>) -> Result<Option<(Uri, http::HeaderMap)>, Refused> {
        if self.trusted.is_empty() {
            return Ok(None);
        }
        let Some(host) = host::forwarded_host(request, &self.trusted)? else { return Ok(None) };
        let host = HeaderValue::from_bytes(host.as_bytes()).map_err(|_| NoHost::Missing)?;
        let mut headers = request.headers().clone();
        headers.insert(HOST, host);
        let target = request.uri().path_and_query().cloned().map_or_else(Uri::default, Uri::from);
        Ok(Some((target, headers)))
    }

    #[cold]
    fn refused_or_waiting(&self, refusal: Refusal, way: Way<'_>, principal: Option<&Principal>) -> Found<P> {
        let refused = self.refused(&refusal, self.tenant_of(&refusal, &way), principal);
        if refused.decision != Decision::Pending {
            return Found::Refused(refused);
        }
        let registry = self.registry.clone();
        Found::Waiting(match way {
            Way::Id(id) => Box::pin(async move { registry.get_lazy(&id).await }),
            Way::Host(host, path) => {
                let (host, path) = (host.into_owned(), path.to_owned());
                Box::pin(async move { registry.resolve_lazy_request(&host, &path).await })
            }
        })
    }

    fn refused(&self, refusal: &Refusal, tenant_id: Option<TenantId>, principal: Option<&Principal>) -> Refused {
        if let Some(id) = &tenant_id
            && let Err(refused) = check(principal, id)
        {
            return refused;
        }
        tracing::debug!(tenant_id = tenant_id.as_deref(), %refusal, "a request is refused");
        let answer = Answer::refusal(refusal, self.show_reasons);
        Refused { tenant_id, decision: Decision::from(refusal), answer }
    }

    /// Who it is that is not served.
    fn tenant_of(&self, refusal: &Refusal, way: &Way<'_>) -> Option<TenantId> {
        match way {
            _ if matches!(refusal, Refusal::UnknownHost | Refusal::UnknownTenant) => None,
            Way::Host(host, path) => self.registry.tenant_at(host, path),
            Way::Id(id) => self.registry.health(id).map(|_| id.clone()),
        }
    }
}

/// What a request names may not be somebody else's than what it proves (contract: proof always counts).
#[inline]
pub(super) fn check(principal: Option<&Principal>, tenant_id: &TenantId) -> Result<(), Refused> {
    match principal.and_then(|principal| principal.tenant.as_ref()) {
        Some(bound_to) if bound_to != tenant_id => Err(Refused::mismatch(tenant_id.clone())),
        Some(_) | None => Ok(()),
    }
}
