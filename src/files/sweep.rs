//! The deletion of files that nothing refers to: first the row's state, then its objects, at last the row.

use tokio_util::sync::CancellationToken;

use super::{Store, queries};
use doors::Pooler;

/// Sweeps until nothing is left to do. Every step may be repeated, by any process.
///
/// # Errors
/// Those of the database.
pub(crate) async fn sweep(pooler: &Pooler, store: &Store, stopped: &CancellationToken) -> sqlx::Result<()> {
    while !stopped.is_cancelled() && queries::delete_unfinished(pooler).await? > 0 {}
    while !stopped.is_cancelled() {
        let files = queries::list_to_erase(pooler).await?;
        let mut erased = Vec::with_capacity(files.len());
        for file in &files {
            if stopped.is_cancelled() {
                break;
            }
            match store.delete(&file.key).await {
                Ok(()) => erased.push(file.id),
                Err(error) => {
                    tracing::warn!(%error, "a deleted file is still in the store: trying again later");
                    break;
                }
            }
        }
        queries::set_erased(pooler, &erased).await?;
        if files.is_empty() || erased.len() < files.len() {
            break;
        }
    }
    while !stopped.is_cancelled() && queries::delete_erased(pooler).await? > 0 {}
    Ok(())
}
