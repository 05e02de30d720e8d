//! The object store: a directory of this machine, or any S3.

use std::io::SeekFrom;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::body::Bytes;
use futures_util::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetOptions, GetResult, GetResultPayload, ObjectStore, ObjectStoreExt as _};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::sync::Semaphore;
use tokio_util::io::ReaderStream;

use super::received::Checked;
use super::s3::Bucket;

/// How many files travel to the store at once: each is in memory in the meantime.
const MAX_PUTS: usize = 4;

/// The longest an object may take to the store, all attempts included.
const PUT_TIMEOUT: Duration = Duration::from_secs(60);

/// How much of a local file is read at once.
const READ_BYTES: usize = 128 * 1024;

/// The objects that a file may have.
const OBJECTS: [&str; 2] = ["display", "thumbnail"];

/// Where files are stored.
#[derive(Debug, Clone)]
pub(crate) enum StoreSettings {
    /// A directory.
    Local(PathBuf),
    S3(Bucket),
}

/// The object store. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    backend: Arc<dyn ObjectStore>,
    /// The directory, if it is one.
    directory: Option<PathBuf>,
    puts: Arc<Semaphore>,
}

/// An object that is being read.
pub(super) struct Reading {
    /// The size of the whole object.
    pub size: u64,
    /// What is read of it.
    pub range: Range<u64>,
    pub stream: BoxStream<'static, std::io::Result<Bytes>>,
}

/// The reason why an object is not read.
pub(super) enum ReadError {
    Missing,
    Store(anyhow::Error),
}

impl Store {
    /// Opens the store. S3 is not asked for anything.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub(crate) fn open(settings: &StoreSettings) -> anyhow::Result<Self> {
        let (backend, directory): (Arc<dyn ObjectStore>, _) = match settings {
            StoreSettings::Local(directory) => {
                std::fs::create_dir_all(directory).context("FILES_DIR: the directory cannot be made")?;
                let directory = directory.canonicalize().context("FILES_DIR: the directory cannot be read")?;
                let backend = LocalFileSystem::new_with_prefix(&directory).context("FILES_DIR")?;
                (Arc::new(backend), Some(directory))
            }
            StoreSettings::S3(bucket) => (bucket.open()?, None),
        };
        Ok(Self { backend, directory, puts: Arc::new(Semaphore::new(MAX_PUTS)) })
    }

    /// Stores a file under a key that nothing is stored under.
    pub(super) async fn put(&self, key: &str, file: Checked) -> anyhow::Result<()> {
        let _turn = self.puts.acquire().await?;
        for (object, bytes) in file.content.into_objects().await? {
            let path = Path::from(format!("{key}/{object}"));
            let put = self.backend.put(&path, bytes.into());
            tokio::time::timeout(PUT_TIMEOUT, put).await.context("the store takes too long")??;
        }
        Ok(())
    }

    pub(super) async fn get(&self, key: &str, object: &str, options: GetOptions) -> Result<Reading, ReadError> {
        let path = Path::from(format!("{key}/{object}"));
        match self.backend.get_opts(&path, options).await {
            Ok(GetResult { payload: GetResultPayload::File(file, _), meta, range, .. }) => {
                let stream = read_file(file, &range).await.map_err(|error| ReadError::Store(error.into()))?;
                Ok(Reading { size: meta.size, range, stream })
            }
            Ok(found) => {
                let (size, range) = (found.meta.size, found.range.clone());
                Ok(Reading { size, range, stream: found.into_stream().err_into().boxed() })
            }
            Err(object_store::Error::NotFound { .. }) => Err(ReadError::Missing),
            Err(error) => Err(ReadError::Store(error.into())),
        }
    }

    /// Deletes all objects of a file, if there are any, and what an interrupted upload has left of them.
    pub(super) async fn delete(&self, key: &str) -> anyhow::Result<()> {
        if let Some(directory) = &self.directory {
            return match tokio::fs::remove_dir_all(directory.join(key)).await {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
                removed => removed.context("a stored file"),
            };
        }
        for object in OBJECTS {
            match self.backend.delete(&Path::from(format!("{key}/{object}"))).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Reads a range of a file: in larger pieces than the store's own, each of which costs a thread's turn.
async fn read_file(
    file: std::fs::File,
    range: &Range<u64>,
) -> std::io::Result<BoxStream<'static, std::io::Result<Bytes>>> {
    let mut file = tokio::fs::File::from_std(file);
    file.seek(SeekFrom::Start(range.start)).await?;
    let part = file.take(range.end - range.start);
    Ok(ReaderStream::with_capacity(part, READ_BYTES).boxed())
}
