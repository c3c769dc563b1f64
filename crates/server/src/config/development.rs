//! What exists for development and tests alone.
//!
//! `serve` reads it; outside dev `Config::check` refuses each of these.
//! Invariant: the values that are off (no token given, offset zero, no mail sink) are the defaults.

use domain::Secret;
use domain::time::SignedDuration;

use super::reader::Reader;

/// A hundred years in either direction: further away, dates leave what RFC 3339 can write.
const MAX_OFFSET_SECONDS: i64 = 100 * 366 * 86_400;

/// What exists in dev alone.
#[derive(Debug, Clone)]
pub struct DevelopmentConfig {
    /// `DEV_TOKEN`; none lets `serve` generate one.
    pub token: Option<Secret>,
    /// `DEV_CLOCK_OFFSET_SECONDS`.
    pub clock_offset: SignedDuration,
    /// `MAIL_SINK_URL` without a slash at the end.
    pub mail_sink_url: Option<String>,
}

impl DevelopmentConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let offset = reader.number("DEV_CLOCK_OFFSET_SECONDS", -MAX_OFFSET_SECONDS..=MAX_OFFSET_SECONDS);
        Self {
            token: reader.optional_token("DEV_TOKEN"),
            clock_offset: SignedDuration::from_secs(offset),
            mail_sink_url: reader.optional_url("MAIL_SINK_URL").map(|url| url.trim_end_matches('/').to_owned()),
        }
    }
}
