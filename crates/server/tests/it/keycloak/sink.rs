//! A mail sink: takes every mail over SMTP and delivers none, and shows what came with the HTTP API of Mailpit.
//!
//! Tests start one with [`MailSink::start`] and give a realm its SMTP address; `MAIL_SINK_URL` of a service is its
//! [`MailSink::url`]. `make dev-full` has the same one.
//! Invariant: nothing leaves this process, and both sockets listen on the loopback only.

mod mime;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use domain::{Clock as _, Timestamp};
use serde_json::{Value, json};
use server::clock::SystemClock;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use url::form_urlencoded;

/// More than any mail of Keycloak.
const MAIL_MAX: usize = 4 << 20;

/// How the SMTP side answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Takes every mail.
    Take,
    /// Refuses every recipient (550).
    Refuse,
    /// Takes the connection and says nothing, until the behaviour changes.
    Hang,
}

/// A mail as it came.
#[derive(Debug, Clone)]
pub(crate) struct Mail {
    pub(crate) id: String,
    /// Recipients of the envelope.
    pub(crate) to: Vec<String>,
    pub(crate) from: String,
    pub(crate) received_at: Timestamp,
    pub(crate) subject: String,
    /// The text part, decoded.
    pub(crate) text: String,
    /// The HTML part, decoded.
    pub(crate) html: String,
}

/// A running sink. It ends with the value.
#[derive(Debug)]
pub(crate) struct MailSink {
    /// Where mails go.
    pub(crate) smtp: SocketAddr,
    /// The HTTP API's base, as `MAIL_SINK_URL` wants it.
    pub(crate) url: String,
    shared: Arc<Shared>,
    tasks: [JoinHandle<()>; 2],
}

#[derive(Debug)]
struct Shared {
    mails: Mutex<Vec<Mail>>,
    behaviour: watch::Sender<Behaviour>,
}

impl MailSink {
    /// A sink on ports that the system chooses.
    pub(crate) async fn start() -> Self {
        let smtp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(smtp, http)
    }

    /// A sink on these sockets.
    pub(crate) fn on(smtp: TcpListener, http: TcpListener) -> Self {
        let shared = Arc::new(Shared { mails: Mutex::default(), behaviour: watch::channel(Behaviour::Take).0 });
        let (address, url) = (smtp.local_addr().unwrap(), format!("http://{}", http.local_addr().unwrap()));
        let router = axum::Router::new()
            .route("/api/v1/messages", get(list))
            .route("/api/v1/search", get(search))
            .route("/api/v1/message/{id}", get(message))
            .with_state(Arc::clone(&shared));
        let taking = Arc::clone(&shared);
        let tasks = [
            tokio::spawn(async move { serve_smtp(smtp, taking).await }),
            tokio::spawn(async move { axum::serve(http, router).await.unwrap() }),
        ];
        Self { smtp: address, url, shared, tasks }
    }

    /// How the SMTP side answers from now on.
    pub(crate) fn behave(&self, behaviour: Behaviour) {
        self.shared.behaviour.send_replace(behaviour);
    }

    /// The mails to an address, oldest first.
    pub(crate) fn mails_to(&self, address: &str) -> Vec<Mail> {
        let is_to = |mail: &&Mail| mail.to.iter().any(|to| to.eq_ignore_ascii_case(address));
        self.shared.all().iter().filter(is_to).cloned().collect()
    }

    /// The newest of so many mails to an address, once they are there; fails after ten seconds.
    pub(crate) async fn mail_to(&self, address: &str, count: usize) -> Mail {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        loop {
            let mails = self.mails_to(address);
            if mails.len() >= count {
                return mails.into_iter().next_back().unwrap();
            }
            assert!(tokio::time::Instant::now() < deadline, "{} mails to {address}, not {count}", mails.len());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for MailSink {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Mail {
    /// The link of the HTML part that leads to an action of Keycloak.
    pub(crate) fn link(&self) -> String {
        let found = mime::links(&self.html).find(|link| link.contains("/login-actions/") || link.contains("token="));
        found.unwrap_or_else(|| panic!("no link in the mail {:?}", self.subject))
    }

    fn summary(&self) -> Value {
        json!({
            "ID": self.id, "Subject": self.subject, "From": address(&self.from),
            "To": self.to.iter().map(|to| address(to)).collect::<Vec<_>>(),
            "Created": self.received_at.to_string(),
            "Snippet": self.text.chars().take(200).collect::<String>(),
        })
    }

    fn whole(&self) -> Value {
        let mut whole = self.summary();
        whole["Date"] = json!(self.received_at.to_string());
        whole["Text"] = json!(self.text);
        whole["HTML"] = json!(self.html);
        whole
    }
}

fn address(text: &str) -> Value {
    json!({ "Name": "", "Address": text })
}

impl Shared {
    fn all(&self) -> std::sync::MutexGuard<'_, Vec<Mail>> {
        self.mails.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, from: String, to: Vec<String>, raw: &[u8]) {
        let parsed = mime::parse(raw);
        let mut mails = self.all();
        let id = format!("mail-{}", mails.len() + 1);
        let received_at = SystemClock::default().now();
        mails.push(Mail { id, to, from, received_at, subject: parsed.subject, text: parsed.text, html: parsed.html });
    }

    /// The list that Mailpit shows: the newest first, a page of it.
    fn page(&self, asked: &Asked, matches: impl Fn(&Mail) -> bool) -> Response {
        let mails = self.all();
        let found: Vec<&Mail> = mails.iter().rev().filter(|mail| matches(mail)).collect();
        let number = |name, default| asked.get(name).and_then(|text| text.parse().ok()).unwrap_or(default);
        let (start, limit) = (number("start", 0), number("limit", 50));
        let messages: Vec<Value> = found.iter().skip(start).take(limit).map(|mail| mail.summary()).collect();
        as_json(&json!({
            "total": mails.len(), "messages_count": found.len(), "count": messages.len(), "start": start,
            "messages": messages,
        }))
    }
}

/// The query of a request.
type Asked = BTreeMap<String, String>;

fn asked(query: Option<String>) -> Asked {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect()
}

fn as_json(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

async fn list(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery) -> Response {
    shared.page(&asked(query), |_| true)
}

/// Of Mailpit's language only what is asked here: `to:"address"` and `to:address`, a part of a recipient without case.
async fn search(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery) -> Response {
    let asked = asked(query);
    let query = asked.get("query").cloned().unwrap_or_default();
    let Some(to) = query.trim().strip_prefix("to:").map(|to| to.trim_matches('"').to_lowercase()) else {
        return (StatusCode::BAD_REQUEST, "only to: is understood here").into_response();
    };
    shared.page(&asked, |mail| mail.to.iter().any(|own| own.to_lowercase().contains(&to)))
}

async fn message(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    let mails = shared.all();
    let found = if id == "latest" { mails.last() } else { mails.iter().find(|mail| mail.id == id) };
    found.map_or_else(|| StatusCode::NOT_FOUND.into_response(), |mail| as_json(&mail.whole()))
}

async fn serve_smtp(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        // A client that breaks off in the middle is no concern of ours.
        tokio::spawn(async move { _ = converse(stream, &shared).await });
    }
}

/// One SMTP conversation (RFC 5321 §4): as much of it as a client that sends mails needs.
async fn converse(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut behaviour = shared.behaviour.subscribe();
    let Ok(behaviour) = behaviour.wait_for(|now| *now != Behaviour::Hang).await.map(|now| *now) else { return Ok(()) };
    let (reading, mut writing) = stream.into_split();
    let mut reading = BufReader::new(reading);
    let (mut from, mut to) = (String::new(), Vec::new());
    writing.write_all(b"220 mail-sink\r\n").await?;
    let mut line = Vec::new();
    loop {
        line.clear();
        if reading.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        let verb: String = text.chars().take(4).collect::<String>().to_ascii_uppercase();
        let answer: &[u8] = match verb.as_str() {
            "EHLO" => b"250-mail-sink\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n",
            "MAIL" => {
                from = path(&text);
                to.clear();
                b"250 ok\r\n"
            }
            "RCPT" if behaviour == Behaviour::Refuse => b"550 nobody here\r\n",
            "RCPT" => {
                to.push(path(&text));
                b"250 ok\r\n"
            }
            "DATA" => {
                writing.write_all(b"354 go on\r\n").await?;
                let Some(raw) = read_data(&mut reading).await? else { return Ok(()) };
                shared.keep(from.clone(), to.clone(), &raw);
                b"250 kept\r\n"
            }
            "QUIT" => {
                writing.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            "HELO" | "RSET" | "NOOP" => b"250 ok\r\n",
            _ => b"502 not here\r\n",
        };
        writing.write_all(answer).await?;
    }
}

/// The lines up to the one with a single dot, the doubled dots undone (RFC 5321 §4.5.2). None if it is too long or breaks off.
async fn read_data(reading: &mut BufReader<tokio::net::tcp::OwnedReadHalf>) -> std::io::Result<Option<Vec<u8>>> {
    let mut raw = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        if reading.read_until(b'\n', &mut line).await? == 0 || raw.len() > MAIL_MAX {
            return Ok(None);
        }
        match line.as_slice() {
            b".\r\n" | b".\n" => return Ok(Some(raw)),
            [b'.', rest @ ..] => raw.extend_from_slice(rest),
            whole => raw.extend_from_slice(whole),
        }
    }
}

/// The address in `MAIL FROM:<a@b>`.
fn path(line: &str) -> String {
    let inside = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inside.map(|(address, _)| address.to_owned()).unwrap_or_default()
}
