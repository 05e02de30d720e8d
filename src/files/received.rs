//! A file that was received: in a temporary file without a name, until it is checked.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::sync::Arc;

use anyhow::Context as _;
use axum::body::Bytes;
use tokio::sync::Semaphore;

use super::types::{Kind, Purpose};
use super::{names, pictures, sniff};
use crate::error::{Result, invalid};

/// A file as it was received.
#[derive(Debug)]
pub(super) struct Part {
    /// How errors name it: `images[2]`.
    pub field: String,
    /// Cleaned.
    pub name: String,
    pub file: File,
    pub bytes: u64,
    pub sha256: [u8; 32],
}

/// A file that may be stored.
#[derive(Debug)]
pub(super) struct Checked {
    pub name: String,
    pub kind: Kind,
    pub received_bytes: u64,
    pub sha256: [u8; 32],
    pub content: Content,
}

/// What is stored of a file.
#[derive(Debug)]
pub(super) enum Content {
    Picture(pictures::Picture),
    /// As it was received.
    Same(File, u64),
}

impl Checked {
    /// The size as it is served.
    pub(super) fn len(&self) -> i64 {
        let bytes = match &self.content {
            Content::Picture(picture) => picture.display.len() as u64,
            Content::Same(_, bytes) => *bytes,
        };
        i64::try_from(bytes).unwrap_or(i64::MAX)
    }

    pub(super) fn size(&self) -> Option<(u32, u32)> {
        match &self.content {
            Content::Picture(picture) => Some((picture.width, picture.height)),
            Content::Same(..) => None,
        }
    }
}

impl Content {
    /// The objects to be stored, each with its name.
    pub(super) async fn into_objects(self) -> anyhow::Result<Vec<(&'static str, Bytes)>> {
        Ok(match self {
            Self::Picture(picture) => {
                vec![("display", picture.display.into()), ("thumbnail", picture.thumbnail.into())]
            }
            Self::Same(mut file, bytes) => {
                let read = move || {
                    let mut content = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
                    file.rewind()?;
                    file.read_to_end(&mut content).map(|_| content)
                };
                vec![("display", tokio::task::spawn_blocking(read).await??.into())]
            }
        })
    }
}

/// Checks that a file is what its purpose takes and its name says, and writes a picture anew.
///
/// # Errors
/// 400 names the file and the rule.
pub(super) async fn check(purpose: Purpose, part: Part, decoding: &Arc<Semaphore>) -> Result<Checked> {
    let Part { field, name, mut file, bytes, sha256 } = part;
    let ending = names::ending(&name);
    let (found, file) =
        blocking(move || Ok((sniff::recognise(&mut file, ending.as_deref()).context("a temporary file")?, file)))
            .await?;
    let Some(kind) = found.filter(|kind| purpose.kinds().contains(kind)) else {
        let endings: Vec<_> = purpose.kinds().iter().map(|kind| kind.endings()[0]).collect();
        return Err(invalid(field, &format!("({name}) is not a file that is taken here: {}", endings.join(", "))));
    };
    let Some(agreed) = names::agree(name.clone(), kind) else {
        let rule = format!("({name}) has an ending that is not that of its content: .{}", kind.endings()[0]);
        return Err(invalid(field, &rule));
    };
    let content = if kind.is_picture() {
        let _turn = decoding.acquire().await.context("pictures")?;
        let rewritten = blocking(move || {
            let mut file = file;
            file.rewind().context("a temporary file")?;
            // A decoder that panics has met a picture that is not one.
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| pictures::rewrite(file, kind)));
            Ok(caught.unwrap_or(Err("is damaged or incomplete: save the picture again")))
        });
        match rewritten.await? {
            Ok(picture) => Content::Picture(picture),
            Err(rule) => return Err(invalid(field, &format!("({name}) {rule}"))),
        }
    } else {
        Content::Same(file, bytes)
    };
    Ok(Checked { name: agreed, kind, received_bytes: bytes, sha256, content })
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(anyhow::Error::from)?
}
