//! Reading JSON strictly: what two parsers could read differently is refused.
//!
//! The body extractor calls it before anything looks at a value. Invariant: no object that gets through had two members
//! of one name, and nothing is nested deeper than 128 levels (serde_json's limit).

use std::fmt;

use domain::text::told_name;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Parses a JSON text.
///
/// # Errors
/// What is wrong with the text, with line and column.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// Where a string with a NUL stands: PostgreSQL cannot keep one, and no field has a use for it.
pub(super) fn find_nul(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => text.contains('\0').then(String::new),
        Value::Array(items) => {
            (0_usize..).zip(items).find_map(|(place, item)| Some(join(&place.to_string(), &find_nul(item)?)))
        }
        Value::Object(members) => members.iter().find_map(|(name, member)| {
            let inner = if name.contains('\0') { String::new() } else { find_nul(member)? };
            Some(join(&name.replace('\0', "\u{fffd}"), &inner))
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// Where a number with a fraction stands, be it only `.0`.
pub(super) fn find_fraction(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => number.is_f64().then(String::new),
        Value::Array(items) => {
            (0_usize..).zip(items).find_map(|(place, item)| Some(join(&place.to_string(), &find_fraction(item)?)))
        }
        Value::Object(members) => members.iter().find_map(|(name, member)| Some(join(name, &find_fraction(member)?))),
        Value::Null | Value::Bool(_) | Value::String(_) => None,
    }
}

fn join(outer: &str, inner: &str) -> String {
    let outer = told_name(outer);
    if inner.is_empty() { outer.to_owned() } else { format!("{outer}.{inner}") }
}

struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Strict)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom(format_args!("the member {:?} stands twice", told_name(&name))));
            }
            let value = members.next_value_seed(Strict)?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}
