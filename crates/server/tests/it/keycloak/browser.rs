//! A browser's part in what people do at Keycloak: follow the link of a mail, set a password, log in, log out.
//!
//! It posts to the form of the page before, keeps cookies, and follows redirects as far as they stay at Keycloak.
//! Invariant: it knows a page by its form's id or by a link in it, never by a sentence. Its cookies are sent whatever they
//! say about https: on the loopback a browser does the same.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use url::{Url, form_urlencoded};

use super::http::{Http, Reply};
use super::realm::{CONSOLE, REDIRECT_URI, Realm};

const VERIFIER: &str = "a-code-verifier-of-at-least-forty-three-characters";
const HOPS_MAX: usize = 10;

/// One browser: its cookies.
#[derive(Debug)]
pub(crate) struct Browser {
    http: Http,
    base: String,
    cookies: BTreeMap<String, String>,
}

/// Where a request ended.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) url: String,
    pub(crate) html: String,
}

/// What a login led to.
#[derive(Debug)]
pub(crate) enum Login {
    /// What the token endpoint answered to the code.
    Done(Reply),
    /// The redirect's `error`, before or after the forms.
    Refused(String),
    /// A page that is none of a plain login.
    Stopped(Page),
}

/// The tokens of a login.
#[derive(Debug, Clone)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) id: String,
}

/// What a person logs in with, and for what.
#[derive(Debug, Clone)]
pub(crate) struct Person<'a> {
    pub(crate) email: &'a str,
    pub(crate) password: &'a str,
    /// Scopes beside `openid`.
    pub(crate) scope: &'a str,
    /// What is chosen where Keycloak asks for which organization.
    pub(crate) organization: Option<&'a str>,
}

impl<'a> Person<'a> {
    pub(crate) fn new(email: &'a str, password: &'a str) -> Self {
        Self { email, password, scope: "organization", organization: None }
    }

    pub(crate) fn scope(self, scope: &'a str) -> Self {
        Self { scope, ..self }
    }

    pub(crate) fn choosing(self, alias: &'a str) -> Self {
        Self { organization: Some(alias), ..self }
    }
}

impl Browser {
    pub(crate) fn at(realm: &Realm) -> Self {
        Self { http: Http::new(), base: realm.base_url.clone(), cookies: BTreeMap::new() }
    }

    /// Follows the link of an invitation to its end: confirms, and sets the password. The page after it.
    pub(crate) async fn accept_invitation(&mut self, link: &str, password: &str) -> Page {
        let page = self.get(link).await;
        // The first page only asks to go on, so that a mail scanner which opens links uses nothing up.
        let next = page.links().find(|link| link.contains("action-token?key=")).unwrap_or_else(|| page.unexpected());
        let page = self.get(&page.resolve(&next)).await;
        let Some(form) = page.form("kc-passwd-update-form") else { return page };
        self.post(&form, &[("password-new", password), ("password-confirm", password)]).await
    }

    /// Logs in at the console by authorization code with PKCE.
    pub(crate) async fn log_in(&mut self, realm: &Realm, person: &Person<'_>) -> Login {
        let challenge = digest::digest(&digest::SHA256, VERIFIER.as_bytes());
        let mut url = Url::parse(&realm.oidc("auth")).unwrap();
        url.query_pairs_mut().extend_pairs([
            ("client_id", CONSOLE),
            ("redirect_uri", REDIRECT_URI),
            ("response_type", "code"),
            ("scope", &format!("openid {}", person.scope)),
            ("state", "s"),
            ("nonce", "n"),
            ("code_challenge", &URL_SAFE_NO_PAD.encode(challenge)),
            ("code_challenge_method", "S256"),
        ]);
        let mut page = self.get(url.as_str()).await;
        for _ in 0..HOPS_MAX {
            if page.url.starts_with(REDIRECT_URI) {
                return self.redeem(realm, &page.url).await;
            }
            let Some(next) = self.answer(&page, person).await else { return Login::Stopped(page) };
            page = next;
        }
        Login::Stopped(page)
    }

    /// Fills in the form of a login's page; none where it is another page.
    async fn answer(&mut self, page: &Page, person: &Person<'_>) -> Option<Page> {
        if page.status != 200 {
            return None;
        }
        if let Some(form) = page.form_with("name=\"kc.org\"") {
            return Some(self.post(&form, &[("kc.org", person.organization?)]).await);
        }
        let form = page.form("kc-form-login");
        let has = |field: &str| page.html.contains(&format!("name=\"{field}\""));
        // A wrong password shows its form again; once is enough.
        if page.url.contains("execution=") && page.html.contains("aria-invalid=\"true\"") {
            return None;
        }
        let mut fields = Vec::new();
        if has("username") {
            fields.push(("username", person.email));
        }
        if has("password") {
            fields.push(("password", person.password));
        }
        if fields.is_empty() {
            return None;
        }
        Some(self.post(&form?, &fields).await)
    }

    async fn redeem(&mut self, realm: &Realm, redirect: &str) -> Login {
        let url = Url::parse(redirect).unwrap();
        let parameters: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
        if let Some(error) = parameters.get("error") {
            return Login::Refused(error.clone());
        }
        assert_eq!((parameters["state"].as_str(), parameters["iss"].as_str()), ("s", realm.issuer.as_str()));
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", CONSOLE),
            ("redirect_uri", REDIRECT_URI),
            ("code", &parameters["code"]),
            ("code_verifier", VERIFIER),
        ];
        Login::Done(Http::new().post_form(&realm.oidc("token"), &form).await)
    }

    /// Ends the session of these tokens at Keycloak.
    pub(crate) async fn log_out(&mut self, realm: &Realm, tokens: &Tokens) {
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("id_token_hint", tokens.id.as_str()), ("client_id", CONSOLE)])
            .finish();
        let page = self.get(&format!("{}?{query}", realm.oidc("logout"))).await;
        assert_eq!(page.status, 200, "{}", page.html);
    }

    pub(crate) async fn get(&mut self, url: &str) -> Page {
        let reply = self.http.send("GET", url, &[("cookie", &self.cookie())], None).await;
        self.follow(url.to_owned(), reply).await
    }

    async fn post(&mut self, url: &str, fields: &[(&str, &str)]) -> Page {
        let reply = self.http.post_form_with(url, fields, &[("cookie", &self.cookie())]).await;
        self.follow(url.to_owned(), reply).await
    }

    async fn follow(&mut self, mut url: String, mut reply: Reply) -> Page {
        for _ in 0..HOPS_MAX {
            self.keep_cookies(&reply);
            if !(300..400).contains(&reply.status) {
                return Page { status: reply.status, url, html: reply.text };
            }
            url = Url::parse(&url).unwrap().join(reply.header("location")).unwrap().into();
            if !url.starts_with(&self.base) {
                return Page { status: reply.status, url, html: String::new() };
            }
            reply = self.http.send("GET", &url, &[("cookie", &self.cookie())], None).await;
        }
        panic!("more than {HOPS_MAX} redirects, to {url}");
    }

    fn cookie(&self) -> String {
        self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn keep_cookies(&mut self, reply: &Reply) {
        for line in reply.headers.get_all("set-cookie") {
            let mut parts = line.to_str().unwrap().split(';');
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { continue };
            let gone = parts.any(|part| part.trim().eq_ignore_ascii_case("max-age=0"));
            if gone || value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

impl Page {
    /// The address that the form of this id posts to.
    pub(crate) fn form(&self, id: &str) -> Option<String> {
        self.form_with(&format!("id=\"{id}\""))
    }

    /// The same of the form in which this stands.
    fn form_with(&self, text: &str) -> Option<String> {
        let mut forms = self.html.split("<form").skip(1).filter_map(|rest| rest.split("</form>").next());
        let (_, rest) = forms.find(|form| form.contains(text))?.split_once("action=\"")?;
        let (action, _) = rest.split_once('"')?;
        Some(self.resolve(&action.replace("&amp;", "&")))
    }

    fn links(&self) -> impl Iterator<Item = String> {
        self.html.split("href=\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.replace("&amp;", "&")))
    }

    fn resolve(&self, link: &str) -> String {
        Url::parse(&self.url).unwrap().join(link).unwrap().into()
    }

    #[track_caller]
    fn unexpected(&self) -> ! {
        panic!("not the page that was expected: {} {}\n{}", self.status, self.url, self.html)
    }
}

impl Login {
    /// The tokens of a login that worked.
    #[track_caller]
    pub(crate) fn tokens(self) -> Tokens {
        match self {
            Self::Done(reply) => Tokens::of(&reply),
            Self::Refused(error) => panic!("the login was refused: {error}"),
            Self::Stopped(page) => page.unexpected(),
        }
    }
}

impl Tokens {
    /// Those in an answer of the token endpoint.
    #[track_caller]
    pub(crate) fn of(reply: &Reply) -> Self {
        assert_eq!(reply.status, 200, "{}", reply.text);
        let text = |name: &str| reply.body[name].as_str().unwrap_or_default().to_owned();
        Self { access: text("access_token"), refresh: text("refresh_token"), id: text("id_token") }
    }

    /// What the access token says.
    pub(crate) fn claims(&self) -> Value {
        claims(&self.access)
    }
}

/// What a token says, unverified.
pub(crate) fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}
