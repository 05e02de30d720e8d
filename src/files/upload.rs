//! Uploads: multipart/form-data as a stream into temporary files, with limits on everything.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use anyhow::Context as _;
use axum::body::{BodyDataStream, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::header;
use futures_util::{Stream, StreamExt as _};
use multer::{Field, Multipart};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};
use utoipa::ToSchema;

use super::received::Part;
use super::types::{Purpose, Stored};
use super::{MAX_OPEN_UPLOADS, MAX_OPEN_UPLOADS_PER_USER, names};
use crate::error::{Error, Result, invalid, too_many};
use crate::types::UserId;

/// The longest text field, in bytes.
const MAX_TEXT_BYTES: usize = 16 * 1024;

/// The most parts of a form, text fields included.
const MAX_PARTS: usize = 32;

/// What a form may have besides its files.
const MAX_FRAME_BYTES: u64 = 256 * 1024;

/// How much may have arrived without being a part's content: the heads of a part, and what is on its way.
const MAX_WAITING_BYTES: usize = 512 * 1024;

/// A form of one file.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only documents the form")]
pub(crate) struct FileForm {
    #[schema(value_type = String, format = Binary)]
    file: (),
}

/// A form of several files.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only documents the form")]
pub(crate) struct FilesForm {
    #[schema(value_type = Vec<String>, format = Binary)]
    files: (),
}

/// A form of several pictures.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only documents the form")]
pub(crate) struct ImagesForm {
    #[schema(value_type = Vec<String>, format = Binary)]
    images: (),
}

/// What came with an upload.
#[derive(Debug)]
pub(crate) struct Received {
    /// In the order of the request.
    pub files: Vec<Stored>,
    /// The text fields.
    pub fields: HashMap<String, String>,
}

impl Received {
    /// The only file of a form that takes one.
    pub(crate) fn one(self) -> Result<(Stored, HashMap<String, String>)> {
        let Self { files, fields } = self;
        let file = files.into_iter().next().ok_or_else(|| invalid("file", "must be given"))?;
        Ok((file, fields))
    }
}

/// A multipart/form-data body that nobody has read yet.
pub(crate) struct Upload {
    multipart: Multipart<'static>,
    waiting: Arc<AtomicUsize>,
    limit: Arc<Mutex<u64>>,
}

impl<S: Send + Sync> FromRequest<S> for Upload {
    type Rejection = Error;

    async fn from_request(request: Request, _state: &S) -> Result<Self> {
        let media = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let boundary = media.and_then(|media| multer::parse_boundary(media).ok()).ok_or(Error::UnsupportedMedia(
            "the body must be a form with files, sent as content-type: multipart/form-data with its boundary",
        ))?;
        let (waiting, limit) = (Arc::default(), Arc::default());
        let body = Measured {
            body: request.into_body().into_data_stream(),
            waiting: Arc::clone(&waiting),
            limit: Arc::clone(&limit),
            total: 0,
            pauses: false,
        };
        Ok(Self { multipart: Multipart::new(body, boundary), waiting, limit })
    }
}

impl Upload {
    /// Reads the whole form: files into temporary files, texts into memory.
    pub(super) async fn read(mut self, purpose: Purpose) -> Result<(Vec<Part>, HashMap<String, String>)> {
        let max_files = purpose.max_files();
        let files_bytes = purpose.max_bytes() * max_files as u64;
        *self.limit.lock().unwrap_or_else(PoisonError::into_inner) = files_bytes + MAX_FRAME_BYTES;
        let (mut parts, mut fields, mut seen) = (Vec::new(), HashMap::new(), 0);
        while let Some(mut field) = self.multipart.next_field().await.map_err(|error| broken(&error))? {
            seen += 1;
            if seen > MAX_PARTS {
                return Err(Error::Malformed(format!("the form must have at most {MAX_PARTS} fields")));
            }
            self.waiting.store(0, Ordering::Relaxed);
            let name = field.name().unwrap_or_default().to_owned();
            if name == purpose.field() {
                if parts.len() == max_files {
                    return Err(invalid(name, &format!("must be at most {max_files} in one request")));
                }
                parts.push(self.receive(&mut field, purpose, parts.len()).await?);
            } else if field.file_name().is_none() {
                fields.insert(name, self.text(&mut field).await?);
            } else {
                return Err(invalid(name, &format!("is not taken: files are sent as `{}`", purpose.field())));
            }
        }
        if parts.is_empty() {
            return Err(invalid(purpose.field(), "must be given: choose a file"));
        }
        Ok((parts, fields))
    }

    async fn receive(&self, field: &mut Field<'static>, purpose: Purpose, index: usize) -> Result<Part> {
        let label =
            if purpose.max_files() == 1 { purpose.field().into() } else { format!("{}[{index}]", purpose.field()) };
        let name = names::clean(field.file_name().unwrap_or_default());
        let file = tokio::task::spawn_blocking(tempfile::tempfile).await.context("a temporary file")?;
        let mut file = tokio::fs::File::from_std(file.context("a temporary file")?);
        let (mut bytes, mut digest) = (0, Sha256::new());
        while let Some(chunk) = self.chunk(field).await? {
            bytes += chunk.len() as u64;
            if bytes > purpose.max_bytes() {
                let max = purpose.max_bytes() / (1024 * 1024);
                return Err(Error::TooLarge(format!("{label} ({name}) is too large: at most {max} MB are taken")));
            }
            digest.update(&chunk);
            file.write_all(&chunk).await.context("a temporary file")?;
        }
        if bytes == 0 {
            return Err(invalid(label, &format!("({name}) is empty")));
        }
        file.flush().await.context("a temporary file")?;
        Ok(Part { field: label, name, file: file.into_std().await, bytes, sha256: digest.finalize().into() })
    }

    async fn text(&self, field: &mut Field<'static>) -> Result<String> {
        let mut text = Vec::new();
        while let Some(chunk) = self.chunk(field).await? {
            if text.len() + chunk.len() > MAX_TEXT_BYTES {
                return Err(Error::TooLarge(format!("a text of the form is longer than {MAX_TEXT_BYTES} bytes")));
            }
            text.extend_from_slice(&chunk);
        }
        String::from_utf8(text).map_err(|_| Error::Malformed("a text of the form is not UTF-8".into()))
    }

    async fn chunk(&self, field: &mut Field<'static>) -> Result<Option<Bytes>> {
        let chunk = field.chunk().await.map_err(|error| broken(&error))?;
        self.waiting.store(0, Ordering::Relaxed);
        Ok(chunk)
    }
}

fn broken(error: &multer::Error) -> Error {
    if let multer::Error::StreamReadFailed(cause) = error
        && let Some(limit) = cause.downcast_ref::<Limit>()
    {
        return Error::TooLarge(limit.to_string());
    }
    Error::Malformed("the form cannot be read: it is incomplete, or not multipart/form-data".into())
}

/// A limit of a form that was reached.
#[derive(Debug, thiserror::Error)]
enum Limit {
    #[error("the files are too large together")]
    Total,
    #[error("the head of a part of the form is too long")]
    Head,
}

/// A body that counts. It pauses after every chunk: the parser takes as much as it can get, and would hold it in memory.
struct Measured {
    body: BodyDataStream,
    /// What has arrived since the last content of a part.
    waiting: Arc<AtomicUsize>,
    limit: Arc<Mutex<u64>>,
    total: u64,
    pauses: bool,
}

impl Stream for Measured {
    type Item = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.pauses) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let chunk = match std::task::ready!(self.body.poll_next_unpin(cx)) {
            Some(Ok(chunk)) => chunk,
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            None => return Poll::Ready(None),
        };
        self.pauses = true;
        self.total += chunk.len() as u64;
        let limit = *self.limit.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = self.waiting.fetch_add(chunk.len(), Ordering::Relaxed) + chunk.len();
        if self.total > limit {
            return Poll::Ready(Some(Err(Limit::Total.into())));
        }
        if waiting > MAX_WAITING_BYTES {
            return Poll::Ready(Some(Err(Limit::Head.into())));
        }
        Poll::Ready(Some(Ok(chunk)))
    }
}

/// The uploads that are going on.
#[derive(Debug, Clone, Default)]
pub(super) struct OpenUploads(Arc<Mutex<HashMap<UserId, Own>>>);

/// The uploads of one user.
#[derive(Debug)]
struct Own {
    count: usize,
    /// One file at a time.
    turn: Arc<Semaphore>,
}

impl Default for Own {
    fn default() -> Self {
        Self { count: 0, turn: Arc::new(Semaphore::new(1)) }
    }
}

/// An upload that is going on, until it is dropped.
#[derive(Debug)]
pub(super) struct OpenUpload {
    all: OpenUploads,
    user: UserId,
    turn: Arc<Semaphore>,
}

impl OpenUpload {
    /// Waits until no other file of the same user is being checked.
    pub(super) async fn turn(&self) -> Result<SemaphorePermit<'_>> {
        Ok(self.turn.acquire().await.context("uploads")?)
    }
}

impl OpenUploads {
    /// # Errors
    /// 429 there are too many already.
    pub(super) fn enter(&self, user: UserId) -> Result<OpenUpload> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.values().map(|own| own.count).sum::<usize>() >= MAX_OPEN_UPLOADS {
            return Err(too_many("uploads at once", 5));
        }
        let own = open.entry(user).or_default();
        if own.count >= MAX_OPEN_UPLOADS_PER_USER {
            return Err(too_many("uploads at once", 5));
        }
        own.count += 1;
        Ok(OpenUpload { all: self.clone(), user, turn: own.turn.clone() })
    }
}

impl Drop for OpenUpload {
    fn drop(&mut self) {
        let mut open = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = open.get_mut(&self.user) {
            own.count -= 1;
            if own.count == 0 {
                open.remove(&self.user);
            }
        }
    }
}
