//! The life of a provider: from `pending` on, by one table of rules.
//!
//! Invariants: a status changes only by a rule of [`rules`], in one conditional update with its audit row. A ban
//! bars the provider's user, until it is lifted. After the account is closed nothing changes any more.

mod announcements;
mod queries;
mod rules;

use crate::error::{Error, Result};
use crate::outbox::Outbox;
use crate::providers::ban_requests;
use crate::types::UserId;
use doors::{Pooler, Tx};

pub(crate) use queries::{LockedProvider, lock, lock_of_lsm, lock_of_user};
pub(crate) use rules::{Actor, Command};

/// Changes a locked provider's status by a rule: stores it with its audit row, and notifies whom it concerns, also by
/// e-mail. Publish the outbox after the commit.
///
/// # Errors
/// 409 the provider's state does not allow it.
pub(crate) async fn change(
    tx: &mut Tx<Pooler>,
    provider: &LockedProvider,
    command: Command,
    actor: (Actor, UserId),
    reason: Option<&str>,
) -> Result<Outbox> {
    // A separate statement: under READ COMMITTED the one that waited for the row lock still sees all other rows as of
    // before the wait. Bookings take a share lock on the provider before they add a job, uploads an update lock before they
    // add a document.
    let facts = queries::find_facts(tx, provider.id).await?;
    let (actor, user) = actor;
    let to = provider.state(&facts).apply(actor, command)?;
    if !queries::set_status(tx, provider, to, command, user, reason).await? {
        return Err(Error::Conflict(
            "wrong_state",
            "the provider has changed in the meantime: look at it again".into(),
        ));
    }
    let mut outbox = announcements::announce(tx, provider, command, actor, reason).await?;
    let is_approved = match command {
        Command::Ban => true,
        Command::Close => false,
        Command::Approve
        | Command::Reject
        | Command::Activate
        | Command::Deactivate
        | Command::ForceDeactivate
        | Command::Unban
        | Command::HandIn => return Ok(outbox),
    };
    if let Some(request) = ban_requests::decide_waiting(tx, provider.id, is_approved, user).await? {
        outbox.notify(tx, [announcements::decided(provider, request, is_approved)]).await?;
    }
    Ok(outbox)
}
