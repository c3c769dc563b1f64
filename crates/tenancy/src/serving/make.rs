//! Services behind a layer as `axum::serve` takes them.
//!
//! A [`TenantGate`] goes to `axum::serve` with a TCP listener as it is, and for other listeners by the two methods that
//! axum's own router has too. Invariant: over TCP every request says which peer it came from, so that trusted proxies are
//! recognised without anybody having thought of it.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::task::{Context, Poll};

use axum::Extension;
use axum::ServiceExt;
use axum::extract::connect_info::IntoMakeServiceWithConnectInfo;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::AddExtension;
use axum::routing::IntoMakeService;
use axum::serve::IncomingStream;
use tokio::net::TcpListener;
use tower_layer::Layer;
use tower_service::Service;

use super::gate::TenantGate;

impl<S, P> TenantGate<S, P>
where
    Self: Service<Request>,
{
    /// For `axum::serve` with any listener; requests do not say where they come from.
    ///
    /// ```
    /// let registry: tenancy::TenantRegistry<axum::Router> = tenancy::TenantRegistry::builder().build();
    /// let make = registry.into_service().into_make_service();
    /// # drop(make);
    /// ```
    pub fn into_make_service(self) -> IntoMakeService<Self> {
        ServiceExt::<Request>::into_make_service(self)
    }

    /// For `axum::serve` with a listener whose connections tell a `C`, which requests then carry as `ConnectInfo<C>`.
    ///
    /// ```
    /// use std::net::SocketAddr;
    ///
    /// let registry: tenancy::TenantRegistry<axum::Router> = tenancy::TenantRegistry::builder().build();
    /// let make = registry.into_service().into_make_service_with_connect_info::<SocketAddr>();
    /// # drop(make);
    /// ```
    pub fn into_make_service_with_connect_info<C>(self) -> IntoMakeServiceWithConnectInfo<Self, C> {
        ServiceExt::<Request>::into_make_service_with_connect_info(self)
    }
}

impl<S: Clone, P> Service<IncomingStream<'_, TcpListener>> for TenantGate<S, P> {
    type Response = AddExtension<Self, ConnectInfo<SocketAddr>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, connection: IncomingStream<'_, TcpListener>) -> Self::Future {
        let peer = ConnectInfo(*connection.remote_addr());
        ready(Ok(Extension(peer).layer(self.clone())))
    }
}
