//! One schema for two uses: what the document says of an input is what the input is checked against.
//!
//! The body and query extractors keep one compiled validator per type here. Invariant: every broken rule of the schema
//! becomes one field error with one of the contract's codes; a field has at most one.

use std::any::TypeId;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use domain::error::VIOLATIONS_MAX;
use domain::text::told_name;
use domain::{Error, FieldCode, Result, Violation};
use jsonschema::error::ValidationErrorKind as Kind;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::json;

/// Enums whose words are the domain's, for the document and the input check: tests compare them with the domain's own.
macro_rules! schema_words {
    ($($(#[$doc:meta])* $name:ident as $public:literal { $($variant:ident),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(JsonSchema)]
        #[schemars(rename = $public)]
        #[serde(rename_all = "snake_case")]
        #[expect(dead_code, reason = "read by the document and the input check alone")]
        pub(in crate::api) enum $name { $($variant),+ }
    )+};
}
pub(in crate::api) use schema_words;

/// Compiled schemas, by type.
#[derive(Debug, Default)]
pub struct Schemas(RwLock<HashMap<TypeId, Arc<Compiled>>>);

/// A schema, and the validator made of it.
#[derive(Debug)]
struct Compiled {
    schema: Value,
    validator: jsonschema::Validator,
    /// Whether `{}` is good.
    takes_nothing: bool,
}

impl Schemas {
    /// Checks a value against the schema of `T`, and reads it.
    ///
    /// # Errors
    /// `Validation`, with every broken rule.
    pub fn read<T: JsonSchema + DeserializeOwned + 'static>(&self, value: Value) -> Result<T> {
        let compiled = self.of::<T>()?;
        let violations = compiled.violations(&value);
        if !violations.is_empty() {
            return Err(Error::Validation(violations));
        }
        // The schema admits what serde does not in one corner: `14.0` is an integer (JSON Schema 2020-12 §4.2.3).
        T::deserialize(&value).map_err(|error| {
            let field = json::find_fraction(&value).unwrap_or_default();
            Error::invalid(field, FieldCode::WrongType, error.to_string())
        })
    }

    /// Turns the texts of a query into the types that the schema of `T` wants, where they can be.
    ///
    /// # Errors
    /// As [`Schemas::read`].
    pub fn read_query<T: JsonSchema + DeserializeOwned + 'static>(&self, pairs: Vec<(String, String)>) -> Result<T> {
        let compiled = self.of::<T>()?;
        // Most requests have no query: that nothing is a good one was found out once.
        if pairs.is_empty() && compiled.takes_nothing {
            return serde_json::from_value(Value::Object(Map::new())).map_err(Error::internal);
        }
        let mut object = Map::new();
        for (name, text) in pairs {
            let value = compiled.coerce(&name, text);
            if object.insert(name.clone(), value).is_some() {
                return Err(Error::invalid(name, FieldCode::NotAllowed, "stands twice"));
            }
        }
        self.read(Value::Object(object))
    }

    fn of<T: JsonSchema + 'static>(&self) -> Result<Arc<Compiled>> {
        let id = TypeId::of::<T>();
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&id).map(Arc::clone);
        if let Some(known) = known {
            return Ok(known);
        }
        let compiled = Arc::new(Compiled::new::<T>()?);
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::clone(&compiled));
        Ok(compiled)
    }
}

impl Compiled {
    fn new<T: JsonSchema>() -> Result<Self> {
        let settings = SchemaSettings::draft2020_12().for_deserialize().with(|s| s.inline_subschemas = true);
        let schema = settings.into_generator().into_root_schema_for::<T>().to_value();
        let validator = jsonschema::draft202012::new(&schema).map_err(Error::internal)?;
        let takes_nothing = validator.is_valid(&Value::Object(Map::new()));
        Ok(Self { schema, validator, takes_nothing })
    }

    fn coerce(&self, name: &str, text: String) -> Value {
        let wanted = self.schema.pointer(&format!("/properties/{name}/type"));
        let wants = |word: &str| match wanted {
            Some(Value::String(one)) => one == word,
            Some(Value::Array(several)) => several.iter().any(|one| one == word),
            _ => false,
        };
        match text.parse::<i64>() {
            Ok(number) if wants("integer") => Value::Number(number.into()),
            _ => Value::String(text),
        }
    }

    fn violations(&self, value: &Value) -> Vec<Violation> {
        let mut by_field: BTreeMap<String, Violation> = BTreeMap::new();
        let mut crowded = Vec::new();
        for error in self.validator.iter_errors(value) {
            if matches!(error.kind(), Kind::MaxProperties { .. }) {
                crowded.push(format!("{}.", dotted(error.instance_path().as_str())));
            }
            for violation in read(&error, value) {
                match by_field.get(&violation.field) {
                    Some(known) if rank(known.code) <= rank(violation.code) => {}
                    _ => {
                        by_field.insert(violation.field.clone(), violation);
                    }
                }
            }
        }
        // Of what has too many members only that is said, and not what is wrong with each.
        let told = |one: &Violation| !crowded.iter().any(|within| one.field.starts_with(within));
        by_field.into_values().filter(told).take(VIOLATIONS_MAX).collect()
    }
}

/// Which of several broken rules of one field is the one to tell: the order of the contract's codes.
fn rank(code: FieldCode) -> usize {
    FieldCode::ALL.iter().position(|known| *known == code).unwrap_or(usize::MAX)
}

fn read(error: &jsonschema::ValidationError<'_>, whole: &Value) -> Vec<Violation> {
    let field = dotted(error.instance_path().as_str());
    let one = |code, message: String| vec![Violation::new(field.clone(), code, message)];
    match error.kind() {
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            vec![Violation::new(member(&field, name), FieldCode::Required, "is required")]
        }
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => unexpected
            .iter()
            .map(|name| Violation::new(member(&field, name), FieldCode::UnknownField, "is not known here"))
            .collect(),
        // How an object without any known member says that it has one: without the name.
        Kind::FalseSchema => {
            let names = whole.pointer(error.instance_path().as_str()).and_then(Value::as_object);
            match names.filter(|names| !names.is_empty()) {
                Some(names) => names
                    .keys()
                    .map(|name| Violation::new(member(&field, name), FieldCode::UnknownField, "is not known here"))
                    .collect(),
                None => one(FieldCode::NotAllowed, "is not allowed here".to_owned()),
            }
        }
        Kind::Type { kind } => {
            let wanted = match kind {
                jsonschema::error::TypeKind::Single(one) => one.to_string(),
                jsonschema::error::TypeKind::Multiple(several) => {
                    several.iter().map(|one| one.to_string()).collect::<Vec<_>>().join(" or ")
                }
            };
            one(FieldCode::WrongType, format!("must be {wanted}"))
        }
        Kind::MinLength { limit } => one(FieldCode::TooShort, format!("must have at least {limit} characters")),
        Kind::MinItems { limit } => one(FieldCode::TooShort, format!("must have at least {limit} items")),
        Kind::MinProperties { limit } => one(FieldCode::TooShort, format!("must have at least {limit} members")),
        Kind::MaxLength { limit } => one(FieldCode::TooLong, format!("may have at most {limit} characters")),
        Kind::MaxItems { limit } => one(FieldCode::TooLong, format!("may have at most {limit} items")),
        Kind::MaxProperties { limit } => one(FieldCode::TooLong, format!("may have at most {limit} members")),
        Kind::Minimum { limit } => one(FieldCode::OutOfRange, format!("must be at least {limit}")),
        Kind::Maximum { limit } => one(FieldCode::OutOfRange, format!("may be at most {limit}")),
        Kind::ExclusiveMinimum { limit } => one(FieldCode::OutOfRange, format!("must be more than {limit}")),
        Kind::ExclusiveMaximum { limit } => one(FieldCode::OutOfRange, format!("must be less than {limit}")),
        Kind::Pattern { pattern } => one(FieldCode::InvalidFormat, format!("does not have the form {pattern}")),
        Kind::Format { format } => one(FieldCode::InvalidFormat, format!("is not of the format {format}")),
        Kind::Enum { options } => match options.as_array() {
            Some(words) => {
                let words: Vec<String> = words.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect();
                let wrong_type = !error.instance().is_string();
                let code = if wrong_type { FieldCode::WrongType } else { FieldCode::NotAllowed };
                one(code, format!("must be one of {}", words.join(", ")))
            }
            None => one(FieldCode::NotAllowed, "is not one of the allowed values".to_owned()),
        },
        other => one(FieldCode::NotAllowed, format!("breaks the rule `{}`", other.keyword())),
    }
}

/// `/hosts/0` as `hosts.0`, with JSON Pointer's escapes (RFC 6901 §3) undone, and long names cut.
fn dotted(pointer: &str) -> String {
    let plain = |part: &str| part.replace("~1", "/").replace("~0", "~");
    let parts = pointer.split('/').skip(1).map(|part| told_name(&plain(part)).to_owned());
    parts.collect::<Vec<_>>().join(".")
}

fn member(field: &str, name: &str) -> String {
    let name = told_name(name);
    if field.is_empty() { name.to_owned() } else { format!("{field}.{name}") }
}
