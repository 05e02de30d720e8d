//! The browser origins that may call with credentials.

use axum::http::HeaderValue;
use url::Url;

/// Origins a browser may call from: exact ones, and `https://*.suffix` patterns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedOrigins(Vec<Pattern>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Exact(String),
    /// `.suffix`: any host below it, over https on the default port.
    Below(String),
}

impl AllowedOrigins {
    /// Parses a comma-separated list.
    ///
    /// # Errors
    /// A sentence naming the entry that is neither an origin nor an `https://*.suffix` pattern.
    pub fn parse(text: &str) -> Result<Self, String> {
        text.split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .map(Pattern::parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether `origin`, as a browser sends it, matches an entry.
    #[must_use]
    pub fn allow(&self, origin: &HeaderValue) -> bool {
        origin.to_str().is_ok_and(|origin| self.0.iter().any(|pattern| pattern.matches(origin)))
    }
}

impl Pattern {
    fn parse(entry: &str) -> Result<Self, String> {
        let malformed = || {
            format!(
                "`{entry}` is neither an origin such as https://app.example.com nor a pattern such as https://*.example.com"
            )
        };
        if let Some(suffix) = entry.strip_prefix("https://*.") {
            let host = Url::parse(&format!("https://{suffix}")).map_err(|_| malformed())?;
            let bare = host.host_str() == Some(suffix) && suffix.contains('.');
            return if bare { Ok(Self::Below(format!(".{suffix}"))) } else { Err(malformed()) };
        }
        let url = Url::parse(entry).map_err(|_| malformed())?;
        let origin = match url.scheme() {
            "http" | "https" => url.origin().ascii_serialization(),
            // The pages of an app: to the URL standard these origins are opaque, but browsers send them.
            app @ ("capacitor" | "ionic") => format!("{app}://{}", url.host_str().unwrap_or_default()),
            _ => return Err(malformed()),
        };
        if !entry.contains('*') && url.has_host() && entry.trim_end_matches('/') == origin {
            Ok(Self::Exact(origin))
        } else {
            Err(malformed())
        }
    }

    fn matches(&self, origin: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == origin,
            Self::Below(suffix) => origin
                .strip_prefix("https://")
                .and_then(|host| host.strip_suffix(suffix.as_str()))
                .is_some_and(is_labels),
        }
    }
}

/// One or more DNS labels: nothing that could smuggle in another host, a port or a path.
fn is_labels(text: &str) -> bool {
    text.split('.').all(|label| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_exactly_or_below_a_suffix() {
        let allowed =
            AllowedOrigins::parse("http://localhost:3000, https://stm.example.com,https://*.preview.example.com, capacitor://localhost,ionic://localhost/")
                .unwrap();
        for (origin, expected) in [
            ("http://localhost:3000", true),
            ("https://stm.example.com", true),
            ("https://a.preview.example.com", true),
            ("https://a.b.preview.example.com", true),
            ("capacitor://localhost", true),
            ("ionic://localhost", true),
            ("capacitor://localhost.evil.com", false),
            ("capacitor://localhost:3000", false),
            ("http://localhost:3001", false),
            ("https://preview.example.com", false),
            ("http://a.preview.example.com", false),
            ("https://evil.com/.preview.example.com", false),
            ("https://evil.com#.preview.example.com", false),
            ("https://a.preview.example.com.evil.com", false),
            ("https://a.preview.example.com:8443", false),
            ("https://user@a.preview.example.com", false),
            ("null", false),
        ] {
            assert_eq!(allowed.allow(&HeaderValue::from_static(origin)), expected, "{origin}");
        }
    }

    #[test]
    fn refuses_wildcards_and_paths() {
        for entry in [
            "*",
            "https://*",
            "https://*.com",
            "https://a.example.com/path",
            "app.example.com",
            "https://*.example.com:1",
            "capacitor://",
            "capacitor://*",
            "capacitor://localhost/path",
            "capacitor://user@localhost",
            "file://localhost",
        ] {
            assert!(AllowedOrigins::parse(entry).is_err(), "{entry}");
        }
    }
}
