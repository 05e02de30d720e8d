//! Supabase Auth: access tokens of one project, and whose accounts they open.
//!
//! Invariants: a key is used with its own algorithm alone. An account belongs to a Supabase user by `auth_uid`, never by an
//! e-mail address. Nothing that users write themselves (`user_metadata`) decides on anything but their name.

mod claims;
mod client;
mod keys;
mod people;
pub(crate) mod queries;

use std::fmt;
use std::sync::Arc;

use jsonwebtoken::DecodingKey;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;

use crate::config::SupabaseSettings;
use crate::supervision::Tasks;
use client::Client;
use keys::Keys;

pub(crate) use claims::Person;
pub(crate) use people::SignInError;

/// The maximum length of a token, in bytes: names and pictures travel in it.
const MAX_BYTES: usize = 8192;

/// How many users Supabase is asked for at a time: every request of somebody whose e-mail address is taken asks again.
const MAX_ASKED: usize = 8;

/// Supabase Auth, if a project is configured. Cheap to clone.
#[derive(Clone, Default)]
pub struct Supabase(Option<Arc<Project>>);

/// One project of Supabase.
pub(crate) struct Project {
    issuer: String,
    keys: Arc<Keys>,
    legacy_secret: Option<DecodingKey>,
    client: Client,
    asking: Semaphore,
}

impl fmt::Debug for Supabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Supabase").field(&self.0.as_ref().map(|project| &project.issuer)).finish()
    }
}

impl Supabase {
    /// Prepares a project. Nothing is fetched yet.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(settings: Option<&SupabaseSettings>) -> anyhow::Result<Self> {
        let Some(settings) = settings else { return Ok(Self(None)) };
        let issuer = format!("{}/auth/v1", settings.url);
        let client = Client::new(&issuer, settings.publishable_key.as_deref())?;
        let secret = |secret: &SecretString| DecodingKey::from_secret(secret.expose_secret().as_bytes());
        Ok(Self(Some(Arc::new(Project {
            issuer,
            keys: Arc::new(Keys::new(client.clone())),
            legacy_secret: settings.jwt_secret.as_ref().map(secret),
            client,
            asking: Semaphore::new(MAX_ASKED),
        }))))
    }

    /// Starts the task that keeps the project's keys fresh.
    pub fn start(&self, tasks: &Tasks) {
        let Some(project) = &self.0 else { return };
        let (keys, stopping) = (project.keys.clone(), tasks.stopping().clone());
        tasks.start("keys of Supabase Auth", move |task| keys.clone().keep_fresh(stopping.clone(), task));
    }

    /// The project that a token says it is from; its signature is not checked yet.
    pub(crate) fn issuer_of(&self, token: &str) -> Option<&Project> {
        self.0.as_deref().filter(|project| claims::names_issuer(token, &project.issuer))
    }
}
