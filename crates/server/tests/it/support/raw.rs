//! Requests as bytes, for what no well-behaved client sends.
//!
//! Tests of bad input and manners use it. Invariant: the bytes arrive as they were given.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Service;

/// The head and the body of an answer.
#[derive(Debug)]
pub(crate) struct RawAnswer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Sends a request with the admin's credential; `head` is everything between that and the empty line.
pub(crate) async fn raw(service: &Service, request_line: &str, head: &[u8], body: &[u8]) -> RawAnswer {
    let address = service.url.strip_prefix("http://").unwrap();
    let mut bytes = format!(
        "{request_line} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\nauthorization: Bearer {}\r\n",
        super::client::DEV_TOKEN
    )
    .into_bytes();
    bytes.extend_from_slice(head);
    bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(body);
    raw_bytes(service, &bytes).await
}

/// Sends bytes, and reads until the connection is closed.
pub(crate) async fn raw_bytes(service: &Service, bytes: &[u8]) -> RawAnswer {
    let address = service.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server that answers before it has read everything may close while we write.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let text = String::from_utf8(answer).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    RawAnswer {
        status: status.unwrap_or_else(|| panic!("no answer: {text:?}")),
        head: head.to_lowercase(),
        body: body.to_owned(),
    }
}
