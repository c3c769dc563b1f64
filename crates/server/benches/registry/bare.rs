//! The peer of the warm reads: an axum handler that does nothing but answer the same bytes, to a POST once it has read
//! the body to its end.
//!
//! It runs in a process of its own (`--serve-bare FILE`), with the product's allocator, and says its address in its first
//! line. Invariant: plain `axum::serve`, no layer, no state, no header beyond the content type.

use std::io::Write as _;

use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use tokio::net::TcpListener;

use crate::Outcome;

/// Serves the bytes of a file until the process is killed.
pub(crate) fn run(args: &[String]) -> Outcome {
    let [file] = args else { return Err("--serve-bare FILE".into()) };
    let body = Bytes::from(std::fs::read(file)?);
    let answer = move || {
        let body = body.clone();
        async move { ([(CONTENT_TYPE, "application/json")], body) }
    };
    let answer_when_read = {
        let answer = answer.clone();
        move |_asked: Bytes| answer()
    };
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
        let router = Router::new()
            .route("/v1/tenants/by-slug/{slug}", get(answer))
            .route("/v1/internal/api-keys/verify", post(answer_when_read.clone()))
            .route("/v1/internal/keycloak/claims", post(answer_when_read));
        Ok(axum::serve(listener, router).await?)
    })
}
