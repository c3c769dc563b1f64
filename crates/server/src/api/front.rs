//! Where a request comes in from a connection: the router, and a short way past it.
//!
//! A router costs a few microseconds per request for what it can do: matching, parameters, a boxed service per layer. The
//! routes of [`DIRECT`] are asked thousands of times a second and answer from memory in less than that, so they are found
//! by comparing their path, and their handler runs inside the same manners. Invariant: the short way gives the answer that
//! the router gives, byte for byte; it is a shorter way to the same handler and knows nothing of its own.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use http::Method;
use tower::{Service, ServiceExt};

use super::state::ApiState;
use super::{api_keys, keycloak, manners};
use crate::config::AllowedOrigins;

/// What a handler gives when it is called.
pub(super) type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;

/// A handler to be called past the router.
type Short = fn(Request, ApiState) -> Answer;

/// POSTs without a parameter in their path that are answered from memory. Add yours here when a benchmark says so.
const DIRECT: &[(&str, Short)] =
    &[("/v1/internal/api-keys/verify", api_keys::verify), ("/v1/internal/keycloak/claims", keycloak::claims)];

/// What answers requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Front {
    router: Router,
    state: ApiState,
    /// Another origin's pages may read answers, which the layer that says so is needed for.
    shared: bool,
}

impl Front {
    /// The whole API.
    #[must_use]
    pub fn new(state: ApiState, origins: &AllowedOrigins) -> Self {
        let shared = !matches!(origins, AllowedOrigins::None);
        Self { router: super::router(state.clone(), origins), state, shared }
    }

    /// Answers a request of `peer`.
    pub async fn answer(mut self, mut request: Request, peer: SocketAddr) -> Result<Response, Infallible> {
        if let Some((path, handler)) = self.direct(&request) {
            let state = self.state.clone();
            let inner = |request| handler(request, state);
            return Ok(manners::around(&self.state, request, Some(peer.ip()), Some(path), inner).await);
        }
        request.extensions_mut().insert(ConnectInfo(peer));
        let ready = <Router as ServiceExt<http::Request<Body>>>::ready(&mut self.router).await?;
        ready.call(request).await
    }

    fn direct(&self, request: &Request) -> Option<(&'static str, Short)> {
        if self.shared || request.method() != Method::POST {
            return None;
        }
        let path = request.uri().path();
        DIRECT.iter().find(|(known, _)| *known == path).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_ways_are_routes_that_are_there_and_only_read() {
        let (_, document) = crate::api::documented_routes();
        let paths = document.paths.map(|paths| paths.paths).unwrap_or_default();
        for (path, _) in DIRECT {
            assert!(paths.contains_key(*path), "{path} is no route");
            assert!(manners::READING_POSTS.contains(path), "{path}");
        }
    }
}
