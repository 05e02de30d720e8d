//! Files: what people upload, from the first byte to its deletion. Knows no feature.
//!
//! Invariants: nothing that a client says about a file is believed: its type is found in its bytes. A picture is decoded
//! within limits and written anew, so no metadata survives. A request is never held in memory, and no transaction is open
//! while bytes travel. A row exists before its objects do, so whatever a killed process leaves is found by its row.

#[doc(hidden)]
pub mod fuzz;
mod http;
mod names;
mod pictures;
mod queries;
mod received;
mod s3;
mod scan;
mod sniff;
mod store;
mod sweep;
mod types;
mod upload;
mod urls;

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::error::{Error, Result};
use crate::types::UserId;
use doors::Pooler;

pub(crate) use http::routes;
pub(crate) use queries::{attach, delete, delete_of_owner};
pub(crate) use s3::Bucket;
pub(crate) use scan::{Scanner, scanner_problem};
pub(crate) use store::{Store, StoreSettings};
pub(crate) use sweep::sweep;
pub(crate) use types::{FileId, Purpose, Stored};
pub(crate) use upload::{FileForm, FilesForm, ImagesForm, Upload};
pub(crate) use urls::Audience;
pub use urls::FileUrls;

/// The most uploads at once, and of these the most of one user.
const MAX_OPEN_UPLOADS: usize = 200;
const MAX_OPEN_UPLOADS_PER_USER: usize = 50;

/// A file of a request.
enum Sorted {
    /// Its bytes were stored before.
    Stored(Stored),
    New(received::Checked),
}

/// Receives, stores and reads files. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Files {
    pub(crate) store: Store,
    pub(crate) urls: FileUrls,
    scanner: Option<Scanner>,
    /// One picture is decoded at a time: each may take a hundred megabytes.
    decoding: Arc<Semaphore>,
    open: upload::OpenUploads,
}

impl Files {
    pub(crate) fn new(store: Store, urls: FileUrls, scanner: Option<Scanner>) -> Self {
        Self { store, urls, scanner, decoding: Arc::new(Semaphore::new(1)), open: upload::OpenUploads::default() }
    }

    /// Receives the files of a request, checks every one, and stores them. If one is refused, none is kept. The files are
    /// `pending` until something refers to them.
    ///
    /// # Errors
    /// 400 and 413 name the file and the rule. 429 the caller has uploaded too much. 503 the storage cannot be reached.
    pub(crate) async fn receive(
        &self,
        pooler: &Pooler,
        owner: UserId,
        purpose: Purpose,
        upload: Upload,
    ) -> Result<upload::Received> {
        let open = self.open.enter(owner)?;
        queries::check_quota(pooler, owner).await?;
        let (parts, fields) = upload.read(purpose).await?;
        let mut checked = Vec::with_capacity(parts.len());
        for part in parts {
            checked.push(match self.find_same(pooler, owner, purpose, &part).await? {
                Some(stored) => Sorted::Stored(stored),
                None => Sorted::New(self.check(purpose, part, &open).await?),
            });
        }
        let mut files = Vec::with_capacity(checked.len());
        for file in checked {
            files.push(match file {
                Sorted::Stored(stored) => stored,
                Sorted::New(file) => self.keep(pooler, owner, purpose, file).await?,
            });
        }
        Ok(upload::Received { files, fields })
    }

    /// Finds the file that its owner has stored with the same bytes, which were checked then.
    async fn find_same(
        &self,
        pooler: &Pooler,
        owner: UserId,
        purpose: Purpose,
        part: &received::Part,
    ) -> Result<Option<Stored>> {
        let Some(same) = queries::find_same(pooler, owner, purpose, &part.sha256).await? else { return Ok(None) };
        let kind = types::Kind::of_content_type(&same.content_type);
        let name = kind.and_then(|kind| names::agree(part.name.clone(), kind));
        // Under a name that lies it is looked at again, and refused.
        Ok(name.map(|name| Stored { id: same.id, name, bytes: same.bytes }))
    }

    /// Checks a file: its type, what is in it, and whether it is malware. A user's pictures wait for each other first, so
    /// that one user's many hold up nobody else for longer than one.
    async fn check(
        &self,
        purpose: Purpose,
        part: received::Part,
        open: &upload::OpenUpload,
    ) -> Result<received::Checked> {
        if let Some(scanner) = &self.scanner {
            scanner.check(&part).await?;
        }
        let _turn = open.turn().await?;
        received::check(purpose, part, &self.decoding).await
    }

    /// Stores a file.
    async fn keep(&self, pooler: &Pooler, owner: UserId, purpose: Purpose, file: received::Checked) -> Result<Stored> {
        let name = file.name.clone();
        let id = FileId::random();
        queries::insert(pooler, id, owner, purpose, &file).await?;
        let stored = Stored { id, name, bytes: file.len() };
        if let Err(error) = self.store.put(&id.key(), file).await {
            queries::abandon(pooler, id).await?;
            return Err(Error::Storage(error));
        }
        let Some(first) = queries::set_pending(pooler, id).await? else {
            // The sweep has been here in the meantime, and will not come again.
            self.store.delete(&id.key()).await.map_err(Error::Storage)?;
            return Err(Error::Storage(anyhow::anyhow!("the upload took longer than the sweep allows")));
        };
        Ok(Stored { id: first, ..stored })
    }
}
