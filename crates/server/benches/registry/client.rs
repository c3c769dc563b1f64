//! One connection that is kept, for whoever asks one thing after the other and looks at every answer.
//!
//! The parts use it to set the scene through the public API, and where single answers are what is measured. Invariant:
//! an answer is read whole before the next request is written.

use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Outcome;

/// Longer than a server may take for any request.
const PATIENCE: Duration = Duration::from_secs(60);

/// Shorter than the registry keeps a connection on which nothing is asked: 15 s.
const IDLE: Duration = Duration::from_secs(5);

/// A connection and the credential that is shown on it.
#[derive(Debug)]
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    address: SocketAddr,
    used: Instant,
    token: String,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr, token: &str) -> Outcome<Self> {
        Ok(Self { stream: open(address)?, address, used: Instant::now(), token: token.to_owned() })
    }

    pub(crate) fn get(&mut self, path: &str) -> Outcome<Reply> {
        self.send("GET", path, "")
    }

    pub(crate) fn post(&mut self, path: &str, body: &str) -> Outcome<Reply> {
        self.send("POST", path, body)
    }

    pub(crate) fn delete(&mut self, path: &str) -> Outcome<Reply> {
        self.send("DELETE", path, "")
    }

    fn send(&mut self, method: &str, path: &str, body: &str) -> Outcome<Reply> {
        if self.used.elapsed() > IDLE {
            self.stream = open(self.address)?;
        }
        self.used = Instant::now();
        let request = request(method, path, &self.token, body);
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).ok_or("the server closed the connection")?.parse()?;
        let mut length = 0;
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse()?;
            }
        }
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        Ok(Reply { status, body: String::from_utf8(bytes)? })
    }
}

fn open(address: SocketAddr) -> Outcome<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(BufReader::new(stream))
}

impl Reply {
    /// The answer as JSON, if it has the status that it should have.
    pub(crate) fn json(self, status: u16) -> Outcome<Value> {
        if self.status != status {
            return Err(format!("not {status}: {self}").into());
        }
        Ok(if self.body.is_empty() { Value::Null } else { serde_json::from_str(&self.body)? })
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.body)
    }
}

/// A request as the load generator sends it; without a body where `body` is empty.
pub(crate) fn request(method: &str, path: &str, token: &str, body: &str) -> String {
    let what = if body.is_empty() {
        String::new()
    } else {
        format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len())
    };
    format!("{method} {path} HTTP/1.1\r\nhost: registry.test\r\nauthorization: Bearer {token}\r\n{what}\r\n{body}")
}

/// A text member of an answer.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> Outcome<&'a str> {
    value.pointer(pointer).and_then(Value::as_str).ok_or_else(|| format!("no {pointer} in {value}").into())
}

/// Makes an active tenant; its id.
pub(crate) fn make_tenant(admin: &mut Client, slug: &str) -> Outcome<String> {
    let made = admin.post("/v1/tenants", &format!(r#"{{"slug":"{slug}","name":"Bench {slug}"}}"#))?.json(201)?;
    let id = text(&made, "/id")?.to_owned();
    admin.post(&format!("/v1/tenants/{id}/activate"), "")?.json(200)?;
    Ok(id)
}

/// Makes a key of the platform; its plaintext.
pub(crate) fn make_platform_key(admin: &mut Client, scope: &str) -> Outcome<String> {
    let body = format!(r#"{{"tenant_id":null,"name":"Bench","scopes":["{scope}"]}}"#);
    let made = admin.post("/v1/api-keys", &body)?.json(201)?;
    Ok(text(&made, "/plaintext")?.to_owned())
}
