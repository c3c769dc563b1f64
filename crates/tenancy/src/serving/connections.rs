//! Connections: taken, served, and ended in order.
//!
//! `serve.rs` runs one of these per address. It is what `axum::serve` does and two things more: a connection that brings
//! no request ends, and what has not ended when the time for it is over is ended. Invariant: once it returns, or is
//! dropped, none of its connections is open but those that were upgraded.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower_service::Service;

/// How long to wait after a failed accept (no file descriptors left, as a rule).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a connection may take for a request's head, and for its first request at all. As hyper has it for HTTP/1,
/// which does not look before the first bytes are there.
const HEAD_LIMIT: Duration = Duration::from_secs(30);

/// Serves until `stop` has no sender any more, and then until all requests have ended or `drain_limit` is over.
pub(super) async fn run<S>(listener: TcpListener, service: S, mut stop: watch::Receiver<()>, drain_limit: Duration)
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let mut server = Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT);
    server.http2().timer(TokioTimer::new()).keep_alive_interval(HEAD_LIMIT).enable_connect_protocol();
    let server = Arc::new(server);
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            // There is only the one change, that the sender is gone.
            _ = stop.changed() => break,
            Some(_) = open.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    open.spawn(attend(Arc::clone(&server), stream, peer, service.clone(), stop.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let ended = tokio::time::timeout(drain_limit, async { while open.join_next().await.is_some() {} }).await;
    if ended.is_err() {
        tracing::warn!(connections = open.len(), ?drain_limit, "requests in flight did not end in time");
        open.shutdown().await;
    }
}

async fn attend<S>(
    server: Arc<Builder<TokioExecutor>>,
    stream: TcpStream,
    peer: SocketAddr,
    service: S,
    mut stop: watch::Receiver<()>,
) where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    // Answers are written whole: waiting for more to send only delays them.
    let _ = stream.set_nodelay(true);
    let spoke = Arc::new(AtomicBool::new(false));
    let service = hyper::service::service_fn({
        let (service, spoke) = (TowerToHyperService::new(service), Arc::clone(&spoke));
        move |request: http::Request<Incoming>| {
            spoke.store(true, Ordering::Relaxed);
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            hyper::service::Service::call(&service, request)
        }
    });
    let mut connection = pin!(server.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let mut first_request = pin!(tokio::time::sleep(HEAD_LIMIT));
    let (mut waits, mut stops) = (true, false);
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%peer, error, "a connection ended early");
                }
                return;
            }
            _ = stop.changed(), if !stops => {
                stops = true;
                connection.as_mut().graceful_shutdown();
            }
            () = first_request.as_mut(), if waits => {
                waits = false;
                if !spoke.load(Ordering::Relaxed) {
                    return;
                }
            }
        }
    }
}
