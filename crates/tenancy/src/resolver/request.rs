//! What resolvers read of a request.
//!
//! A server makes one per request, borrowing all of it, once it has verified the credential. Invariant: there is no body in
//! it, so that no resolver can wait for one.

use std::net::IpAddr;

use http::{HeaderMap, Method, Request, Uri, request::Parts};

use super::Principal;

/// A request without its body, and who is behind it.
///
/// ```
/// use tenancy::{Principal, RequestHead};
///
/// let request = http::Request::get("/orders").header("x-tenant-id", "acme").body(())?;
/// let principal = Principal::token("user-7").with_tenant("acme");
/// let head = RequestHead::of(&request).with_principal(&principal);
/// assert_eq!(head.uri.path(), "/orders");
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// The request's method.
    pub method: &'a Method,
    /// The request's target as it came: HTTP/2 and absolute-form requests have an authority, others do not.
    pub uri: &'a Uri,
    /// The request's headers as they came.
    pub headers: &'a HeaderMap,
    /// Who was verified to be behind the request; None where nobody was.
    pub principal: Option<&'a Principal>,
    /// The address that the connection came from, which may be a proxy's.
    pub peer: Option<IpAddr>,
}

impl<'a> RequestHead<'a> {
    /// A head of its parts, with nobody behind it and from nowhere.
    ///
    /// ```
    /// use http::{HeaderMap, Method, Uri};
    /// use tenancy::RequestHead;
    ///
    /// let (method, uri, headers) = (Method::GET, Uri::from_static("/orders"), HeaderMap::new());
    /// assert!(RequestHead::new(&method, &uri, &headers).principal.is_none());
    /// ```
    #[must_use]
    pub fn new(method: &'a Method, uri: &'a Uri, headers: &'a HeaderMap) -> Self {
        Self { method, uri, headers, principal: None, peer: None }
    }

    /// The head of a request. Extensions are not read: see [`Self::with_principal`].
    ///
    /// ```
    /// let request = http::Request::new("a body");
    /// assert_eq!(tenancy::RequestHead::of(&request).method, http::Method::GET);
    /// ```
    #[must_use]
    pub fn of<B>(request: &'a Request<B>) -> Self {
        Self::new(request.method(), request.uri(), request.headers())
    }

    /// The same, with somebody behind it who was verified.
    ///
    /// ```
    /// # let request = http::Request::new(());
    /// let principal = tenancy::Principal::api_key("key-7");
    /// let head = tenancy::RequestHead::of(&request).with_principal(&principal);
    /// assert_eq!(head.principal, Some(&principal));
    /// ```
    #[must_use]
    pub fn with_principal(mut self, principal: &'a Principal) -> Self {
        self.principal = Some(principal);
        self
    }

    /// The same, come from this address.
    ///
    /// ```
    /// # let request = http::Request::new(());
    /// let head = tenancy::RequestHead::of(&request).with_peer([192, 0, 2, 7]);
    /// assert!(head.peer.is_some_and(|peer| peer.is_ipv4()));
    /// ```
    #[must_use]
    pub fn with_peer(mut self, peer: impl Into<IpAddr>) -> Self {
        self.peer = Some(peer.into());
        self
    }
}

impl<'a> From<&'a Parts> for RequestHead<'a> {
    fn from(parts: &'a Parts) -> Self {
        Self::new(&parts.method, &parts.uri, &parts.headers)
    }
}

impl<'a, B> From<&'a Request<B>> for RequestHead<'a> {
    fn from(request: &'a Request<B>) -> Self {
        Self::of(request)
    }
}
