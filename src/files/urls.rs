//! The URLs of files: `/files/{id}/{grant}/{signature}/{name}`. The signature covers all the others, so a URL opens for
//! whom it was made, until it expires, and cannot be changed.

use std::fmt;
use std::sync::Arc;

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, Duration, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use uuid::Uuid;

use super::names;
use super::types::FileId;
use crate::types::{ChatId, JobId, UserId};

/// How long the URLs of chats and jobs live at least. Those made in the same hour are the same: browsers keep the file.
const LASTING: Duration = Duration::hours(12);

/// How long the URL of a document lives.
const BRIEF: Duration = Duration::minutes(10);

/// How many bytes of the signature a URL carries.
const SIGNATURE_BYTES: usize = 16;

/// For whom a URL is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Everybody, for good.
    Everybody,
    /// Who has uploaded it, and has not used it yet.
    Uploader(UserId),
    /// The members of a chat.
    Chat(ChatId),
    /// The parties of a job.
    Job(JobId),
    /// Who may read a document.
    Document,
}

/// A file of ours that a client names by its URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnFile {
    pub id: FileId,
    /// The reference as it is stored, without host, grant and signature.
    pub reference: String,
}

/// Which of a file's objects a URL is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Display,
    Thumbnail,
}

/// What a URL permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grant {
    pub version: Version,
    /// `None`: never.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Makes and checks URLs. Cheap to clone.
#[derive(Clone)]
pub struct FileUrls(Arc<Inner>);

struct Inner {
    key: Hmac<Sha256>,
    /// `PUBLIC_URL`, without a slash at its end.
    base: String,
}

impl fmt::Debug for FileUrls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileUrls")
    }
}

impl FileUrls {
    /// Derives the key from `JWT_SECRET`.
    ///
    /// # Errors
    /// None: HMAC takes keys of every length.
    pub fn new(jwt_secret: &SecretString, public_url: &str) -> anyhow::Result<Self> {
        let mut derived = Hmac::<Sha256>::new_from_slice(jwt_secret.expose_secret().as_bytes()).context("a key")?;
        derived.update(b"stm file urls");
        let key = Hmac::new_from_slice(&derived.finalize().into_bytes()).context("a key")?;
        Ok(Self(Arc::new(Inner { key, base: public_url.trim_end_matches('/').to_owned() })))
    }

    /// The URL of a file for an audience.
    pub(crate) fn url(&self, id: FileId, name: &str, audience: Audience) -> String {
        self.sign(id.0, &names::encode(name), audience, Version::Display, Utc::now())
    }

    /// The URL of a public file that may be missing.
    pub(crate) fn public(&self, id: Option<FileId>, name: Option<String>) -> Option<String> {
        id.zip(name).map(|(id, name)| self.url(id, &name, Audience::Everybody))
    }

    /// The URL of a picture's small version.
    pub(crate) fn thumbnail(&self, id: FileId, name: &str, audience: Audience) -> String {
        self.sign(id.0, &names::encode(name), audience, Version::Thumbnail, Utc::now())
    }

    /// The URL behind a reference as it is stored; any other text stays as it is.
    pub(crate) fn of_reference(&self, reference: String, audience: Audience) -> String {
        match parse_reference(&reference) {
            Some((id, name)) => self.sign(id, name, audience, Version::Display, Utc::now()),
            None => reference,
        }
    }

    /// The URLs behind references.
    pub(crate) fn of_references(&self, references: Vec<String>, audience: Audience) -> Vec<String> {
        references.into_iter().map(|reference| self.of_reference(reference, audience)).collect()
    }

    /// The file that a client names by a URL that was made for one of these audiences and has not expired.
    ///
    /// Returns `None` for URLs of others, and `Some(Err)` for one of ours that does not hold.
    pub(crate) fn own_file(&self, url: &str, audiences: &[Audience]) -> Option<Result<OwnFile, ()>> {
        let path = url.strip_prefix(&*self.0.base)?.strip_prefix("/files/")?;
        Some(self.verify_own(path, audiences).ok_or(()))
    }

    fn verify_own(&self, path: &str, audiences: &[Audience]) -> Option<OwnFile> {
        let mut segments = path.split('/');
        let (id, grant, signature, name) = (segments.next()?, segments.next()?, segments.next()?, segments.next()?);
        let id: Uuid = segments.next().is_none().then(|| id.parse().ok())??;
        let found = self.verify(id, grant, signature, name)?;
        let is_for = audiences.iter().any(|audience| grant.split('.').next() == Some(&*audience.word()));
        let is_live = found.expires_at.is_none_or(|at| at > Utc::now());
        (is_for && is_live && found.version == Version::Display)
            .then(|| OwnFile { id: FileId(id), reference: format!("/files/{id}/{name}") })
    }

    /// What the parts of a URL permit, if the signature is ours. `name` as it stands in the URL.
    pub(super) fn verify(&self, id: Uuid, grant: &str, signature: &str, name: &str) -> Option<Grant> {
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok().filter(|bytes| bytes.len() == SIGNATURE_BYTES)?;
        self.mac(id, grant, name).verify_truncated_left(&signature).ok()?;
        let mut words = grant.split('.').skip(1);
        let (expires, version) = (words.next()?, words.next());
        let expires_at = match expires {
            "0" => None,
            seconds => Some(DateTime::from_timestamp(seconds.parse().ok()?, 0)?),
        };
        let version = if version.is_some() { Version::Thumbnail } else { Version::Display };
        Some(Grant { version, expires_at })
    }

    fn sign(&self, id: Uuid, name: &str, audience: Audience, version: Version, now: DateTime<Utc>) -> String {
        let mut grant = format!("{}.{}", audience.word(), audience.expires(now));
        if version == Version::Thumbnail {
            grant.push_str(".small");
        }
        let mac = self.mac(id, &grant, name).finalize().into_bytes();
        let signature = BASE64_URL_SAFE_NO_PAD.encode(&mac[..SIGNATURE_BYTES]);
        format!("{}/files/{id}/{grant}/{signature}/{name}", self.0.base)
    }

    fn mac(&self, id: Uuid, grant: &str, name: &str) -> Hmac<Sha256> {
        let mut mac = self.0.key.clone();
        mac.update(id.as_bytes());
        mac.update(grant.as_bytes());
        mac.update(b"/");
        mac.update(name.as_bytes());
        mac
    }
}

impl Audience {
    fn word(self) -> String {
        match self {
            Self::Everybody => "p".into(),
            Self::Uploader(user) => format!("u{user}"),
            Self::Chat(chat) => format!("c{chat}"),
            Self::Job(job) => format!("j{job}"),
            Self::Document => "d".into(),
        }
    }

    /// When a URL that is made now expires, in seconds since 1970; 0: never.
    fn expires(self, now: DateTime<Utc>) -> i64 {
        match self {
            Self::Everybody => 0,
            Self::Uploader(_) | Self::Chat(_) | Self::Job(_) => ((now + LASTING).timestamp() / 3600 + 1) * 3600,
            Self::Document => (now + BRIEF).timestamp(),
        }
    }
}

/// The reference of a file, as it is stored where a URL may stand.
pub(super) fn parse_reference(text: &str) -> Option<(Uuid, &str)> {
    let (id, name) = text.strip_prefix("/files/")?.split_once('/')?;
    let id = id.parse().ok()?;
    (!name.is_empty() && !name.contains('/')).then_some((id, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls() -> FileUrls {
        FileUrls::new(&SecretString::from("0123456789abcdef0123456789abcdef"), "https://api.example/").unwrap()
    }

    fn parts(url: &str) -> Vec<&str> {
        url.strip_prefix("https://api.example/files/").unwrap().split('/').collect()
    }

    const CHAT: Audience = Audience::Chat(ChatId(Uuid::from_u128(7)));

    #[test]
    fn a_url_cannot_be_changed() {
        let (urls, id) = (urls(), FileId::random());
        let url = urls.url(id, "a b.png", CHAT);
        assert!(url.ends_with("/a%20b.png"), "{url}");
        let parts = parts(&url);
        let [grant, signature, name] = [parts[1], parts[2], parts[3]];
        assert!(urls.verify(id.0, grant, signature, name).is_some());
        let later = grant.replace('1', "2");
        assert_ne!(later, grant);
        assert!(urls.verify(id.0, &later, signature, name).is_none());
        assert!(urls.verify(id.0, &format!("{grant}.small"), signature, name).is_none());
        assert!(urls.verify(FileId::random().0, grant, signature, name).is_none());
        assert!(urls.verify(id.0, grant, signature, "b.png").is_none());
        assert!(urls.verify(id.0, grant, &signature[..10], name).is_none());
        assert!(urls.verify(id.0, grant, "", name).is_none());
        let other = FileUrls::new(&SecretString::from("another secret of thirty-two bytes"), "").unwrap();
        assert!(other.verify(id.0, grant, signature, name).is_none());
    }

    #[test]
    fn expiry_and_version_are_read() {
        let (urls, id, now) = (urls(), Uuid::new_v4(), Utc::now());
        for (audience, least, most) in [(CHAT, 12 * 3600, 13 * 3600 + 1), (Audience::Document, 590, 601)] {
            let url = urls.sign(id, "a.pdf", audience, Version::Thumbnail, now);
            let parts = parts(&url);
            let grant = urls.verify(id, parts[1], parts[2], parts[3]).unwrap();
            assert_eq!(grant.version, Version::Thumbnail);
            let left = (grant.expires_at.unwrap() - now).num_seconds();
            assert!((least..=most).contains(&left), "{left}");
        }
        let url = urls.url(FileId(id), "a.png", Audience::Everybody);
        let parts = parts(&url);
        assert_eq!(urls.verify(id, parts[1], parts[2], parts[3]).unwrap().expires_at, None);
    }

    #[test]
    fn a_url_is_taken_from_whom_it_was_made_for() {
        let (urls, id, ann) = (urls(), FileId::random(), Audience::Uploader(UserId(1)));
        let url = urls.url(id, "a b.png", ann);
        let own = urls.own_file(&url, &[ann, CHAT]).unwrap().unwrap();
        assert_eq!(own, OwnFile { id, reference: format!("/files/{}/a%20b.png", id.0) });
        assert_eq!(urls.own_file(&url, &[Audience::Uploader(UserId(12)), CHAT]), Some(Err(())));
        assert_eq!(urls.own_file(&urls.url(id, "a", CHAT), &[ann, Audience::Chat(ChatId(Uuid::nil()))]), Some(Err(())));
        assert_eq!(urls.own_file("https://api.example/files/x", &[ann]), Some(Err(())));
        assert_eq!(urls.own_file("https://elsewhere.example/files/x", &[ann]), None);
        let past = urls.sign(id.0, "a", ann, Version::Display, Utc::now() - Duration::hours(14));
        assert_eq!(urls.own_file(&past, &[ann]), Some(Err(())));
    }

    #[test]
    fn references_become_urls_and_others_stay() {
        let urls = urls();
        let id = Uuid::new_v4();
        assert!(urls.of_reference(format!("/files/{id}/a.png"), CHAT).starts_with("https://api.example/files/"));
        for other in ["https://cdn.example/a.png", "/files/x/a.png", "/files/", "hello"] {
            assert_eq!(urls.of_reference(other.into(), CHAT), other);
        }
    }
}
