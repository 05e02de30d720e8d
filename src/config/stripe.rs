//! The settings of Stripe.

use secrecy::SecretString;

use super::Reader;

/// How invoices are made at Stripe.
#[derive(Debug, Clone)]
pub struct StripeSettings {
    pub secret_key: SecretString,
    /// Signs the events that Stripe sends.
    pub webhook_secret: SecretString,
    /// Without a slash at its end.
    pub api_base: String,
}

impl<L: Fn(&str) -> Option<String>> Reader<L> {
    pub(super) fn stripe(&mut self) -> Option<StripeSettings> {
        let secret_key = self.key("STRIPE_SECRET_KEY", &["sk_", "rk_"], "a secret or restricted key");
        let webhook_secret =
            self.key("STRIPE_WEBHOOK_SECRET", &["whsec_"], "the signing secret of the webhook endpoint");
        let given_base = self.get("STRIPE_API_BASE");
        let api_base = given_base.as_deref().unwrap_or("https://api.stripe.com").trim_end_matches('/').to_owned();
        if let Some(problem) = api_base_problem(&api_base) {
            self.problems.push(problem.into());
        }
        match (secret_key, webhook_secret) {
            (Some(secret_key), Some(webhook_secret)) => {
                return Some(StripeSettings {
                    secret_key: secret_key.into(),
                    webhook_secret: webhook_secret.into(),
                    api_base,
                });
            }
            (Some(_), None) => self.problems.push(
                "STRIPE_WEBHOOK_SECRET is missing: without it nobody learns that an invoice was paid. \
                 Create a webhook endpoint at Stripe and put its signing secret there."
                    .into(),
            ),
            (None, Some(_)) => {
                self.problems
                    .push("STRIPE_SECRET_KEY is missing: STRIPE_WEBHOOK_SECRET needs it. Set both or neither.".into());
            }
            (None, None) if given_base.is_some() => {
                self.problems
                    .push("STRIPE_API_BASE needs STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET. Remove it.".into());
            }
            (None, None) => {}
        }
        None
    }

    /// A key, by the words that it may begin with.
    fn key(&mut self, name: &str, prefixes: &[&str], what: &str) -> Option<String> {
        let key = self.get(name)?;
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) || !prefixes.iter().any(|prefix| key.starts_with(prefix)) {
            let prefixes = prefixes.join("` or `");
            self.problems.push(format!("{name} must be {what}, as Stripe shows it: it begins with `{prefixes}`."));
        }
        Some(key)
    }
}

/// What is wrong with a `STRIPE_API_BASE`. The secret key travels there: only this machine is reached without TLS.
fn api_base_problem(text: &str) -> Option<&'static str> {
    let Ok(url) = url::Url::parse(text) else {
        return Some("STRIPE_API_BASE must be a URL: `https://api.stripe.com`.");
    };
    let is_loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    match url.scheme() {
        "https" | "http" if !is_bare || !url.username().is_empty() || url.password().is_some() => {
            Some("STRIPE_API_BASE must be no more than scheme, host and port: `https://api.stripe.com`.")
        }
        "https" => None,
        "http" if is_loopback => None,
        "http" => Some("STRIPE_API_BASE is not encrypted: use `https://`."),
        _ => Some("STRIPE_API_BASE must begin with `https://`."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The settings, or what is wrong with them.
    fn read(settings: &[(&str, &str)]) -> Result<Option<StripeSettings>, String> {
        let lookup = |name: &str| settings.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let mut reader = Reader { lookup, problems: Vec::new() };
        let stripe = reader.stripe();
        if reader.problems.is_empty() { Ok(stripe) } else { Err(reader.problems.join("\n")) }
    }

    #[test]
    fn stripe_needs_both_its_secrets() {
        let good = [("STRIPE_SECRET_KEY", "sk_test_1"), ("STRIPE_WEBHOOK_SECRET", "whsec_1")];
        assert_eq!(read(&good).unwrap().unwrap().api_base, "https://api.stripe.com");
        assert!(read(&[]).unwrap().is_none());
        assert!(read(&good[..1]).unwrap_err().contains("STRIPE_WEBHOOK_SECRET is missing"));
        assert!(read(&good[1..]).unwrap_err().contains("STRIPE_SECRET_KEY is missing"));
        for (base, accepted) in [
            ("https://stripe.example.com/", Some("https://stripe.example.com")),
            ("http://127.0.0.1:12111", Some("http://127.0.0.1:12111")),
            ("http://stripe.example.com", None),
            ("https://api.stripe.com/v1", None),
            ("ftp://127.0.0.1", None),
        ] {
            let stripe = read(&[good[0], good[1], ("STRIPE_API_BASE", base)]);
            assert_eq!(stripe.ok().flatten().map(|stripe| stripe.api_base).as_deref(), accepted);
        }
    }
}
