//! The names of files, as people keep them: cleaned of what deceives people and programs.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

use super::types::Kind;

/// The longest name in a URL, in bytes: ten URLs fit into a chat message.
const MAX_ENCODED_BYTES: usize = 180;

/// What a path segment escapes: all but the unreserved characters (RFC 3986, section 2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The name as a URL's last segment.
pub(super) fn encode(name: &str) -> String {
    utf8_percent_encode(name, SEGMENT).to_string()
}

/// The last part of a path, in one form, without control characters, format characters (which turn text around) and
/// dots or spaces at its ends; cut to a length that URLs can carry, its ending kept. `file` if nothing is left.
pub(super) fn clean(given: &str) -> String {
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let visible: String = last.nfc().filter(|c| !is_hidden(*c)).collect();
    let name = visible.trim_matches(|c: char| c.is_whitespace() || c == '.');
    if name.is_empty() { "file".to_owned() } else { shorten(name) }
}

fn is_hidden(c: char) -> bool {
    use GeneralCategory::{Control, Format, LineSeparator, ParagraphSeparator, PrivateUse, Surrogate, Unassigned};
    let category = c.general_category();
    let is_hidden =
        matches!(category, Control | Format | LineSeparator | ParagraphSeparator | PrivateUse | Surrogate | Unassigned);
    is_hidden || c == char::REPLACEMENT_CHARACTER
}

fn shorten(name: &str) -> String {
    if encode(name).len() <= MAX_ENCODED_BYTES {
        return name.to_owned();
    }
    let (mut stem, ending) = match split(name) {
        Some((stem, ending)) if encode(ending).len() <= 20 => (stem, format!(".{ending}")),
        _ => (name, String::new()),
    };
    while encode(stem).len() + ending.len() > MAX_ENCODED_BYTES {
        stem = stem.char_indices().next_back().map_or("", |(index, _)| &stem[..index]);
    }
    format!("{}{ending}", stem.trim_end())
}

/// The parts before and after the last dot.
fn split(name: &str) -> Option<(&str, &str)> {
    name.rsplit_once('.').filter(|(stem, ending)| !stem.is_empty() && !ending.is_empty())
}

/// The ending of a name, in lower case.
pub(super) fn ending(name: &str) -> Option<String> {
    split(name).map(|(_, ending)| ending.to_lowercase())
}

/// The name with an ending that agrees with its kind: one without any gets the usual one. Returns `None` if it has
/// another one.
pub(super) fn agree(name: String, kind: Kind) -> Option<String> {
    match ending(&name) {
        Some(ending) if kind.endings().contains(&&*ending) => Some(name),
        Some(_) => None,
        None => Some(shorten(&format!("{name}.{}", kind.endings()[0]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned_and_kept() {
        for (given, expected) in [
            ("before & after (1).png", "before & after (1).png"),
            ("Küche.jpg", "Küche.jpg"),
            ("Ku\u{308}che.jpg", "Küche.jpg"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Users\\ann\\photo.jpg", "photo.jpg"),
            ("photo\u{202e}gpj.exe", "photogpj.exe"),
            ("a\u{0}b\r\n\u{7f}.png", "ab.png"),
            ("..", "file"),
            ("", "file"),
            (" . ", "file"),
            (".htaccess", "htaccess"),
            ("台所.png", "台所.png"),
        ] {
            assert_eq!(clean(given), expected, "{given:?}");
        }
    }

    #[test]
    fn long_names_are_cut_and_keep_their_ending() {
        for stem in ["x", "é", "台", "🙂"] {
            let name = clean(&format!("{}.jpeg", stem.repeat(300)));
            assert!(name.strip_suffix(".jpeg").is_some() && encode(&name).len() <= MAX_ENCODED_BYTES, "{name}");
            assert!(encode(&name).len() > MAX_ENCODED_BYTES - 20, "{name}");
        }
        assert!(encode(&clean(&format!("a.{}", "b".repeat(300)))).len() <= MAX_ENCODED_BYTES);
    }

    #[test]
    fn endings_agree_with_the_kind() {
        assert_eq!(agree("a.JPG".into(), Kind::Jpeg).as_deref(), Some("a.JPG"));
        assert_eq!(agree("blob".into(), Kind::Png).as_deref(), Some("blob.png"));
        assert_eq!(agree("a.pdf".into(), Kind::Png), None);
        assert_eq!(agree("a.png.exe".into(), Kind::Png), None);
    }
}
