//! A Keycloak in this process, as far as the adapter can tell: stateful, strict, and able to go wrong at any call.
//!
//! Tests of faults start one with [`FakeKeycloak::start`]; the suite runs on it and on the real server, so that it cannot
//! drift. Each rule names the section of the facts that it comes from (§, measured on 26.7.3). Invariant: a call is one
//! step under one lock, as a transaction is one; a fault stands around that step and never within it.

mod faults;
mod groups;
mod mails;
mod organizations;
mod router;
mod state;
mod users;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use domain::Secret;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use server::identity::keycloak::{KeycloakSettings, Limits};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) use faults::Fault;
use faults::Faults;
pub(crate) use state::{Group, Options, Smtp, State, Version};

/// What the fake answers: a status, headers and a body.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// A request as the rules see it.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// As it was sent.
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// A running fake. It ends with the value.
#[derive(Debug)]
pub(crate) struct FakeKeycloak {
    /// Where it answers, with the sub-path that it was told to have.
    pub(crate) base_url: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    faults: Mutex<Faults>,
    released: watch::Sender<bool>,
}

impl FakeKeycloak {
    /// A realm with a mail server and everything switched on.
    pub(crate) async fn start() -> Self {
        Self::with(Options::default()).await
    }

    /// A realm like this.
    pub(crate) async fn with(options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let origin = format!("http://{address}");
        let base_url = format!("{origin}{}", options.sub_path);
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(options, origin)),
            faults: Mutex::default(),
            released: watch::Sender::new(false),
        });
        let server = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self { base_url, shared, server }
    }

    /// Settings by which its realm is reached, with a pause that tests can wait for.
    pub(crate) fn settings(&self) -> KeycloakSettings {
        let (realm, client, secret) = {
            let state = self.state();
            (state.realm.clone(), state.client_id.clone(), state.client_secret.clone())
        };
        let mut settings = KeycloakSettings::new(&self.base_url, realm, client, Secret::from(secret));
        settings.mail_sink_url = Some(format!("{}/sink/", self.base_url));
        settings.limits = Limits { pause: std::time::Duration::from_millis(5), ..Limits::default() };
        settings
    }

    /// What is in the realm.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.shared.state)
    }

    /// The `nth` call of that kind from now on, counted from one, goes wrong. A kind is the method and the path below the
    /// realm with `{}` for each id (`POST /organizations/{}/members`), `token`, or `*` for any.
    pub(crate) fn fault(&self, call: &str, nth: u32, fault: Fault) {
        lock(&self.shared.faults).add(call, nth, fault);
    }

    /// The calls so far, as [`FakeKeycloak::fault`] names them.
    pub(crate) fn calls(&self) -> Vec<String> {
        lock(&self.shared.faults).calls.clone()
    }

    /// How many calls of a kind there were.
    pub(crate) fn count(&self, call: &str) -> usize {
        self.calls().iter().filter(|made| *made == call).count()
    }

    /// A call of the Admin API by one who may do everything; the path begins after the realm's name.
    pub(crate) fn admin(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut state = self.state();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let asked = Asked {
            method: method.to_owned(),
            path: format!("{}/admin/realms/{}{path}", state.sub_path, state.realm),
            query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            headers: HeaderMap::from_iter([(http::header::CONTENT_TYPE, "application/json".parse().unwrap())]),
            body: body.map(|body| body.to_string().into_bytes()).unwrap_or_default(),
        };
        let reply = router::answer(&mut state, &asked, true);
        (reply.status, serde_json::from_slice(&reply.body).unwrap_or_default())
    }
}

impl Drop for FakeKeycloak {
    fn drop(&mut self) {
        self.shared.released.send_replace(true);
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        let service = hyper::service::service_fn(move |request| handle(Arc::clone(&shared), request));
        tokio::spawn(async move {
            // A connection that is cut is what some tests want.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// A service that fails has its connection closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is cut")]
struct Cut;

async fn handle(shared: Arc<Shared>, request: Request<hyper::body::Incoming>) -> Result<Response<Body>, Cut> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes().to_vec();
    let asked = Asked {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()).into_owned().collect(),
        headers: head.headers,
        body,
    };
    let fault = {
        let state = lock(&shared.state);
        let name = router::name_of(&state, &asked);
        drop(state);
        lock(&shared.faults).next(&name)
    };
    let hang = || async {
        let _ = shared.released.subscribe().wait_for(|released| *released).await;
        Err(Cut)
    };
    let answer = |shared: &Shared| router::answer(&mut lock(&shared.state), &asked, false);
    let mut reply = match fault {
        None => answer(&shared),
        Some(Fault::Status(status, retry_after, body)) => return Ok(plain(status, retry_after, body)),
        Some(Fault::Hang) => return hang().await,
        Some(Fault::HangAfter) => {
            answer(&shared);
            return hang().await;
        }
        Some(Fault::CutAfter) => {
            answer(&shared);
            return Err(Cut);
        }
        Some(Fault::Meanwhile(work)) => {
            work(&mut lock(&shared.state));
            answer(&shared)
        }
        Some(Fault::Instead(work, status, body)) => {
            work(&mut lock(&shared.state));
            return Ok(plain(status, None, body));
        }
        Some(Fault::Body(body)) => Reply { body, ..answer(&shared) },
        Some(Fault::Location(location)) => Reply { location, body: Vec::new(), ..answer(&shared) },
        Some(Fault::SlowBody) => {
            let reply = answer(&shared);
            let half = bytes::Bytes::from(reply.body[..reply.body.len() / 2].to_vec());
            let stalled = futures_util::stream::once(async move { Ok::<_, Infallible>(half) });
            let body = futures_util::StreamExt::chain(stalled, futures_util::stream::pending());
            return Ok(Response::builder().status(reply.status).body(Body::from_stream(body)).unwrap());
        }
    };
    let mut response = Response::builder().status(reply.status);
    if let Some(location) = reply.location.take() {
        response = response.header("location", location);
    }
    if !reply.body.is_empty() {
        response = response.header("content-type", "application/json");
    }
    Ok(response.body(Body::from(reply.body)).unwrap())
}

fn plain(status: u16, retry_after: Option<u64>, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::builder().status(status);
    if let Some(seconds) = retry_after {
        response = response.header("retry-after", seconds);
    }
    if (300..400).contains(&status) {
        response = response.header("location", "http://127.0.0.1:9/elsewhere");
    }
    response.body(Body::from(body)).unwrap()
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reply {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self { status, location: None, body: body.to_string().into_bytes() }
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self { status, location: None, body: Vec::new() }
    }

    /// §1.4: the shape `{errorMessage}`.
    pub(crate) fn message(status: u16, message: &str) -> Self {
        Self::json(status, &serde_json::json!({ "errorMessage": message }))
    }

    /// §1.4: the shape `{error}`.
    pub(crate) fn error(status: u16, error: &str) -> Self {
        Self::json(status, &serde_json::json!({ "error": error }))
    }

    /// §1.4: the shape `{error, error_description}`.
    pub(crate) fn described(status: u16, error: &str, description: &str) -> Self {
        Self::json(status, &serde_json::json!({ "error": error, "error_description": description }))
    }

    /// §1.4: what is too long, and whatever else nobody thought of.
    pub(crate) fn unknown_error() -> Self {
        Self::described(500, "unknown_error", "For more on this error consult the server log.")
    }

    /// §1.2: a creation answers with its id in `Location` alone.
    pub(crate) fn created(location: String) -> Self {
        Self { status: 201, location: Some(location), body: Vec::new() }
    }
}
