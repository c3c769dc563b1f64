//! Connections: taken, served, and ended in order.
//!
//! Invariant: once `shutdown` is cancelled, readiness is refused first; connections are taken for as long as a load
//! balancer needs to hear of that, and those in flight get until the deadline.

mod quiet;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::Front;
use crate::api::state::ApiState;
use quiet::{Activity, Counted};

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
    front: Front,
    state: &ApiState,
    shutdown: &CancellationToken,
    ending: Ending,
) -> Instant {
    let mut server = auto::Builder::new(TokioExecutor::new());
    // `quiet` limits the time for a head.
    server.http1().header_read_timeout(None);
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
        let activity = Arc::<Activity>::default();
        let service = service(front.clone(), peer, Arc::clone(&activity));
        let stream = Counted { stream, activity: Arc::clone(&activity) };
        let connection = server.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            tokio::select! {
                // What has arrived is looked at before it is said that nothing has.
                biased;
                outcome = connection => if let Err(error) = outcome {
                    tracing::debug!(%error, "a connection ended early");
                },
                () = activity.silence() => tracing::debug!("a connection was quiet for too long"),
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

fn service(
    front: Front,
    peer: SocketAddr,
    activity: Arc<Activity>,
) -> impl hyper::service::Service<
    http::Request<Incoming>,
    Response = axum::response::Response,
    Error = std::convert::Infallible,
    Future: Send + 'static,
> + Send
+ Sync
+ 'static {
    hyper::service::service_fn(move |request: http::Request<Incoming>| {
        let (under_way, front) = (activity.begin(request.version()), front.clone());
        async move {
            let answered = front.answer(request.map(axum::body::Body::new), peer).await;
            drop(under_way);
            answered
        }
    })
}
