//! A mail sink before the realm's mails: as much of Mailpit's API as is asked (§2.2).

use serde_json::{Value, json};

use super::router::parameter;
use super::state::{Mail, State};
use super::{Asked, Reply};

fn summary((number, mail): (usize, &Mail)) -> Value {
    json!({
        "ID": number.to_string(), "Created": mail.at.to_string(), "Subject": "Update Your Account",
        "To": [{ "Name": "", "Address": mail.to }],
    })
}

pub(super) fn answer(state: &State, path: &str, asked: &Asked) -> Reply {
    let page = |mails: Vec<Value>| Reply::json(200, &json!({ "total": state.mails.len(), "messages": mails }));
    let newest_first = || state.mails.iter().enumerate().rev();
    match path.split('/').collect::<Vec<_>>().as_slice() {
        ["api", "v1", "messages"] => page(newest_first().map(summary).collect()),
        ["api", "v1", "search"] => {
            // Mailpit finds parts of addresses: who wants a whole one has to compare.
            let query = parameter(asked, "query").unwrap_or_default();
            let part = query.trim_start_matches("to:").trim_matches('"').to_lowercase();
            page(newest_first().filter(|(_, mail)| mail.to.contains(&part)).map(summary).collect())
        }
        ["api", "v1", "message", id] => match id.parse().ok().and_then(|number: usize| state.mails.get(number)) {
            Some(mail) => {
                let html = format!("<p><a href=\"{}\" rel=\"nofollow\">Link</a></p>", mail.link.replace('&', "&amp;"));
                Reply::json(200, &json!({ "ID": id, "HTML": html, "Text": "see the other part" }))
            }
            None => Reply::empty(404),
        },
        _ => Reply::empty(404),
    }
}
