//! Answers and offers as clients print them: line by line, each value as text. No I/O.

use serde_json::{Map, Value, json};

use crate::jobs::offers::OfferView;

/// The answers given with a booking, and what else it asked for.
pub(super) fn original_answers(
    answers: &Value,
    project_size_sqft: Option<i32>,
    requires_in_person_visit: bool,
) -> Map<String, Value> {
    let mut lines = lines(answers);
    if let Some(size) = project_size_sqft {
        lines.insert("project_size_sqft".into(), size.into());
    }
    lines.insert("requires_in_person_visit".into(), requires_in_person_visit.into());
    lines
}

/// An open offer: what it would change, and when it was made.
pub(super) fn proposed(offer: &OfferView) -> Map<String, Value> {
    let answers = offer.answers.as_ref().map(|answers| plain(&Value::Object(lines(answers))));
    let all = [
        ("price", offer.proposed_price.map(|price| json!(price))),
        ("schedule", offer.proposed_date.map(|date| json!(date))),
        ("notes", offer.notes.as_ref().map(|notes| json!(notes))),
        ("answers", answers),
        ("proposedAt", Some(json!(offer.created_at))),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// Answers as an object of plain values. An element of a list is a question with its answer, or has its number as a name.
pub(super) fn lines(answers: &Value) -> Map<String, Value> {
    let elements = answers.as_array().into_iter().flatten();
    let listed =
        (1..).zip(elements).map(|(number, element)| match (element["question"].as_str(), element.get("answer")) {
            (Some(question), Some(answer)) => (question.to_owned(), plain(answer)),
            _ => (number.to_string(), plain(element)),
        });
    let named = answers.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), plain(value)));
    named.chain(listed).filter(|(_, value)| !value.is_null()).collect()
}

/// A value that is neither a list nor an object: what either holds is joined to a text.
fn plain(value: &Value) -> Value {
    let text = |value: &Value| match plain(value) {
        Value::String(text) => text,
        other => other.to_string(),
    };
    match value {
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", ").into(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| format!("{name}: {}", text(value))).collect::<Vec<_>>().join(", ").into()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_lines() {
        for (answers, expected) in [
            (json!({"Rooms": 3, "Pets": null, "Colors": ["red", "blue"]}), json!({"Rooms": 3, "Colors": "red, blue"})),
            (
                json!([{"question": "Rooms", "answer": 4}, "Bring a ladder", {"a": [1, {"b": true}]}]),
                json!({"Rooms": 4, "2": "Bring a ladder", "3": "a: 1, b: true"}),
            ),
            (json!("text"), json!({})),
        ] {
            assert_eq!(Value::Object(lines(&answers)), expected, "{answers}");
        }
    }

    #[test]
    fn size_and_visit_stand_among_the_answers() {
        let expected = json!({"Rooms": "3", "project_size_sqft": 800, "requires_in_person_visit": true});
        assert_eq!(Value::Object(original_answers(&json!({"Rooms": "3"}), Some(800), true)), expected);
    }
}
