//! Requests to Supabase Auth, with limits on time and size. Redirects are not followed.

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, Request, Uri, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// How long a request may take, from the connection to the last byte.
const TIMEOUT: Duration = Duration::from_secs(4);

/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// A client of one project. Cheap to clone.
#[derive(Clone)]
pub(super) struct Client {
    http: legacy::Client<HttpsConnector<HttpConnector>, Body>,
    base: String,
    api_key: Option<HeaderValue>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Client {
    pub(super) fn new(base: &str, api_key: Option<&str>) -> anyhow::Result<Self> {
        let tls = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
            .context("TLS")?;
        // Only an address of this machine may have `http`, which the configuration has checked.
        let schemes = if base.starts_with("http:") { tls.https_or_http() } else { tls.https_only() };
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(schemes.enable_http1().build());
        let api_key = api_key.map(|key| HeaderValue::from_str(key).context("the publishable key")).transpose()?;
        Ok(Self { http, base: base.to_owned(), api_key })
    }

    /// The JSON at a path of the project.
    pub(super) async fn get(&self, path: &str, token: Option<&str>) -> anyhow::Result<Vec<u8>> {
        tokio::time::timeout(TIMEOUT, self.fetch(path, token)).await.context("it does not answer in time")?
    }

    async fn fetch(&self, path: &str, token: Option<&str>) -> anyhow::Result<Vec<u8>> {
        let uri: Uri = format!("{}{path}", self.base).parse().context("a URL")?;
        let mut request = Request::get(uri).header(header::ACCEPT, "application/json");
        if let Some(key) = &self.api_key {
            request = request.header("apikey", key);
        }
        if let Some(token) = token {
            let mut bearer = HeaderValue::from_str(&format!("Bearer {token}")).context("a token")?;
            bearer.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, bearer);
        }
        let response = self.http.request(request.body(Body::empty())?).await.context("it cannot be reached")?;
        ensure!(response.status().is_success(), "it answers with status {}", response.status().as_u16());
        let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = content_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
        ensure!(
            ["application/json", "application/jwk-set+json"].iter().any(|json| media_type.eq_ignore_ascii_case(json)),
            "its answer is not JSON"
        );
        let body = to_bytes(Body::new(response.into_body()), MAX_ANSWER).await;
        Ok(body.context("its answer breaks off, or is longer than 64 KB")?.to_vec())
    }
}
