//! What the lists of admins share: parts of names, and directions.

use serde::Deserialize;
use utoipa::ToSchema;

use crate::types::text_enum;
use crate::web::fields::{Fields, SHORT_TEXT};

text_enum! {
    /// The direction of a list.
    SortOrder {
        Asc = "asc",
        Desc = "desc",
    }
}

/// A part of a name, as a pattern of `ilike`.
pub(super) fn pattern(rules: &mut Fields, search: Option<String>) -> Option<String> {
    let search = rules.optional_text("search", search, SHORT_TEXT)?;
    let mut pattern = String::from("%");
    for c in search.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    Some(pattern)
}

/// Somebody's or something's id and name.
#[derive(Debug, serde::Serialize, Deserialize, ToSchema)]
pub(super) struct NameView {
    pub id: i64,
    pub name: String,
}

/// Checks a range of stars.
pub(super) fn check_stars(rules: &mut Fields, min: Option<f64>, max: Option<f64>) {
    for (field, stars) in [("minRating", min), ("maxRating", max)] {
        rules.check(field, stars.is_none_or(|stars| (0.0..=5.0).contains(&stars)), "must be 0 to 5");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_patterns_are_letters() {
        let pattern = |text: &str| pattern(&mut Fields::new(), Some(text.into()));
        assert_eq!(pattern(" 100%_\\ "), Some("%100\\%\\_\\\\%".into()));
        assert_eq!(pattern(" "), None);
    }
}
