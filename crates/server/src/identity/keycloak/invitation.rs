//! The way into a new account that dev shows: the link of the mail, from a mail sink, or the login page.
//!
//! [`super::KeycloakProvider::invite_link`] asks. The sink speaks Mailpit's API and exists in dev alone. Invariant: whoever has
//! such a link may be that person, so nothing here is logged, and what goes wrong is simply no link.

use std::time::Duration;

use domain::{Secret, Timestamp};
use reqwest::StatusCode;
use serde::Deserialize;
use tokio::time::Instant;
use url::Url;

use super::api::read_capped;
use super::settings::{LoginClient, below};
use crate::identity::provider::{InviteKind, InviteLink};

/// How often the sink is asked while the mail is on its way.
const INTERVAL: Duration = Duration::from_millis(100);

/// One question to the sink: it is on this machine, or next to it.
const QUESTION: Duration = Duration::from_millis(1_000);

/// Where invitations are read and logins begin.
#[derive(Debug)]
pub(super) struct Invitations {
    pub(super) http: reqwest::Client,
    /// The sink's address may have a password in it.
    pub(super) sink: Option<Secret>,
    /// The realm as browsers reach it.
    pub(super) issuer: Url,
    pub(super) login: Option<LoginClient>,
    pub(super) arrival: Duration,
}

#[derive(Debug, Deserialize)]
struct Messages {
    #[serde(default)]
    messages: Vec<Summary>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Summary {
    #[serde(rename = "ID")]
    id: String,
    #[serde(default)]
    created: String,
    #[serde(default)]
    to: Option<Vec<Recipient>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Recipient {
    #[serde(default)]
    address: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    #[serde(rename = "HTML", default)]
    html: String,
}

impl Invitations {
    /// The link of the newest mail to the address since then, if one arrives soon, or the login page.
    pub(super) async fn link(&self, email: &str, since: Timestamp) -> Option<InviteLink> {
        // A sink may note whole seconds.
        let since = since.as_second();
        let until = Instant::now() + self.arrival;
        while let Some(sink) = &self.sink {
            if let Some(url) = self.mailed(sink, email, since).await {
                return Some(InviteLink { url, kind: InviteKind::Mail });
            }
            if Instant::now() + INTERVAL >= until {
                break;
            }
            tokio::time::sleep(INTERVAL).await;
        }
        Some(InviteLink { url: self.login_page(email)?.into(), kind: InviteKind::Login })
    }

    async fn mailed(&self, sink: &Secret, email: &str, since: i64) -> Option<String> {
        let query = format!("to:\"{}\"", email.replace('"', ""));
        let found =
            match self.ask::<Messages>(sink, &["api", "v1", "search"], &[("query", &query), ("limit", "20")]).await {
                Some(found) => found,
                None => self.ask(sink, &["api", "v1", "messages"], &[("limit", "50")]).await?,
            };
        let is_meant = |mail: &&Summary| {
            let to = mail.to.iter().flatten().any(|to| to.address.to_lowercase() == email.to_lowercase());
            to && mail.created.parse::<Timestamp>().is_ok_and(|created| created.as_second() >= since)
        };
        let mut mails: Vec<_> = found.messages.iter().filter(is_meant).collect();
        mails.sort_by_key(|mail| std::cmp::Reverse(mail.created.parse::<Timestamp>().ok()));
        for mail in mails {
            let message: Option<Message> = self.ask(sink, &["api", "v1", "message", &mail.id], &[]).await;
            if let Some(link) = message.and_then(|message| link_in(&message.html, self.issuer.path())) {
                return Some(link);
            }
        }
        None
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        sink: &Secret,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Option<T> {
        let mut url = below(&Url::parse(sink.expose()).ok()?, path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut answer = self.http.get(url).timeout(QUESTION).send().await.ok()?;
        if answer.status() != StatusCode::OK {
            return None;
        }
        serde_json::from_slice(&read_capped(&mut answer).await.ok()?).ok()
    }

    /// Where a login begins, with the address filled in: Keycloak then asks for the password at once.
    fn login_page(&self, email: &str) -> Option<Url> {
        let mut page = below(&self.issuer, &["protocol", "openid-connect", "auth"])?;
        let (client, back) = match &self.login {
            Some(login) => (login.client_id.as_str(), login.redirect_uri.clone()),
            // Every realm has these pages, with a public client of their own that may only lead there.
            None => ("account", format!("{}/", below(&self.issuer, &["account"])?)),
        };
        page.query_pairs_mut()
            .append_pair("client_id", client)
            .append_pair("redirect_uri", &back)
            .append_pair("response_type", "code")
            .append_pair("scope", "openid")
            .append_pair("login_hint", email);
        Some(page)
    }
}

/// The link of an invitation in the HTML part of a mail: of this realm, an action or a registration.
fn link_in(html: &str, realm: &str) -> Option<String> {
    html.split("href=").skip(1).find_map(|rest| {
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let link = rest[1..].split(quote).next()?.replace("&amp;", "&").replace("&#61;", "=").replace("&#x3D;", "=");
        let url = Url::parse(&link).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
        let rest = url.path().strip_prefix(realm.trim_end_matches('/'))?;
        let has = |name: &str| url.query_pairs().any(|(key, value)| key == name && !value.is_empty());
        let action = rest == "/login-actions/action-token" && has("key");
        let registration = rest == "/protocol/openid-connect/registrations" && has("token");
        (action || registration).then_some(link)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(html: &str, expected: Option<&str>) {
        assert_eq!(link_in(html, "/realms/r").as_deref(), expected, "{html}");
    }

    #[test]
    fn the_link_of_a_mail_is_the_one_into_this_realm() {
        let link = "http://h/realms/r/login-actions/action-token?key=abc&client_id=account";
        check(&format!("<p><a href=\"{}\" rel=x>go</a>", link.replace('&', "&amp;")), Some(link));
        check(&format!("<a href='http://h/realms/r/account'></a><a href='{link}'>"), Some(link));
        let registration = "http://h/realms/r/protocol/openid-connect/registrations?client_id=a&token=t";
        check(&format!("<a href=\"{registration}\">"), Some(registration));
        for not in [
            "",
            "<a href=http://h/realms/r/login-actions/action-token?key=x>",
            "<a href=\"http://h/realms/other/login-actions/action-token?key=x\">",
            "<a href=\"http://h/realms/r/login-actions/action-token\">",
            "<a href=\"javascript:/realms/r/login-actions/action-token?key=x\">",
            "http://h/realms/r/login-actions/action-token?key=x",
        ] {
            check(not, None);
        }
    }

    #[test]
    fn a_login_begins_with_the_address_filled_in() {
        let invitations = |login| Invitations {
            http: reqwest::Client::new(),
            sink: None,
            issuer: Url::parse("https://id.example/realms/r").unwrap(),
            login,
            arrival: Duration::ZERO,
        };
        let page = invitations(None).login_page("ä+b@x.de").unwrap();
        let pairs: Vec<_> = page.query_pairs().into_owned().collect();
        assert_eq!(page.path(), "/realms/r/protocol/openid-connect/auth");
        assert!(pairs.contains(&("login_hint".to_owned(), "ä+b@x.de".to_owned())), "{page}");
        assert!(
            pairs.contains(&("redirect_uri".to_owned(), "https://id.example/realms/r/account/".to_owned())),
            "{page}"
        );
        let login = LoginClient { client_id: "console".to_owned(), redirect_uri: "https://c.example/".to_owned() };
        let page = invitations(Some(login)).login_page("a@x").unwrap();
        assert!(page.as_str().contains("client_id=console&redirect_uri=https%3A%2F%2Fc.example%2F"), "{page}");
    }
}
