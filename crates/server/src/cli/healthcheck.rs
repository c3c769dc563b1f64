//! `tenant-registry healthcheck`: asks `/healthz` of `ADDR`, for containers without a shell.
//!
//! Written by hand over a socket: it runs every few seconds, and must not need what an HTTP client wants at its start
//! (certificates, a resolver's configuration). Invariant: it is over within [`LIMIT`].

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Outcome, block_on};
use crate::config::Config;

/// Below the usual limit of orchestrators for one check.
const LIMIT: Duration = Duration::from_secs(3);

pub(super) fn run(config: &Config) -> Outcome {
    let url = format!("{}/healthz", config.addr.local_url());
    let authority = config.addr.local_url().trim_start_matches("http://").to_owned();
    let answer = block_on(async { tokio::time::timeout(LIMIT, status_line(&authority)).await })?;
    let answer = answer.map_err(|_| format!("{url} does not answer within {LIMIT:?}"))?;
    let line = answer.map_err(|error| format!("{url} does not answer: {error}"))?;
    // RFC 9112, section 4: version, status, reason.
    let status = line.split(' ').nth(1).unwrap_or_default();
    if status.len() == 3 && status.starts_with('2') { Ok(()) } else { Err(format!("{url} answers {line:?}")) }
}

async fn status_line(authority: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(authority).await?;
    let request = format!("GET /healthz HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(4_096).read_to_end(&mut answer).await?;
    let text = String::from_utf8_lossy(&answer);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
