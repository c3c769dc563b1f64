//! The plainest HTTP client, for what is asked of Keycloak and of the mail sink: forms, JSON, no redirects, no proxy.
//!
//! Everything in this folder uses it. Invariant: an answer is read whole, and nothing is decided for the caller.

use http::HeaderMap;
use reqwest::Method;
use serde_json::Value;

/// A client; each test makes its own, since connections belong to the runtime that opened them.
#[derive(Debug, Clone)]
pub(crate) struct Http(reqwest::Client);

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    /// The body as JSON; null where it is none.
    pub(crate) body: Value,
}

impl Http {
    pub(crate) fn new() -> Self {
        // Longer than anything may take, so that a server which hangs fails a test instead of holding all of them up.
        let limit = std::time::Duration::from_secs(120);
        let client = reqwest::Client::builder().no_proxy().timeout(limit).redirect(reqwest::redirect::Policy::none());
        Self(client.build().unwrap())
    }

    pub(crate) async fn get(&self, url: &str) -> Reply {
        self.send("GET", url, &[], None).await
    }

    /// A POST of `application/x-www-form-urlencoded`.
    pub(crate) async fn post_form(&self, url: &str, form: &[(&str, &str)]) -> Reply {
        self.post_form_with(url, form, &[]).await
    }

    pub(crate) async fn post_form_with(&self, url: &str, form: &[(&str, &str)], headers: &[(&str, &str)]) -> Reply {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.0.post(url).header("content-type", "application/x-www-form-urlencoded").body(body);
        Self::finish(request, headers).await
    }

    /// Any request, with a JSON body where one is given.
    pub(crate) async fn send(&self, method: &str, url: &str, headers: &[(&str, &str)], body: Option<Value>) -> Reply {
        let mut request = self.0.request(Method::from_bytes(method.as_bytes()).unwrap(), url);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        Self::finish(request, headers).await
    }

    async fn finish(mut request: reqwest::RequestBuilder, headers: &[(&str, &str)]) -> Reply {
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        Reply { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::Null), text }
    }
}

impl Reply {
    /// Asserts the status, and shows the body when it is another.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The last segment of `Location`: the id of what was made.
    #[track_caller]
    pub(crate) fn made_id(&self) -> String {
        assert_eq!(self.status, 201, "{}", self.text);
        self.header("location").rsplit('/').next().unwrap().to_owned()
    }
}
