//! E-mail: written into `stm.emails` in the transaction of its cause, and sent by the worker after the commit.
//!
//! Invariants: nothing is sent that is not committed. An e-mail is claimed by one process at a time, under a lease, and is
//! sent once; only a crash between the mail server's 250 and the update can repeat it, with the same Message-ID, by which
//! receivers drop the second copy. What was sent keeps neither text nor address. No text, address or answer of a mail
//! server is logged, apart from a development machine without `SMTP_URL`.

mod letters;
mod queries;
mod sender;

use chrono::{DateTime, Utc};

use crate::error::Result;
use crate::types::UserId;
use doors::{Door, Tx};

pub(crate) use letters::{CodePurpose, Letter};
pub(crate) use queries::delete_ended;
pub(crate) use sender::Sender;

/// Queues the same e-mail for each of these users.
///
/// # Errors
/// As [`queue`].
pub(crate) async fn queue_all<D: Door>(tx: &mut Tx<D>, users: &[UserId], letter: &Letter) -> Result<()> {
    let content = letter.render()?;
    queries::insert_for_all(tx, users, &content).await?;
    Ok(())
}

/// Queues an e-mail; the worker sends it after the commit. After `expires_at` it is of no use, and is dropped.
///
/// # Errors
/// Those of the database; 500 a template fails.
pub(crate) async fn queue<D: Door>(
    tx: &mut Tx<D>,
    user: UserId,
    address: &str,
    letter: &Letter,
    expires_at: Option<DateTime<Utc>>,
) -> Result<()> {
    let content = letter.render()?;
    queries::insert(tx, user, address, &content, expires_at).await?;
    Ok(())
}
