//! Search queries as people type them: no I/O.

/// Further words of a query are ignored.
const MAX_WORDS: usize = 10;

/// A query of at least one word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Words {
    text: String,
    beginnings: String,
}

impl Words {
    /// Returns `None` for a text without a letter or a digit.
    pub(super) fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let words: Vec<_> =
            text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).take(MAX_WORDS).collect();
        let beginnings = words.iter().map(|word| format!("{word}:*")).collect::<Vec<_>>().join(" & ");
        (!words.is_empty()).then(|| Self { text: text.to_owned(), beginnings })
    }

    /// The query as it was typed.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// A `tsquery` in which every word may be the beginning of one.
    pub(super) fn beginnings(&self) -> &str {
        &self.beginnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_becomes_a_query() {
        let beginnings = |text| Words::read(text).map(|words| words.beginnings);
        assert_eq!(beginnings(" Deep  clean "), Some("Deep:* & clean:*".into()));
        assert_eq!(beginnings("a'b\\ | !c:*"), Some("a:* & b:* & c:*".into()));
        assert_eq!(beginnings(" %_&|! "), None);
        assert_eq!(beginnings(&"a ".repeat(100)).map(|text| text.matches(":*").count()), Some(MAX_WORDS));
    }
}
