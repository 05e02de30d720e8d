//! The settings of files: where they are stored, scanned and reached.

use super::Reader;
use crate::files::{Bucket, Scanner, StoreSettings, scanner_problem};

impl<L: Fn(&str) -> Option<String>> Reader<L> {
    pub(super) fn public_url(&mut self) -> String {
        let Some(text) = self.get("PUBLIC_URL") else {
            return format!("http://localhost:{}", self.get("PORT").unwrap_or_else(|| "8000".into()));
        };
        let is_base = |url: &url::Url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none()
        };
        if !url::Url::parse(&text).is_ok_and(|url| is_base(&url)) {
            self.problems.push("PUBLIC_URL must be where clients reach this server: `https://api.example.com`.".into());
        }
        text
    }

    pub(super) fn storage(&mut self) -> StoreSettings {
        const NAMES: [&str; 4] = ["STORAGE_URL", "STORAGE_KEY", "STORAGE_SECRET", "STORAGE_BUCKET"];
        let values = NAMES.map(|name| self.get(name));
        let is_bad = |url: &String| !url::Url::parse(url).is_ok_and(|url| is_endpoint(&url));
        if values[0].as_ref().is_some_and(is_bad) {
            self.problems.push(
                "STORAGE_URL must be the URL of an S3 endpoint: `https://…`, or `http://…` on this machine only."
                    .into(),
            );
        }
        let missing: Vec<_> =
            NAMES.iter().zip(&values).filter(|(_, value)| value.is_none()).map(|(name, _)| name).collect();
        if !missing.is_empty() && missing.len() < NAMES.len() {
            let problem = |name| format!("{name} is missing: S3 needs {}. Set all or none.", NAMES.join(", "));
            self.problems.extend(missing.into_iter().map(problem));
        }
        if let [Some(url), Some(key), Some(secret), Some(name)] = values {
            let region = self.get("STORAGE_REGION").unwrap_or_else(|| "us-east-1".into());
            return StoreSettings::S3(Bucket { url, key: key.into(), secret: secret.into(), name, region });
        }
        StoreSettings::Local(self.get("FILES_DIR").unwrap_or_else(|| "files".into()).into())
    }

    pub(super) fn scanner(&mut self) -> Option<Scanner> {
        let text = self.get("CLAMD_URL")?;
        if let Some(problem) = scanner_problem(&text) {
            self.problems.push(problem.into());
        }
        Scanner::parse(&text)
    }
}

/// Documents travel there: only this machine is reached without TLS.
fn is_endpoint(url: &url::Url) -> bool {
    match url.scheme() {
        "https" => url.has_host(),
        "http" => matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::config;

    const S3: [(&str, &str); 4] = [
        ("STORAGE_URL", "https://abc.storage.supabase.co/storage/v1/s3"),
        ("STORAGE_KEY", "key"),
        ("STORAGE_SECRET", "hunter2"),
        ("STORAGE_BUCKET", "stm"),
    ];

    #[test]
    fn s3_needs_all_its_settings_and_tls() {
        assert!(config(&S3).is_ok());
        for (at, (name, _)) in S3.iter().enumerate() {
            let others: Vec<_> =
                S3.into_iter().enumerate().filter(|(other, _)| *other != at).map(|(_, one)| one).collect();
            let problem = config(&others).unwrap_err().to_string();
            assert!(problem.contains(&format!("{name} is missing")) && !problem.contains("hunter2"), "{problem}");
        }
        for (url, is_good) in [
            ("http://127.0.0.1:9000", true),
            ("http://minio.example.com", false),
            ("http://127.0.0.1.example.com", false),
            ("ftp://127.0.0.1", false),
            ("minio", false),
        ] {
            let settings: Vec<_> = S3.into_iter().skip(1).chain([("STORAGE_URL", url)]).collect();
            assert_eq!(config(&settings).is_ok(), is_good, "{url}");
        }
        let problem = config(&[("PUBLIC_URL", "https://ann:hunter2@api.example.com")]).unwrap_err().to_string();
        assert!(problem.contains("PUBLIC_URL") && !problem.contains("hunter2"), "{problem}");
    }
}
