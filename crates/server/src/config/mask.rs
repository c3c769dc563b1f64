//! Hides passwords inside URLs, for everything that prints a setting.
//!
//! `config::reader` and `config::show` call it.
//! Invariant: where a text could be read in two ways, the reading that hides more wins. A password with a raw `/`,
//! `?` or `@` is no valid URL, and it must not be shown for that.

/// What stands in place of a secret.
pub(super) const HIDDEN: &str = "***";

/// `text` without the password in its user information and without `password=` and the like in its query.
pub(super) fn mask_password(text: &str) -> String {
    if text.is_empty() || text.starts_with("sqlite:") {
        return text.to_owned();
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        // Not a URL: it may be anything, a `host=… password=…` text too.
        return HIDDEN.to_owned();
    };
    let (userinfo, place) = match rest.rsplit_once('@') {
        Some((userinfo, place)) => (Some(userinfo), place),
        None => (None, rest),
    };
    let (path, query) = match place.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (place, None),
    };
    let mut masked = format!("{scheme}://");
    if let Some(userinfo) = userinfo {
        masked.push_str(&mask_userinfo(userinfo));
        masked.push('@');
    }
    masked.push_str(path);
    if let Some(query) = query {
        masked.push('?');
        masked.push_str(&query.split('&').map(mask_parameter).collect::<Vec<_>>().join("&"));
    }
    masked
}

fn mask_userinfo(userinfo: &str) -> String {
    match userinfo.split_once(':') {
        Some((user, "")) => format!("{user}:"),
        // A `/` or `?` in what stands for the user: the text has no user and something else that we do not know.
        Some((user, _)) if !user.contains(['/', '?', '#', '@']) => format!("{user}:{HIDDEN}"),
        None if !userinfo.contains(['/', '?', '#', '@']) => userinfo.to_owned(),
        _ => HIDDEN.to_owned(),
    }
}

fn mask_parameter(parameter: &str) -> String {
    match parameter.split_once('=') {
        // A percent-escaped name is read as its plain one by the drivers, and nobody writes one without reason.
        Some((name, _)) if name.to_ascii_lowercase().contains("pass") || name.contains('%') => {
            format!("{name}={HIDDEN}")
        }
        Some(_) => parameter.to_owned(),
        // The rest of a password with a raw `&`.
        None if parameter.is_empty() => String::new(),
        None => HIDDEN.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(mask_password(text), expected);
    }

    #[test]
    fn only_the_password_is_replaced() {
        check(
            "postgres://app:planted@db:5432/registry?sslmode=require",
            "postgres://app:***@db:5432/registry?sslmode=require",
        );
        check("postgres://app:planted@h1:5432,h2/registry", "postgres://app:***@h1:5432,h2/registry");
        check("postgres://a%40b:pl%2Fan%3Ated@db/registry", "postgres://a%40b:***@db/registry");
        check("postgres://app@db/registry", "postgres://app@db/registry");
        check("postgres:///registry?host=/run/postgresql", "postgres:///registry?host=/run/postgresql");
        check("sqlite:/data/a:b@c.db", "sqlite:/data/a:b@c.db");
        check("", "");
    }

    #[test]
    fn a_password_in_the_query_is_replaced() {
        check(
            "postgres://db/r?user=app&password=planted&sslmode=require",
            "postgres://db/r?user=app&password=***&sslmode=require",
        );
        check("postgres://db/r?PASSWORD=planted", "postgres://db/r?PASSWORD=***");
        check("postgres://db/r?sslpassword=planted", "postgres://db/r?sslpassword=***");
        check("postgres://db/r?%70assword=planted", "postgres://db/r?%70assword=***");
        check("postgres://db/r?password=a&planted", "postgres://db/r?password=***&***");
    }

    #[test]
    fn a_badly_written_password_is_hidden_whole() {
        for text in [
            "postgres://app:plan/ted@db/registry",
            "postgres://app:p@plan/ted@db/registry",
            "postgres://app:pl?an@db/registry",
            "postgres://app:pl#an@db/registry",
            "host=db password=plan",
        ] {
            let masked = mask_password(text);
            assert!(!masked.contains("plan") && !masked.contains("an@") && !masked.contains("ted"), "{masked}");
        }
    }
}
