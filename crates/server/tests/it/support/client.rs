//! An HTTP client for tests. Every answer to a documented operation is checked against the document's schema for its
//! status, so that no test can pass while the document is wrong.

use std::sync::{Arc, OnceLock};

use http::HeaderMap;
use reqwest::Method;
use serde_json::{Value, json};

/// The dev token of every test service.
pub(crate) const DEV_TOKEN: &str = "dev-token-of-the-tests";

/// A client with one credential.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    base: Arc<str>,
    http: reqwest::Client,
    headers: Vec<(String, String)>,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    /// The body as JSON; null where it is none.
    pub(crate) body: Value,
}

impl Client {
    pub(crate) fn new(base: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { base: base.into(), http, headers: Vec::new() }
    }

    /// The same client with another bearer token.
    pub(crate) fn bearer(&self, token: &str) -> Self {
        self.anonymous().with("authorization", &format!("Bearer {token}"))
    }

    /// The same client without a credential.
    pub(crate) fn anonymous(&self) -> Self {
        Self { headers: Vec::new(), ..self.clone() }
    }

    /// The same client with a further header.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.push((name.to_owned(), value.to_owned()));
        client
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    /// A POST without a body.
    pub(crate) async fn post_empty(&self, path: &str) -> Answer {
        self.send(Method::POST, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PATCH, path, Some(body)).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        match body {
            Some(body) => self.send_bytes(method, path, "application/json", body.to_string().into_bytes()).await,
            None => self.send_bytes(method, path, "", Vec::new()).await,
        }
    }

    /// Sends bytes as they are. An empty media type sends no `Content-Type`.
    pub(crate) async fn send_bytes(&self, method: Method, path: &str, media_type: &str, body: Vec<u8>) -> Answer {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.base));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if !media_type.is_empty() {
            request = request.header("content-type", media_type);
        }
        if !body.is_empty() || !media_type.is_empty() {
            request = request.body(body);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let answer = Answer { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::Null), text };
        check_manners(&answer);
        check_document(&method, path, &answer);
        answer
    }

    /// Makes a tenant, and gives what was answered.
    pub(crate) async fn make_tenant(&self, slug: &str) -> Value {
        let answer = self.post("/v1/tenants", json!({ "slug": slug, "name": format!("Tenant {slug}") })).await;
        answer.expect(201).body
    }
}

impl Answer {
    /// Asserts the status, and shows the body when it is another.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// Asserts a problem with this status and code.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.body["code"].as_str()), (status, Some(code)), "{}", self.text);
        self
    }

    /// Asserts a validation problem with exactly these fields and codes, in any order.
    #[track_caller]
    pub(crate) fn invalid(self, expected: &[(&str, &str)]) -> Self {
        let answer = self.problem(422, "validation_failed");
        let errors = answer.body["errors"].as_array().cloned().unwrap_or_default();
        let text = |error: &Value, name: &str| error[name].as_str().unwrap_or_default().to_owned();
        let mut found: Vec<_> = errors.iter().map(|error| (text(error, "field"), text(error, "code"))).collect();
        let mut wanted: Vec<_> =
            expected.iter().map(|(field, code)| ((*field).to_owned(), (*code).to_owned())).collect();
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted, "{}", answer.text);
        answer
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// What every answer has, whatever was asked.
#[track_caller]
fn check_manners(answer: &Answer) {
    assert_eq!(answer.header("x-content-type-options"), "nosniff", "{}", answer.text);
    assert_eq!(answer.header("cache-control"), "no-store", "{}", answer.text);
    let id = answer.header("x-request-id");
    assert!(!id.is_empty(), "no request id: {}", answer.text);
    if answer.status >= 400 {
        assert_eq!(answer.header("content-type"), "application/problem+json", "{}", answer.text);
        assert_eq!(answer.body["request_id"], id);
        assert_eq!(answer.body["status"], answer.status);
        for member in ["type", "title", "detail", "instance", "code"] {
            assert!(answer.body[member].is_string(), "no {member}: {}", answer.text);
        }
    }
}

/// The document, as the service serves it.
pub(crate) fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| serde_json::from_slice(&server::api::document().unwrap().json).unwrap())
}

/// The documented operation that a request is of.
pub(crate) fn operation_of(method: &Method, path: &str) -> Option<&'static Value> {
    let path = path.split('?').next().unwrap_or_default();
    let segments: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let wanted: Vec<&str> = template.split('/').collect();
        wanted.len() == segments.len()
            && wanted.iter().zip(&segments).all(|(wanted, found)| wanted.starts_with('{') || wanted == found)
    };
    let paths = document()["paths"].as_object()?;
    // A path without a parameter goes before one with, as in the router.
    let mut fitting: Vec<_> = paths.iter().filter(|(template, _)| fits(template)).collect();
    fitting.sort_by_key(|(template, _)| template.matches('{').count());
    fitting.first().and_then(|(_, item)| item.get(method.as_str().to_lowercase()))
}

#[track_caller]
fn check_document(method: &Method, path: &str, answer: &Answer) {
    let Some(operation) = operation_of(method, path) else { return };
    let responses = &operation["responses"];
    let response = responses.get(answer.status.to_string());
    let response = response.or_else(|| responses.get("default").filter(|_| answer.status >= 400));
    let response = response.unwrap_or_else(|| panic!("{method} {path}: {} is not documented", answer.status));
    let media = if answer.status >= 400 { "application~1problem+json" } else { "application~1json" };
    // A file: its kind is documented, and there is no more to say of it.
    let file = answer.header("content-type").split(';').next().unwrap_or_default();
    if answer.status < 400 && !matches!(file, "" | "application/json") {
        assert!(response["content"].get(file).is_some(), "{method} {path}: {file} is not documented");
        return;
    }
    let Some(schema) = response.pointer(&format!("/content/{media}/schema")) else {
        assert_eq!(answer.text, "", "{method} {path}: a body that is not documented");
        return;
    };
    let mut whole = schema.clone();
    whole["components"] = document()["components"].clone();
    let validator = jsonschema::options().should_validate_formats(true).build(&whole).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(&answer.body).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{method} {path} {}: {errors:?}\n{}", answer.status, answer.text);
}
