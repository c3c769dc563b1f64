//! A real HTTP server on a port of its own, that remembers what it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Stops with the value.
pub(super) struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<(String, HeaderMap)>>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Answers every request with what `answer` makes of its path and query.
    pub(super) async fn start<F, Fut>(answer: F) -> Self
    where
        F: Fn(String) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Response> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = asked.clone();
        let app = axum::Router::new().fallback(move |request: Request| {
            let path = request.uri().to_string();
            heard.lock().unwrap().push((path.clone(), request.headers().clone()));
            answer(path)
        });
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, asked, task }
    }

    pub(super) async fn of_status(status: u16) -> Self {
        Self::start(move |_| async move { StatusCode::from_u16(status).unwrap().into_response() }).await
    }

    pub(super) async fn of_text(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::start(move |_| std::future::ready(text.clone().into_response())).await
    }

    pub(super) async fn of_json(document: Value) -> Self {
        Self::of_text(document.to_string()).await
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The paths that were asked for, in order.
    pub(super) fn paths(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|(path, _)| path.clone()).collect()
    }

    pub(super) fn headers(&self, request: usize) -> HeaderMap {
        self.asked.lock().unwrap()[request].1.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(super) fn redirect(status: u16, to: &str) -> Response {
    Response::builder().status(status).header(header::LOCATION, to).body(Body::empty()).unwrap()
}

/// The address of a server that is gone.
pub(super) async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
