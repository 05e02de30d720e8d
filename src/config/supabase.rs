//! The settings of Supabase Auth.

use secrecy::{ExposeSecret as _, SecretString};

use super::Reader;

/// A project of Supabase, whose users may call.
#[derive(Debug, Clone)]
pub struct SupabaseSettings {
    /// Without a slash at its end: `https://<project-ref>.supabase.co`.
    pub url: String,
    pub jwt_secret: Option<SecretString>,
    pub publishable_key: Option<String>,
}

impl<L: Fn(&str) -> Option<String>> Reader<L> {
    pub(super) fn supabase(&mut self, own_secret: Option<&SecretString>) -> Option<SupabaseSettings> {
        let url = self.get("SUPABASE_URL");
        let jwt_secret = self.get("SUPABASE_JWT_SECRET").map(SecretString::from);
        let publishable_key = self.get("SUPABASE_PUBLISHABLE_KEY");
        if let Some(secret) = &jwt_secret {
            if secret.expose_secret().len() < 32 {
                self.problems.push(
                    "SUPABASE_JWT_SECRET is shorter than 32 bytes. Supabase: Project Settings > JWT Keys > Legacy JWT \
                     secret. Leave it out if the project signs with a key pair."
                        .into(),
                );
            }
            if own_secret.is_some_and(|own| own.expose_secret() == secret.expose_secret()) {
                self.problems.push(
                    "SUPABASE_JWT_SECRET and JWT_SECRET are the same: put random bytes of its own into JWT_SECRET."
                        .into(),
                );
            }
        }
        if publishable_key.as_deref().is_some_and(|key| !key.bytes().all(|byte| byte.is_ascii_graphic())) {
            self.problems.push("SUPABASE_PUBLISHABLE_KEY must have neither spaces nor line breaks.".into());
        }
        if let Some(problem) = url.as_deref().and_then(supabase_problem) {
            self.problems.push(problem.into());
        }
        let Some(url) = url else {
            for (name, is_set) in
                [("SUPABASE_JWT_SECRET", jwt_secret.is_some()), ("SUPABASE_PUBLISHABLE_KEY", publishable_key.is_some())]
            {
                if is_set {
                    self.problems.push(format!("SUPABASE_URL is missing: {name} has no effect without it."));
                }
            }
            return None;
        };
        Some(SupabaseSettings { url: url.trim_end_matches('/').to_owned(), jwt_secret, publishable_key })
    }
}

/// What is wrong with a `SUPABASE_URL`. Keys that were fetched without TLS could be anybody's.
fn supabase_problem(text: &str) -> Option<&'static str> {
    let Ok(url) = url::Url::parse(text) else {
        return Some("SUPABASE_URL must be a URL: `https://<project-ref>.supabase.co`.");
    };
    let is_bare =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    let is_loopback = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" | "http" if !is_bare => Some(
            "SUPABASE_URL must be an address alone, without user, query and fragment: `https://<project-ref>.supabase.co`.",
        ),
        "https" | "http" if url.path().trim_end_matches('/').ends_with("/v1") => {
            Some("SUPABASE_URL must end before `/auth/v1`: `https://<project-ref>.supabase.co`.")
        }
        "https" => None,
        "http" if is_loopback => None,
        "http" => Some("SUPABASE_URL is not encrypted: use `https://`. Only this machine is reached without."),
        _ => Some("SUPABASE_URL must begin with `https://`."),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{GOOD, config};

    #[test]
    fn supabase_has_a_url_and_a_secret_of_its_own() {
        assert!(config(&[]).unwrap().supabase.is_none());
        let url = ("SUPABASE_URL", "https://abc.supabase.co/");
        assert_eq!(config(&[url]).unwrap().supabase.unwrap().url, "https://abc.supabase.co");
        for url in ["http://127.0.0.1:9999", "http://localhost:54321", "http://[::1]:80"] {
            assert!(config(&[("SUPABASE_URL", url)]).unwrap().supabase.is_some(), "{url}");
        }
        let secret = ("SUPABASE_JWT_SECRET", "another secret of thirty-two bytes");
        assert!(config(&[url, secret]).unwrap().supabase.unwrap().jwt_secret.is_some());
        assert!(config(&[secret]).unwrap_err().to_string().contains("SUPABASE_URL is missing"));
        let same = config(&[url, ("SUPABASE_JWT_SECRET", GOOD[2].1)]).unwrap_err().to_string();
        assert!(same.contains("are the same"), "{same}");
    }
}
