//! What kind of export is wanted: `Accept`, with its weights (RFC 9110 §12.5.1).
//!
//! Invariant: what was refused with a weight of 0 is never given.

use std::convert::Infallible;

use aide::OperationInput;
use axum::extract::FromRequestParts;
use http::StatusCode;
use http::header::{ACCEPT, HeaderMap};
use http::request::Parts;

use crate::api::error::{ApiError, Problem};
use crate::api::state::ApiState;

/// The form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// `text/csv` (RFC 4180).
    Csv,
    /// `application/x-ndjson`: one event a line.
    Ndjson,
}

impl Format {
    /// The media type, without parameters.
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv",
            Self::Ndjson => "application/x-ndjson",
        }
    }
}

/// What the request accepts. A request for neither is refused when this is read, since 403 comes before it.
#[derive(Debug)]
#[must_use]
pub(super) struct Accepted(Option<Format>);

impl Accepted {
    /// The form.
    ///
    /// # Errors
    /// 406.
    pub(super) fn read(self) -> Result<Format, ApiError> {
        self.0.ok_or_else(|| {
            let detail = "an export is text/csv or application/x-ndjson";
            Problem::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable", detail).into()
        })
    }
}

impl FromRequestParts<ApiState> for Accepted {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &ApiState) -> Result<Self, Infallible> {
        Ok(Self(wanted(&parts.headers)))
    }
}

impl OperationInput for Accepted {}

/// The form with the highest weight; of two with the same, CSV. Anything will do for who says nothing.
fn wanted(headers: &HeaderMap) -> Option<Format> {
    let lines: Vec<&str> = headers.get_all(ACCEPT).iter().map(|line| line.to_str().unwrap_or("?")).collect();
    let ranges: Vec<(&str, u16)> = lines.iter().flat_map(|line| line.split(',')).filter_map(range).collect();
    if lines.iter().all(|line| line.trim().is_empty()) {
        return Some(Format::Csv);
    }
    // The most precise range decides, wherever it stands.
    let weight = |format: Format| {
        let (kind, _) = format.media_type().split_once('/').unwrap_or_default();
        let of = |wanted: &str| ranges.iter().find(|(range, _)| range.eq_ignore_ascii_case(wanted)).map(|(_, q)| *q);
        of(format.media_type()).or_else(|| of(&format!("{kind}/*"))).or_else(|| of("*/*")).unwrap_or(0)
    };
    match (weight(Format::Csv), weight(Format::Ndjson)) {
        (0, 0) => None,
        (csv, ndjson) if csv >= ndjson => Some(Format::Csv),
        _ => Some(Format::Ndjson),
    }
}

/// A media range and its weight in thousandths; none for what is no range.
fn range(text: &str) -> Option<(&str, u16)> {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().filter(|range| range.contains('/'))?;
    let weight = parts.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    let Some(weight) = weight else { return Some((range, 1_000)) };
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let thousandths = format!("{fraction:0<3}").parse::<u16>().ok()?;
    match (whole, thousandths) {
        ("0", thousandths) => Some((range, thousandths)),
        ("1", 0) => Some((range, 1_000)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[track_caller]
    fn check(lines: &[&'static str], expected: Option<Format>) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT, HeaderValue::from_static(line));
        }
        assert_eq!(wanted(&headers), expected, "{lines:?}");
    }

    #[test]
    fn csv_is_what_who_wants_nothing_else_gets() {
        for lines in [
            &[][..],
            &[""],
            &["*/*"],
            &["text/csv"],
            &["text/*"],
            &["TEXT/CSV; charset=utf-8"],
            &["text/csv;header=present"],
        ] {
            check(lines, Some(Format::Csv));
        }
        check(&["text/csv, application/x-ndjson"], Some(Format::Csv));
        check(&["application/x-ndjson, text/csv"], Some(Format::Csv));
        check(&["text/html, */*;q=0.1"], Some(Format::Csv));
    }

    #[test]
    fn weights_are_honoured() {
        check(&["application/x-ndjson"], Some(Format::Ndjson));
        check(&["application/*"], Some(Format::Ndjson));
        check(&["text/csv;q=0.5, application/x-ndjson"], Some(Format::Ndjson));
        check(&["text/csv;q=0.5", "application/x-ndjson;q=0.6"], Some(Format::Ndjson));
        check(&["text/csv;q=0, */*"], Some(Format::Ndjson));
        check(&["application/x-ndjson; q=0.001, text/csv; q=0.0"], Some(Format::Ndjson));
        check(&["*/*;q=0.9, application/x-ndjson;q=0.2"], Some(Format::Csv));
        check(&["*/*;q=0.2, application/x-ndjson;Q=0.9"], Some(Format::Ndjson));
    }

    #[test]
    fn what_is_not_wanted_is_not_given() {
        for line in [
            "application/json",
            "text/html",
            "text/csv;q=0",
            "*/*;q=0",
            "text",
            "application/xml, text/plain",
            "csv",
            "text/csv;q=2",
            "text/csv;q=x",
            "text/csv;q=-1",
            "text/csv;q=1.001",
            "text/csv;q=0.0001",
            "image/*",
        ] {
            check(&[line], None);
        }
    }
}
