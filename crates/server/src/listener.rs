//! Connections: taken, served, and ended in order.
//!
//! Invariant: once `shutdown` is cancelled, readiness is refused first; connections are taken for as long as a load
//! balancer needs to hear of that, and those in flight get until the deadline.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt};

use crate::api::state::ApiState;

/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// How long to wait after a failed accept (no file descriptors left, as a rule).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How a server ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending {
    /// How long connections are still taken while `/readyz` says no.
    pub(crate) drain: Duration,
    /// How long requests in flight get after that.
    pub(crate) deadline: Duration,
}

/// Serves until told to stop, and then until requests have ended or the deadline is over. Says when that is.
pub(crate) async fn run(
    listener: TcpListener,
    router: Router,
    state: &ApiState,
    shutdown: &CancellationToken,
    ending: Ending,
) -> Instant {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    server.http2().timer(TokioTimer::new()).keep_alive_interval(Some(Duration::from_secs(30)));
    let graceful = GracefulShutdown::new();
    let stop = async {
        shutdown.cancelled().await;
        state.begin_stop();
        tokio::time::sleep(ending.drain).await;
    };
    tokio::pin!(stop);
    loop {
        let (stream, peer) = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let _ = stream.set_nodelay(true);
        let asked = Arc::new(AtomicBool::new(false));
        let service = service(router.clone(), peer, Arc::clone(&asked));
        let connection = server.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            tokio::select! {
                outcome = connection => if let Err(error) = outcome {
                    tracing::debug!(%error, "a connection ended early");
                },
                () = silence(&asked) => tracing::debug!("a connection never asked anything"),
            }
        });
    }
    let until = Instant::now() + ending.deadline;
    drop(listener);
    if tokio::time::timeout_at(until, graceful.shutdown()).await.is_err() {
        tracing::warn!(deadline = ?ending.deadline, "requests in flight did not end in time");
    }
    until
}

/// Ends once a connection has been there for as long as a head may take without a request: hyper's own limit begins only
/// when it knows which protocol is spoken.
async fn silence(asked: &AtomicBool) {
    tokio::time::sleep(HEAD_TIMEOUT).await;
    if asked.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

fn service(
    router: Router,
    peer: SocketAddr,
    asked: Arc<AtomicBool>,
) -> impl hyper::service::Service<
    http::Request<Incoming>,
    Response = axum::response::Response,
    Error = std::convert::Infallible,
    Future: Send + 'static,
> + Send
+ Sync
+ 'static {
    hyper::service::service_fn(move |request: http::Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        let mut router = router.clone();
        async move {
            let mut request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            let ready = <Router as ServiceExt<http::Request<axum::body::Body>>>::ready(&mut router).await?;
            ready.call(request).await
        }
    })
}
