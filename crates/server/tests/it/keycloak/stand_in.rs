//! A registry that misbehaves, for the protocol mapper: it knows the one question and every bad answer to it.
//!
//! `mapper.rs` points a realm at it. Invariant: it notes each question that came whole, before it answers anything.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How a question is answered.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// With a status and a body.
    Whole(u16, String),
    /// With the first bytes of an answer that has more, and then with nothing.
    Half,
    /// Not at all; the connection stays open.
    Never,
    /// With the bundle, after a while.
    After(Duration),
    /// The connection is closed instead.
    Cut,
    /// A header line every now and then, for ever.
    Drip,
    /// With bytes that are no HTTP.
    Garbage,
}

/// A question.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) head: String,
    pub(super) body: Value,
}

/// The stand-in. It ends with the value.
#[derive(Debug)]
pub(super) struct StandIn {
    pub(super) url: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    answer: Mutex<Answer>,
    questions: Mutex<Vec<Question>>,
}

impl StandIn {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answer = Mutex::new(Answer::bundle("active"));
        let shared = Arc::new(Shared { answer, questions: Mutex::default() });
        let serving = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&serving);
                tokio::spawn(async move { _ = serve(stream, &shared).await });
            }
        });
        Self { url, shared, task }
    }

    /// How it answers from now on; what was asked before is forgotten.
    pub(super) fn answer(&self, answer: Answer) {
        *self.shared.answer.lock().unwrap() = answer;
        self.shared.questions.lock().unwrap().clear();
    }

    /// What was asked since then.
    pub(super) fn questions(&self) -> Vec<Question> {
        self.shared.questions.lock().unwrap().clone()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Answer {
    /// The registry's answer (contract, section 7) for the tenant that was asked for.
    pub(super) fn bundle(status: &str) -> Self {
        Self::Whole(200, bundle(status).to_string())
    }
}

pub(super) fn bundle(status: &str) -> Value {
    let products: &[&str] = if status == "frozen" { &[] } else { &["scan", "report"] };
    json!({
        "tenant_id": "0192f0c1-2b5e-7aaa-8bbb-000000000001", "slug": "acme", "products": products, "plan": "starter",
        "status": status,
    })
}

async fn serve(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    loop {
        let Some(question) = read_question(&mut stream).await? else { return Ok(()) };
        shared.questions.lock().unwrap().push(question);
        let answer = shared.answer.lock().unwrap().clone();
        match answer {
            Answer::Whole(status, body) => write_whole(&mut stream, status, &body).await?,
            Answer::After(pause) => {
                tokio::time::sleep(pause).await;
                write_whole(&mut stream, 200, &bundle("active").to_string()).await?;
            }
            Answer::Half => {
                let body = bundle("active").to_string();
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(&body.as_bytes()[..body.len() / 2]).await?;
                std::future::pending::<()>().await;
            }
            Answer::Never => std::future::pending::<()>().await,
            Answer::Drip => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
                loop {
                    stream.write_all(b"x-drip: 1\r\n").await?;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            Answer::Garbage => {
                stream.write_all(&[0xff; 600]).await?;
                return Ok(());
            }
            Answer::Cut => return Ok(()),
        }
    }
}

async fn write_whole(stream: &mut TcpStream, status: u16, body: &str) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status} Status\r\ncontent-type: application/json\r\nlocation: /elsewhere\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await
}

/// None at the end of the connection.
async fn read_question(stream: &mut TcpStream) -> std::io::Result<Option<Question>> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok()).flatten()
            });
            if body.len() >= length.unwrap_or(0) {
                let body = serde_json::from_str(body).unwrap_or(Value::Null);
                return Ok(Some(Question { head: head.to_lowercase(), body }));
            }
        }
        match stream.read(&mut part).await? {
            0 => return Ok(None),
            count => bytes.extend_from_slice(&part[..count]),
        }
    }
}
