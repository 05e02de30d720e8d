//! S3 over the HTTP client that the rest of the service uses: rustls, Mozilla's roots, no proxies, no redirects.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use http_body_util::BodyExt as _;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector as Tcp;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use object_store::aws::AmazonS3Builder;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpResponseBody,
    HttpService,
};
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::timeout;
use tower_http::timeout::TimeoutBody;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest until an answer begins, the request's body included.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// The longest pause within an answer's body.
const PAUSE_TIMEOUT: Duration = Duration::from_secs(15);

/// After this time nothing is tried again.
const RETRY_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_RETRIES: usize = 2;

/// A bucket of an S3 endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    pub url: String,
    pub key: SecretString,
    pub secret: SecretString,
    pub name: String,
    pub region: String,
}

impl Bucket {
    /// Prepares the client. Connects to nothing.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub(super) fn open(&self) -> anyhow::Result<Arc<dyn ObjectStore>> {
        let retry = RetryConfig { max_retries: MAX_RETRIES, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() };
        let bucket = AmazonS3Builder::new()
            .with_http_connector(Service(client()?))
            .with_client_options(ClientOptions::new().with_allow_http(self.url.starts_with("http://")))
            .with_retry(retry)
            .with_endpoint(self.url.trim_end_matches('/'))
            .with_access_key_id(self.key.expose_secret())
            .with_secret_access_key(self.secret.expose_secret())
            .with_bucket_name(&self.name)
            .with_region(&self.region)
            .with_virtual_hosted_style_request(false)
            .build()
            .context("STORAGE_URL")?;
        Ok(Arc::new(bucket))
    }
}

fn client() -> anyhow::Result<Client<HttpsConnector<Tcp>, HttpRequestBody>> {
    let mut tcp = Tcp::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let https = HttpsConnectorBuilder::new()
        .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())?
        // The store refuses http unless the URL begins with it.
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(30))
        .build(https))
}

#[derive(Debug, Clone)]
struct Service(Client<HttpsConnector<Tcp>, HttpRequestBody>);

impl HttpConnector for Service {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = timeout(ANSWER_TIMEOUT, self.0.request(request)).await;
        let answer = answer.map_err(|late| HttpError::new(HttpErrorKind::Timeout, late))?.map_err(failure)?;
        Ok(answer.map(|body| {
            let body = TimeoutBody::new(PAUSE_TIMEOUT, body);
            HttpResponseBody::new(body.map_err(|error| HttpError::new_boxed(HttpErrorKind::Interrupted, error)))
        }))
    }
}

/// What has gone wrong, as the store's retries tell it apart.
fn failure(error: legacy::Error) -> HttpError {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<hyper::Error>());
    let kind = if error.is_connect() {
        HttpErrorKind::Connect
    } else if cause.is_some_and(|cause| cause.is_closed() || cause.is_incomplete_message()) {
        HttpErrorKind::Request
    } else {
        HttpErrorKind::Interrupted
    };
    HttpError::new(kind, error)
}
