//! The fields of a span as JSON, written down once when the span begins.
//!
//! The JSON log layer formats every span when it is made, whether or not a line is ever written in it, and every request
//! makes one: tracing's own formatter collects the fields in a map of JSON values first, which costs more than the rest
//! of the span. Invariant: the text is one JSON object, which is what the layer reads back when it writes a line.

use std::fmt::{self, Debug, Display, Write as _};

use tracing::field::{Field, Visit};
use tracing::span::Record;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FormatFields, FormattedFields};

/// Formats fields as the members of one JSON object.
#[derive(Debug, Default)]
pub(super) struct SpanFields;

impl<'w> FormatFields<'w> for SpanFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut members = Members { text: String::with_capacity(192), failed: false };
        fields.record(&mut members);
        if members.failed {
            return Err(fmt::Error);
        }
        write!(writer, "{{{}}}", members.text)
    }

    fn add_fields(&self, current: &'w mut FormattedFields<Self>, fields: &Record<'_>) -> fmt::Result {
        let mut added = String::new();
        self.format_fields(Writer::new(&mut added), fields)?;
        let inner = |object: &str| object.trim_start_matches('{').trim_end_matches('}').is_empty();
        if inner(&current.fields) {
            current.fields = added;
        } else if !inner(&added) {
            // A member that stands twice counts as it stands last.
            current.fields.truncate(current.fields.len() - 1);
            current.fields.push(',');
            current.fields.push_str(&added[1..]);
        }
        Ok(())
    }
}

struct Members {
    text: String,
    failed: bool,
}

impl Members {
    fn raw(&mut self, field: &Field, value: impl Display) {
        let name = field.name();
        let comma = if self.text.is_empty() { "" } else { "," };
        self.failed |= write!(self.text, "{comma}\"{}\":{value}", name.strip_prefix("r#").unwrap_or(name)).is_err();
    }

    fn quoted(&mut self, field: &Field, value: &str) {
        // Methods, templates and ids: there is hardly ever anything to escape.
        if value.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
            match serde_json::to_string(value) {
                Ok(escaped) => self.raw(field, escaped),
                Err(_) => self.failed = true,
            }
        } else {
            self.raw(field, format_args!("\"{value}\""));
        }
    }
}

impl Visit for Members {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.quoted(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.raw(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.raw(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.raw(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() { self.raw(field, value) } else { self.raw(field, "null") }
    }

    // Wider integers arrive here too, as texts.
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.quoted(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt as _;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'w> MakeWriter<'w> for Lines {
        type Writer = Self;
        fn make_writer(&'w self) -> Self {
            self.clone()
        }
    }

    /// The span as a line in it shows it.
    fn shown(work: impl FnOnce()) -> Value {
        let lines = Lines::default();
        let layer = tracing_subscriber::fmt::layer().with_writer(lines.clone()).json().with_span_list(true);
        let subscriber = tracing_subscriber::registry().with(layer.fmt_fields(SpanFields));
        tracing::subscriber::with_default(subscriber, work);
        let text = lines.0.lock().unwrap().clone();
        serde_json::from_slice::<Value>(&text).unwrap()["spans"][0].clone()
    }

    #[test]
    fn every_kind_of_field_is_json() {
        let odd = "a \"quoted\" \\ line\nand more";
        let span = shown(|| {
            let span = tracing::info_span!("work", text = odd, plain = "GET", less = -1, more = 1_u64, yes = true, part = 0.5, list = ?["x"]);
            span.in_scope(|| tracing::info!("now"));
        });
        let wanted = json!({ "name": "work", "text": odd, "plain": "GET", "less": -1, "more": 1, "yes": true, "part": 0.5, "list": "[\"x\"]" });
        assert_eq!(span, wanted);
    }

    #[test]
    fn fields_that_come_later_join_the_others() {
        let span = shown(|| {
            let span = tracing::info_span!("work", first = 1, later = tracing::field::Empty);
            span.record("later", "here");
            span.in_scope(|| tracing::info!("now"));
        });
        assert_eq!(span, json!({ "name": "work", "first": 1, "later": "here" }));
    }

    #[test]
    fn a_span_without_fields_is_an_object_still() {
        assert_eq!(shown(|| tracing::info_span!("work").in_scope(|| tracing::info!("now"))), json!({ "name": "work" }));
    }
}
