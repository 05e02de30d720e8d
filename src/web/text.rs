//! Text that people paste: what is invisible in it does not count.

use std::borrow::Cow;

use idna::AsciiDenyList;
use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

/// Letters and symbols that are drawn as nothing: the Hangul fillers and the blank Braille pattern.
const BLANKS: [char; 5] = ['\u{115f}', '\u{1160}', '\u{3164}', '\u{ffa0}', '\u{2800}'];

/// A name or a message as it is stored: composed (NFC), without space around it. Returns `None` if nothing in it is
/// visible. What joins and directs letters and emoji within it stays.
pub(crate) fn clean(text: &str) -> Option<String> {
    let text: String = text.trim_matches(is_space_around).nfc().collect();
    is_visible(&text).then_some(text)
}

/// Whether somebody sees anything of a text.
pub(crate) fn is_visible(text: &str) -> bool {
    text.contains(is_visible_alone)
}

/// An e-mail address in the one form in which it is stored and looked up: lower case, composed, its domain in ASCII (IDNA).
/// Whether it exists, only a message to it shows.
pub(crate) fn email(text: &str) -> Option<String> {
    let text: String = text.trim().chars().filter(|c| *c == ' ' || !is_clutter(*c)).collect();
    let (local, domain) = text.rsplit_once('@')?;
    let local: String = local.to_lowercase().nfc().collect();
    let domain = idna::domain_to_ascii_cow(domain.as_bytes(), AsciiDenyList::STD3).ok()?;
    let is_label = |label: &str| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-');
    let is_domain = domain.contains('.') && domain.split('.').all(is_label);
    let is_refused = |c: char| c.is_whitespace() || c.is_control() || "@<>()[],;:\\\"".contains(c);
    let is_local = !local.is_empty() && local.len() <= 64 && !local.contains(is_refused);
    (is_domain && is_local && local.len() + 1 + domain.len() <= 254).then(|| format!("{local}@{domain}"))
}

/// A US phone number in any notation, as +1 and ten digits (E.164, North American Numbering Plan).
pub(crate) fn us_phone_number(text: &str) -> Option<String> {
    let text: String = text.chars().filter(|c| !is_clutter(*c)).collect();
    let text = text.get(..4).filter(|scheme| scheme.eq_ignore_ascii_case("tel:")).map_or(&*text, |_| &text[4..]);
    if text.chars().any(|c| !c.is_ascii_digit() && !"+.()".contains(c) && !is_dash(c)) {
        return None;
    }
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let national = match digits.len() {
        10 if !text.starts_with('+') => &digits[..],
        11 => digits.strip_prefix('1')?,
        _ => return None,
    };
    // No area code begins with 0 or 1. Exchange codes are not checked: tests commonly use invented numbers.
    (national.as_bytes().first()? >= &b'2').then(|| format!("+1{national}"))
}

/// A text without spaces and format characters, where neither has a meaning: a ZIP code.
pub(crate) fn without_clutter(text: &str) -> Cow<'_, str> {
    if text.contains(is_clutter) { text.chars().filter(|c| !is_clutter(*c)).collect() } else { text.into() }
}

/// Spaces of any width, and format characters (zero-width spaces, joiners, directions, byte order marks).
fn is_clutter(c: char) -> bool {
    c.is_whitespace() || c.general_category() == GeneralCategory::Format
}

/// As [`is_clutter`], without the tags that end the flag of a region.
fn is_space_around(c: char) -> bool {
    is_clutter(c) && !('\u{e0020}'..='\u{e007f}').contains(&c)
}

fn is_dash(c: char) -> bool {
    c == '\u{2212}' || c.general_category() == GeneralCategory::DashPunctuation
}

/// Whether somebody sees the character by itself. Marks need a letter; unassigned ones may be the next version's emoji.
fn is_visible_alone(c: char) -> bool {
    use GeneralCategory as Category;
    let is_hidden = matches!(
        c.general_category(),
        Category::Control
            | Category::Format
            | Category::Surrogate
            | Category::SpaceSeparator
            | Category::LineSeparator
            | Category::ParagraphSeparator
            | Category::NonspacingMark
            | Category::EnclosingMark
    );
    !is_hidden && !BLANKS.contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emails_have_one_form() {
        for (given, expected) in [
            (" Ann@Example.COM ", "ann@example.com"),
            ("ann+jobs@mail.example.co.uk", "ann+jobs@mail.example.co.uk"),
            ("ann\u{200b}@exam\u{ad}ple.com\u{feff}", "ann@example.com"),
            ("\u{a0}ann@example.com\u{2009}", "ann@example.com"),
            ("rene\u{301}@example.com", "ren\u{e9}@example.com"),
            ("RENÉ@example.com", "ren\u{e9}@example.com"),
            ("ann@bücher.example", "ann@xn--bcher-kva.example"),
            ("ann@bu\u{308}cher.example", "ann@xn--bcher-kva.example"),
            ("ann@XN--BCHER-KVA.example", "ann@xn--bcher-kva.example"),
            ("ann@example\u{3002}com", "ann@example.com"),
        ] {
            assert_eq!(email(given).as_deref(), Some(expected), "{given:?}");
        }
        for bad in [
            "",
            "ann",
            "@example.com",
            "\u{200b}@example.com",
            "ann@",
            "ann@localhost",
            "a b@example.com",
            "ann@exa mple.com",
            "ann@example..com",
            "ann@example.com.",
            "a@b@c.com",
            "ann@-x.com",
            "ann@xn--\u{e9}.com",
            "ann@exa_mple.com",
        ] {
            assert_eq!(email(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn phone_numbers_as_people_paste_them() {
        for good in [
            "(212) 555-0123",
            "212-555-0123",
            "+1 212 555 0123",
            "12125550123",
            "2125550123",
            "+1\u{a0}212\u{a0}555\u{2011}0123",
            "\u{202a}+1 (212) 555\u{2013}0123\u{202c}",
            "212\u{2212}555\u{2009}0123",
            "tel:+1-212-555-0123",
            "TEL: 212.555.0123",
        ] {
            assert_eq!(us_phone_number(good), Some("+12125550123".into()), "{good:?}");
        }
        for bad in
            ["", "555-0123", "+44 20 7946 0000", "1125550123", "212555012x", "+2125550123", "mailto:2125550123", "é"]
        {
            assert_eq!(us_phone_number(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn names_and_messages_are_visible() {
        for (given, expected) in [
            ("  Ann ", Some("Ann")),
            ("\u{feff}Ann\u{200b}", Some("Ann")),
            ("Rene\u{301}", Some("Ren\u{e9}")),
            ("👩\u{200d}🔧", Some("👩\u{200d}🔧")),
            ("a\n\nb", Some("a\n\nb")),
            ("!", Some("!")),
            // The flag of England ends with a format character.
            (
                "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
                Some("🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}"),
            ),
            ("", None),
            (" \u{a0}\u{2003}", None),
            ("\u{200b}\u{200d}\u{2060}", None),
            ("\u{3164}", None),
            ("\u{fe0f}\u{301}", None),
            ("\u{0}", None),
        ] {
            assert_eq!(clean(given).as_deref(), expected, "{given:?}");
        }
    }
}
