//! How forgiving the values of requests are read, in bodies, queries and socket events alike.
//!
//! A number may come as text. An empty text where something is optional is its absence. A name may be in camelCase or in
//! `snake_case`; in both, if the values agree. Names that nobody asked for are ignored. All of it follows from the type
//! that is read: text, and values of no particular shape, are taken to the letter.

use std::fmt::Display;
use std::vec;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Map, Number, Value};
use serde_path_to_error::Path;

/// Reads an object. The error of a value names where it is, and has no Rust types.
///
/// # Errors
/// The place, if it is not the whole, and the rule that is broken there.
pub(crate) fn from_object<T: DeserializeOwned>(object: Map<String, Value>) -> Result<T, (Option<String>, String)> {
    serde_path_to_error::deserialize(Forgiving(Value::Object(object))).map_err(|error| {
        let place = place_of(error.path());
        let why = error.into_inner().to_string();
        match why.strip_prefix("missing field `").and_then(|name| name.strip_suffix('`')) {
            Some(name) => {
                (Some(place.map_or_else(|| name.to_owned(), |place| format!("{place}.{name}"))), "is missing".into())
            }
            None => (place, explain(&why)),
        }
    })
}

/// A place in a request, as people write it. Returns `None` if it is the whole.
pub(super) fn place_of(path: &Path) -> Option<String> {
    Some(path.to_string()).filter(|path| path != ".")
}

/// Reads a text that may be emptied: null is absence, an empty text is not.
///
/// # Errors
/// It is neither.
pub(crate) fn text_or_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match serde::Deserialize::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        other => Err(D::Error::invalid_type(unexpected(&other), &"a string")),
    }
}

/// The rule that a value breaks: serde's "invalid type: string "x", expected u32" without Rust types.
pub(crate) fn explain(why: &dyn Display) -> String {
    let text = why.to_string();
    // Of a JSON text, serde also says where.
    let text = text.split(" at line ").next().unwrap_or_default();
    if text.starts_with("UUID parsing failed") {
        return "must be a UUID".into();
    }
    match text.rsplit_once("expected ").map(|(_, expected)| expected) {
        Some("i16" | "i32" | "i64") if text.starts_with("invalid value") => "is out of range".into(),
        Some("i16" | "i32" | "i64") => "must be a whole number".into(),
        Some("f64") => "must be a number".into(),
        Some("a boolean") => "must be true or false".into(),
        Some("a sequence") => "must be a list".into(),
        Some(expected) if expected == "a map" || expected.starts_with("struct ") => "must be an object".into(),
        Some(expected) => format!("must be {expected}"),
        None => format!("is not valid: {text}"),
    }
}

/// A value that is read with forgiveness.
struct Forgiving(Value);

impl Forgiving {
    /// The value, or the whole number that it writes: `"7"`, `7.0`, `"7.00"`.
    fn whole(self) -> Value {
        let number = match &self.0 {
            Value::String(text) if is_number(text) => {
                let text = text.trim();
                text.parse().ok().or_else(|| whole(&Number::from_f64(text.parse().ok()?)?))
            }
            Value::Number(number) => whole(number),
            _ => None,
        };
        number.map_or(self.0, Value::from)
    }

    /// The value, or the number that it writes.
    fn number(self) -> Value {
        match &self.0 {
            Value::String(text) if is_number(text) => {
                let number = text.trim().parse().ok().and_then(Number::from_f64);
                number.map_or(self.0, Value::Number)
            }
            _ => self.0,
        }
    }

    /// The value, or the truth that it writes, as queries do.
    fn truth(self) -> Value {
        match self.0.as_str() {
            Some("true") => true.into(),
            Some("false") => false.into(),
            _ => self.0,
        }
    }
}

/// The integer that a floating-point number stands for, up to the size where neighbours still differ.
#[expect(clippy::cast_possible_truncation, reason = "below 2^53")]
pub(crate) fn whole(number: &Number) -> Option<i64> {
    let number = number.as_f64().filter(|_| number.is_f64())?;
    (number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0).then_some(number as i64)
}

/// Whether a text is written in digits: Rust would also take `inf` and `NaN`.
fn is_number(text: &str) -> bool {
    text.trim().bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte))
}

/// Forwards to the deserializer of the value, which was adapted to the type that is read.
macro_rules! forward {
    ($($adapt:ident: $($method:ident)*;)*) => {$($(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.$adapt().$method(visitor)
        }
    )*)*};
}

impl<'de> Deserializer<'de> for Forgiving {
    type Error = Error;

    forward! {
        whole: deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16
            deserialize_u32 deserialize_u64;
        number: deserialize_f32 deserialize_f64;
        truth: deserialize_bool;
        into_value: deserialize_any deserialize_char deserialize_str deserialize_string deserialize_bytes
            deserialize_byte_buf deserialize_unit deserialize_identifier deserialize_ignored_any;
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0 {
            Value::Null => visitor.visit_none(),
            Value::String(text) if text.is_empty() => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(list) => visitor.visit_seq(SeqDeserializer::new(list.into_iter().map(Self))),
            other => Err(Error::invalid_type(unexpected(&other), &visitor)),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Object(map) => {
                visitor.visit_map(MapDeserializer::new(map.into_iter().map(|(name, value)| (name, Self(value)))))
            }
            other => Err(Error::invalid_type(unexpected(&other), &visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::Object(map) => visitor.visit_map(Members::new(map, fields)),
            // serde would also take a list for an object, by position.
            other => Err(Error::invalid_type(unexpected(&other), &"a map")),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        self.0.deserialize_unit_struct(name, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }
}

impl Forgiving {
    fn into_value(self) -> Value {
        self.0
    }
}

impl IntoDeserializer<'_, Error> for Forgiving {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// A member of an object under the name that is asked for. Without a value, its two spellings contradict each other.
type Member = (&'static str, Option<Value>);

/// The members that are asked for.
struct Members {
    rest: vec::IntoIter<Member>,
    value: Option<Value>,
}

impl Members {
    fn new(map: Map<String, Value>, fields: &'static [&'static str]) -> Self {
        let camel_cased: Vec<_> = fields.iter().map(|field| camel_case(field)).collect();
        let mut members: Vec<Member> = Vec::with_capacity(fields.len());
        for (name, value) in map {
            let name = camel_case(&name);
            let Some(field) = camel_cased.iter().position(|field| *field == name) else { continue };
            let field = fields[field];
            match members.iter_mut().find(|(other, _)| *other == field) {
                None => members.push((field, Some(value))),
                Some((_, twin)) => *twin = twin.take().and_then(|twin| agreed(twin, value)),
            }
        }
        Self { rest: members.into_iter(), value: None }
    }
}

impl<'de> MapAccess<'de> for Members {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((name, value)) = self.rest.next() else { return Ok(None) };
        self.value = value;
        seed.deserialize(name.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        match self.value.take() {
            Some(value) => seed.deserialize(Forgiving(value)),
            None => seed.deserialize(Contradiction),
        }
    }
}

/// The value of a name whose two spellings have different ones.
struct Contradiction;

impl<'de> Deserializer<'de> for Contradiction {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Error> {
        Err(Error::custom("expected the same value in both spellings of its name"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq
        tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// `zip_code` as `zipCode`.
fn camel_case(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    for word in name.split('_') {
        let mut chars = word.chars();
        match chars.next() {
            Some(first) if !camel.is_empty() => camel.push(first.to_ascii_uppercase()),
            first => camel.extend(first),
        }
        camel.push_str(chars.as_str());
    }
    camel
}

/// The value that both spellings of a name have, or the one of them that is there.
fn agreed(one: Value, other: Value) -> Option<Value> {
    let is_absent = |value: &Value| value.is_null() || value.as_str() == Some("");
    let plain = |value: &Value| Forgiving(Forgiving(value.clone()).whole()).number();
    match () {
        () if is_absent(&other) => Some(one),
        () if is_absent(&one) => Some(other),
        () => (plain(&one) == plain(&other)).then_some(one),
    }
}

fn unexpected(value: &Value) -> Unexpected<'_> {
    match value {
        Value::Null => Unexpected::Unit,
        Value::Bool(truth) => Unexpected::Bool(*truth),
        Value::Number(_) => Unexpected::Other("number"),
        Value::String(text) => Unexpected::Str(text),
        Value::Array(_) => Unexpected::Seq,
        Value::Object(_) => Unexpected::Map,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::types::{Cents, ChatId, JobId, Role};

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Body {
        job_id: Option<JobId>,
        chat: Option<ChatId>,
        years: Option<i32>,
        rating: Option<f64>,
        price: Option<Cents>,
        is_read: Option<bool>,
        role: Option<Role>,
        images: Option<Vec<String>>,
        sizes: Option<Vec<i32>>,
        name: Option<String>,
        #[serde(deserialize_with = "text_or_empty")]
        note: Option<String>,
        answers: Option<Value>,
        inner: Option<Box<Self>>,
        party: Option<Named>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Named {
        name: String,
    }

    fn read(value: Value) -> Result<Body, (Option<String>, String)> {
        let Value::Object(object) = value else { panic!("{value}") };
        from_object(object)
    }

    #[test]
    fn numbers_may_be_text() {
        for (given, years) in
            [(json!("7"), 7), (json!(" 7 "), 7), (json!(7.0), 7), (json!("7.00"), 7), (json!("-7"), -7)]
        {
            assert_eq!(
                read(json!({"years": given})).unwrap(),
                Body { years: Some(years), ..Body::default() },
                "{given}"
            );
        }
        let body = read(json!({
            "jobId": "12", "rating": "4.5", "price": "120.50", "isRead": "true", "sizes": ["1", 2], "inner": {"years": "1"},
        }));
        let expected = Body {
            job_id: Some(JobId(12)),
            rating: Some(4.5),
            price: Some(Cents(12_050)),
            is_read: Some(true),
            sizes: Some(vec![1, 2]),
            inner: Some(Box::new(Body { years: Some(1), ..Body::default() })),
            ..Body::default()
        };
        assert_eq!(body.unwrap(), expected);
    }

    #[test]
    fn an_empty_text_is_absence() {
        let body = read(json!({
            "jobId": "", "chat": "", "years": "", "price": "", "isRead": "", "role": "", "images": "", "name": "",
            "answers": "", "inner": "", "note": "",
        }));
        assert_eq!(body.unwrap(), Body { note: Some(String::new()), ..Body::default() });
    }

    #[test]
    fn what_has_no_particular_shape_is_taken_to_the_letter() {
        let answers = json!({"rooms": "3", "size": 7.0, "note": "", "job_id": {"jobId": null}});
        let body = read(json!({"answers": answers, "unknown": {"years": "x"}})).unwrap();
        assert_eq!(body, Body { answers: Some(answers), ..Body::default() });
    }

    #[test]
    fn both_spellings_of_a_name_are_fine_if_they_agree() {
        for body in [
            json!({"job_id": 7}),
            json!({"jobId": 7, "job_id": "7"}),
            json!({"jobId": "", "job_id": 7}),
            json!({"jobId": 7.0, "job_id": null}),
        ] {
            assert_eq!(read(body.clone()).unwrap().job_id, Some(JobId(7)), "{body}");
        }
        let differ = read(json!({"jobId": 7, "job_id": 8})).unwrap_err();
        assert_eq!(differ, (Some("jobId".into()), "must be the same value in both spellings of its name".into()));
    }

    #[test]
    fn rules_have_no_rust_types() {
        for (body, place, rule) in [
            (json!({"jobId": "seven"}), "jobId", "must be a whole number"),
            (json!({"years": 1.5}), "years", "must be a whole number"),
            (json!({"years": "1.5"}), "years", "must be a whole number"),
            (json!({"years": "inf"}), "years", "must be a whole number"),
            (json!({"years": [7]}), "years", "must be a whole number"),
            (json!({"years": 3_000_000_000_i64}), "years", "is out of range"),
            (json!({"rating": "NaN"}), "rating", "must be a number"),
            (json!({"price": "-1"}), "price", "must be an amount from 0 to 10000000 dollars"),
            (json!({"price": "cheap"}), "price", "must be a number of dollars"),
            (json!({"chat": "7"}), "chat", "must be a UUID"),
            (json!({"isRead": "yes"}), "isRead", "must be true or false"),
            (json!({"images": "a"}), "images", "must be a list"),
            (json!({"sizes": [1, "x"]}), "sizes[1]", "must be a whole number"),
            (json!({"name": 7}), "name", "must be a string"),
            (json!({"note": 7}), "note", "must be a string"),
            (json!({"inner": 7}), "inner", "must be an object"),
            (json!({"inner": [1, 2, 3]}), "inner", "must be an object"),
            (json!({"inner": {"years": {}}}), "inner.years", "must be a whole number"),
            (json!({"inner": {"party": {}}}), "inner.party.name", "is missing"),
        ] {
            assert_eq!(read(body.clone()).unwrap_err(), (Some(place.into()), rule.into()), "{body}");
        }
    }
}
