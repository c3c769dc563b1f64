//! As much of MIME (RFC 2045 to 2047) as mails of Keycloak have: two alternatives, quoted-printable or base64, UTF-8.
//!
//! The sink uses it. Invariant: what is not understood becomes empty or stays as it is; nothing here panics on a mail.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What a reader of the mail sees.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: String,
}

pub(super) fn parse(raw: &[u8]) -> Parsed {
    let mut parsed = Parsed::default();
    // Bytes as characters of the same number, so that parts in any encoding survive being cut.
    let raw: String = raw.iter().map(|byte| char::from(*byte)).collect();
    let raw = raw.replace("\r\n", "\n");
    let (head, _) = split(&raw);
    parsed.subject = decoded_words(&header(head, "subject"));
    part(&raw, &mut parsed);
    parsed
}

/// The `href`s of a text, unescaped.
pub(super) fn links(html: &str) -> impl Iterator<Item = String> {
    html.split("href=\"").skip(1).filter_map(|rest| {
        let (link, _) = rest.split_once('"')?;
        Some(link.replace("&amp;", "&").replace("&#61;", "="))
    })
}

fn part(raw: &str, parsed: &mut Parsed) {
    let (head, body) = split(raw);
    let kind = header(head, "content-type");
    let lower = kind.to_ascii_lowercase();
    if lower.starts_with("multipart/") {
        let Some(boundary) = parameter(&kind, "boundary") else { return };
        let mark = format!("--{boundary}");
        for piece in body.split(&mark).skip(1).take_while(|piece| !piece.starts_with("--")) {
            part(piece.strip_prefix('\n').unwrap_or(piece), parsed);
        }
        return;
    }
    let text = decoded(body, &header(head, "content-transfer-encoding"));
    if lower.starts_with("text/html") {
        parsed.html = text;
    } else if parsed.text.is_empty() {
        parsed.text = text;
    }
}

fn split(raw: &str) -> (&str, &str) {
    raw.split_once("\n\n").unwrap_or((raw, ""))
}

/// A header's value with its continuation lines.
fn header(head: &str, name: &str) -> String {
    let mut value = String::new();
    let mut inside = false;
    for line in head.lines() {
        if line.starts_with([' ', '\t']) {
            if inside {
                value.push(' ');
                value.push_str(line.trim());
            }
            continue;
        }
        inside = line.split_once(':').is_some_and(|(own, _)| own.eq_ignore_ascii_case(name)) && value.is_empty();
        if inside {
            value.push_str(line.split_once(':').map_or("", |(_, rest)| rest).trim());
        }
    }
    value
}

fn parameter(value: &str, name: &str) -> Option<String> {
    value.split(';').skip(1).find_map(|item| {
        let (own, value) = item.split_once('=')?;
        own.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
    })
}

fn decoded(body: &str, encoding: &str) -> String {
    let bytes = match encoding.to_ascii_lowercase().as_str() {
        "quoted-printable" => quoted_printable(body),
        "base64" => {
            let text: String = body.chars().filter(|c| !c.is_whitespace()).collect();
            STANDARD.decode(text).unwrap_or_default()
        }
        _ => bytes_of(body),
    };
    String::from_utf8_lossy(&bytes).into_owned()
}

fn bytes_of(text: &str) -> Vec<u8> {
    text.chars().filter_map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

/// RFC 2045 §6.7: `=3D` is a byte, `=` at the end of a line joins it to the next.
fn quoted_printable(text: &str) -> Vec<u8> {
    let bytes = bytes_of(&text.replace("=\n", ""));
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes.as_slice();
    while let Some((first, after)) = rest.split_first() {
        let hex = (*first == b'=').then(|| after.get(..2)).flatten();
        let byte = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        out.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    out
}

/// RFC 2047: `=?UTF-8?Q?…?=` and `=?UTF-8?B?…?=`; spaces between two of them do not count.
fn decoded_words(value: &str) -> String {
    let mut out = String::new();
    let mut rest = value;
    while let Some((before, word)) = rest.split_once("=?") {
        if !before.trim().is_empty() {
            out.push_str(before);
        }
        let mut parts = word.splitn(4, '?');
        let (Some(_charset), Some(kind), Some(text), Some(after)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return out + rest;
        };
        let encoding = if kind.eq_ignore_ascii_case("B") { "base64" } else { "quoted-printable" };
        out.push_str(&decoded(&text.replace('_', " "), encoding));
        rest = after.strip_prefix('=').unwrap_or(after);
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_of_two_alternatives_is_read() {
        let raw = "Subject: =?UTF-8?Q?Konto_f=C3=BCr?=\r\n =?UTF-8?B?IErDtnJn?=\r\nContent-Type: multipart/alternative;\r\n \
                   boundary=\"x\"\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\nlink=a\r\n--x\r\nContent-Type: \
                   text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<a href=3D\"http://h/?a&amp;b=3D=\r\n1\">J=C3=B6rg</a>\r\n\
                   --x--\r\n";
        let parsed = parse(raw.as_bytes());
        assert_eq!(parsed.subject, "Konto für Jörg");
        assert_eq!(parsed.text.trim(), "link=a");
        assert_eq!(parsed.html.trim(), "<a href=\"http://h/?a&amp;b=1\">Jörg</a>");
        assert_eq!(links(&parsed.html).collect::<Vec<_>>(), ["http://h/?a&b=1"]);
    }

    #[test]
    fn what_is_no_mime_breaks_nothing() {
        for raw in
            ["", "=", "Subject: =?x", "Content-Type: multipart/mixed\n\nx", "Content-Transfer-Encoding: base64\n\n%"]
        {
            parse(raw.as_bytes());
        }
    }
}
