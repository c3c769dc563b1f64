//! The host that a trusted proxy forwards: `Forwarded` (RFC 7239) and `X-Forwarded-Host`.
//!
//! `host.rs` asks, and only for requests whose connection came from a proxy that was named as trusted. Proxies append to
//! what they received, so that only the last element of a header was written by the one we trust; all before it may be
//! the client's own words. Invariant: nothing but the last element of the last line is ever believed.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, header};

use super::host::{NoHost, agree};

const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The host that was forwarded, if one was. A proxy writes one of the two headers and may pass on a client's other: where
/// both are there, they have to agree.
pub(super) fn host(headers: &HeaderMap) -> Result<Option<Cow<'_, str>>, NoHost> {
    let by_standard = match last_line(headers, &header::FORWARDED)? {
        Some(line) => host_of(last_element(line)?)?,
        None => None,
    };
    let by_custom = last_line(headers, &X_FORWARDED_HOST)?.map(|line| match line.rsplit_once(',') {
        Some((_, last)) => last.trim(),
        None => line.trim(),
    });
    let host = match (by_standard, by_custom) {
        (Some(standard), Some(custom)) => agree(&standard, custom).map(|()| standard)?,
        (Some(standard), None) => standard,
        (None, Some(custom)) => Cow::Borrowed(custom),
        (None, None) => return Ok(None),
    };
    if host.is_empty() || host.contains(',') { Err(NoHost::Missing) } else { Ok(Some(host)) }
}

fn last_line<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, NoHost> {
    let line = headers.get_all(name).iter().next_back();
    line.map(|value| str::from_utf8(value.as_bytes()).map_err(|_| NoHost::Missing)).transpose()
}

/// What stands after the last comma that is in no quoted string. An open one is refused: it would have swallowed what the
/// proxy appended.
fn last_element(line: &str) -> Result<&str, NoHost> {
    split_quoted(line, ',').map(|parts| parts.last().copied().unwrap_or_default())
}

/// The `host` parameter of an element (RFC 7239 §5.3).
fn host_of(element: &str) -> Result<Option<Cow<'_, str>>, NoHost> {
    let mut found = None;
    for pair in split_quoted(element, ';')? {
        let Some((name, value)) = pair.split_once('=') else { continue };
        if !name.trim().eq_ignore_ascii_case("host") {
            continue;
        }
        // RFC 7239 §4: at most once per element.
        if found.replace(unquoted(value.trim())?).is_some() {
            return Err(NoHost::Missing);
        }
    }
    Ok(found)
}

/// A token, or the text of a quoted string (RFC 9110 §5.6.4).
fn unquoted(value: &str) -> Result<Cow<'_, str>, NoHost> {
    let Some(rest) = value.strip_prefix('"') else {
        return if value.contains('"') { Err(NoHost::Missing) } else { Ok(Cow::Borrowed(value)) };
    };
    let text = rest.strip_suffix('"').ok_or(NoHost::Missing)?;
    // No host has either.
    if text.contains(['"', '\\']) { Err(NoHost::Missing) } else { Ok(Cow::Borrowed(text)) }
}

fn split_quoted(text: &str, separator: char) -> Result<Vec<&str>, NoHost> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut quoted, mut escaped) = (false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if character == separator && !quoted => {
                parts.push(&text[start..at]);
                start = at + character.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    if quoted { Err(NoHost::Missing) } else { Ok(parts) }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(lines: &[(&'static str, &'static str)], expected: Result<Option<&str>, NoHost>) {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let found = host(&headers);
        assert_eq!(found.as_ref().map(|found| found.as_deref()), expected.as_ref().map(|host| *host), "{lines:?}");
    }

    #[test]
    fn only_what_the_last_hop_wrote_is_read() {
        check(&[], Ok(None));
        check(&[("x-forwarded-host", "acme.example")], Ok(Some("acme.example")));
        check(&[("x-forwarded-host", "evil.example, acme.example")], Ok(Some("acme.example")));
        check(&[("x-forwarded-host", "evil.example"), ("x-forwarded-host", "acme.example")], Ok(Some("acme.example")));
        check(&[("forwarded", "host=acme.example")], Ok(Some("acme.example")));
        check(&[("forwarded", r#"for=1.1.1.1;HOST="acme.example:8443" ; proto=https"#)], Ok(Some("acme.example:8443")));
        check(&[("forwarded", "host=evil.example, for=1.1.1.1; host=acme.example")], Ok(Some("acme.example")));
        check(&[("forwarded", "host=evil.example"), ("forwarded", "host=acme.example")], Ok(Some("acme.example")));
        check(&[("forwarded", "host=evil.example, for=1.1.1.1")], Ok(None));
        check(&[("forwarded", r#"for="a,host=evil.example";host=acme.example"#)], Ok(Some("acme.example")));
        check(&[("forwarded", "for=1.1.1.1"), ("x-forwarded-host", "acme.example")], Ok(Some("acme.example")));
    }

    #[test]
    fn what_cannot_be_told_apart_is_no_host() {
        check(&[("forwarded", r#"host="evil.example, host=acme.example"#)], Err(NoHost::Missing));
        check(&[("forwarded", r#"host="evil\", host=acme.example""#)], Err(NoHost::Missing));
        check(&[("forwarded", "host=evil.example;host=acme.example")], Err(NoHost::Missing));
        check(&[("forwarded", "host=")], Err(NoHost::Missing));
        check(&[("x-forwarded-host", "acme.example,")], Err(NoHost::Missing));
    }

    #[test]
    fn the_two_headers_have_to_agree() {
        let agree = [("forwarded", r#"host="ACME.example:443""#), ("x-forwarded-host", "acme.example")];
        check(&agree, Ok(Some("ACME.example:443")));
        let differ = [("forwarded", "host=evil.example"), ("x-forwarded-host", "acme.example")];
        check(&differ, Err(NoHost::Conflict));
    }
}
