//! What somebody searches for: no I/O.

/// The most words of a search that count.
const MAX_WORDS: usize = 10;

/// What somebody has typed: at least one word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    text: String,
    beginnings: String,
}

impl Words {
    /// `None`: there is not a letter or a digit in it.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let words: Vec<_> =
            text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).take(MAX_WORDS).collect();
        let beginnings = words.iter().map(|word| format!("{word}:*")).collect::<Vec<_>>().join(" & ");
        (!words.is_empty()).then(|| Self { text: text.to_owned(), beginnings })
    }

    /// As it was typed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A text search query: every word, or the beginning of one.
    #[must_use]
    pub fn beginnings(&self) -> &str {
        &self.beginnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_typed_becomes_a_query() {
        let beginnings = |text| Words::read(text).map(|words| words.beginnings);
        assert_eq!(beginnings(" Deep  clean "), Some("Deep:* & clean:*".into()));
        assert_eq!(beginnings("a'b\\ | !c:*"), Some("a:* & b:* & c:*".into()));
        assert_eq!(beginnings(" %_&|! "), None);
        assert_eq!(beginnings(&"a ".repeat(100)).map(|text| text.matches(":*").count()), Some(MAX_WORDS));
    }
}
