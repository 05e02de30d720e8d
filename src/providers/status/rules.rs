//! The rules by which a provider's status changes: no I/O.
//!
//! [`RULES`] is the whole state machine: who may do what in which status.

use crate::error::Error;
use crate::providers::ProviderStatus;
use crate::types::text_enum;

/// Who changes a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Actor {
    /// The provider itself.
    Provider,
    /// The provider's LSM.
    Lsm,
    Admin,
}

text_enum! {
    /// What is done with a provider, under the word of its audit row.
    Command {
        Approve = "approve",
        Reject = "reject",
        Activate = "activate",
        Deactivate = "deactivate",
        /// Deactivates despite open jobs, which stay as they are.
        ForceDeactivate = "force_deactivate",
        Ban = "ban",
        Unban = "unban",
        /// The provider closes its account.
        Close = "close",
        /// A rejected provider hands in documents, and waits for the LSM again.
        HandIn = "hand_in",
    }
}

impl Command {
    /// The end of the sentence "you can …".
    const fn in_words(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Activate => "activate",
            Self::Deactivate => "deactivate",
            Self::ForceDeactivate => "deactivate by force",
            Self::Ban => "ban",
            Self::Unban => "unban",
            Self::Close => "close the account",
            Self::HandIn => "hand in documents",
        }
    }
}

impl Command {
    /// The status that the command leads to.
    pub(crate) fn target(self) -> Option<ProviderStatus> {
        RULES.iter().find(|rule| rule.command == self).map(|rule| rule.to)
    }
}

/// A condition besides the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guard {
    None,
    /// No job is new or in progress.
    NoOpenJobs,
    /// There are documents, and all are verified; or none are required.
    DocumentsSuffice,
}

impl Guard {
    /// The code of the refusal.
    const fn code(self) -> &'static str {
        match self {
            Self::None => "wrong_state",
            Self::NoOpenJobs => "open_jobs",
            Self::DocumentsSuffice => "documents_not_verified",
        }
    }
}

/// A row of the state machine.
#[derive(Debug)]
struct Rule {
    command: Command,
    by: &'static [Actor],
    from: &'static [ProviderStatus],
    to: ProviderStatus,
    guard: Guard,
}

const fn rule(
    command: Command,
    by: &'static [Actor],
    from: &'static [ProviderStatus],
    to: ProviderStatus,
    guard: Guard,
) -> Rule {
    Rule { command, by, from, to, guard }
}

/// The state machine.
#[rustfmt::skip]
const RULES: &[Rule] = {
    use ProviderStatus::{Active, Banned, Inactive, Pending, Rejected};
    const ALL: &[Actor] = &[Actor::Provider, Actor::Lsm, Actor::Admin];
    const STAFF: &[Actor] = &[Actor::Lsm, Actor::Admin];
    const LSM: &[Actor] = &[Actor::Lsm];
    const ADMIN: &[Actor] = &[Actor::Admin];
    const SELF: &[Actor] = &[Actor::Provider];
    const OPEN: &[ProviderStatus] = &[Pending, Active, Inactive, Rejected];
    &[
        rule(Command::Approve,         STAFF, &[Pending],          Active,   Guard::DocumentsSuffice),
        rule(Command::Reject,          STAFF, &[Pending],          Rejected, Guard::None),
        rule(Command::Activate,        ALL,   &[Inactive],         Active,   Guard::None),
        rule(Command::Deactivate,      ALL,   &[Active],           Inactive, Guard::NoOpenJobs),
        rule(Command::ForceDeactivate, LSM,   &[Active],           Inactive, Guard::None),
        rule(Command::Ban,             ADMIN, &[Active, Inactive], Banned,   Guard::NoOpenJobs),
        rule(Command::Unban,           ADMIN, &[Banned],           Active,   Guard::None),
        rule(Command::Close,           SELF,  OPEN,                Inactive, Guard::NoOpenJobs),
        rule(Command::HandIn,          SELF,  &[Rejected],         Pending,  Guard::None),
    ]
};

/// What the rules read of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProviderState {
    pub status: ProviderStatus,
    /// Jobs that are new or in progress.
    pub open_jobs: i64,
    /// Whether the documents are good enough for an approval.
    pub documents_suffice: bool,
    /// Whether the account was closed by its user.
    pub is_closed: bool,
}

impl ProviderState {
    /// The status after a command of `actor`.
    ///
    /// # Errors
    /// 409 with the provider's state, and what the actor may do instead.
    pub(super) fn apply(self, actor: Actor, command: Command) -> Result<ProviderStatus, Error> {
        let by_status = self.rules(actor).find(|rule| rule.command == command);
        match by_status {
            Some(rule) if self.meets(rule.guard) => Ok(rule.to),
            Some(rule) => Err(Error::Conflict(rule.guard.code(), self.refusal(actor, command))),
            None => Err(Error::Conflict(Guard::None.code(), self.refusal(actor, command))),
        }
    }

    fn refusal(self, actor: Actor, command: Command) -> String {
        let possible: Vec<_> =
            self.rules(actor).filter(|rule| self.meets(rule.guard)).map(|rule| rule.command.in_words()).collect();
        let possible = if possible.is_empty() { "nothing".to_owned() } else { possible.join(", ") };
        let status = if self.is_closed { "closed" } else { self.status.as_str() };
        let jobs = if self.open_jobs == 0 {
            String::new()
        } else {
            format!(" with {} active jobs (new or in progress)", self.open_jobs)
        };
        let documents =
            if command == Command::Approve && self.status == ProviderStatus::Pending && !self.documents_suffice {
                ", and has no documents or some that are not verified"
            } else {
                ""
            };
        format!(
            "you cannot {}: the provider is {status}{jobs}{documents}. Possible for you now: {possible}",
            command.in_words()
        )
    }

    /// The rules for this status and actor.
    fn rules(self, actor: Actor) -> impl Iterator<Item = &'static Rule> {
        let fits = move |rule: &&Rule| !self.is_closed && rule.by.contains(&actor) && rule.from.contains(&self.status);
        RULES.iter().filter(fits)
    }

    const fn meets(self, guard: Guard) -> bool {
        match guard {
            Guard::None => true,
            Guard::NoOpenJobs => self.open_jobs == 0,
            Guard::DocumentsSuffice => self.documents_suffice,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Command::{Activate, Approve, Ban, Close, Deactivate, ForceDeactivate, HandIn, Reject, Unban};
    use ProviderStatus::{Active, Banned, Inactive, Pending, Rejected};

    const COMMANDS: [Command; 9] = [Approve, Reject, Activate, Deactivate, ForceDeactivate, Ban, Unban, Close, HandIn];

    const fn state(status: ProviderStatus) -> ProviderState {
        ProviderState { status, open_jobs: 0, documents_suffice: true, is_closed: false }
    }

    fn possible(state: ProviderState, actor: Actor) -> Vec<(Command, ProviderStatus)> {
        COMMANDS.into_iter().filter_map(|command| Some((command, state.apply(actor, command).ok()?))).collect()
    }

    /// Every status × actor × command: what is allowed is exactly what this list says.
    #[test]
    fn the_whole_table() {
        let decide = [(Approve, Active), (Reject, Rejected)];
        let (leave, force, close) = ((Deactivate, Inactive), (ForceDeactivate, Inactive), (Close, Inactive));
        for (status, provider, lsm, admin) in [
            (Pending, vec![close], decide.to_vec(), decide.to_vec()),
            (Active, vec![leave, close], vec![leave, force], vec![leave, (Ban, Banned)]),
            (
                Inactive,
                vec![(Activate, Active), close],
                vec![(Activate, Active)],
                vec![(Activate, Active), (Ban, Banned)],
            ),
            (Rejected, vec![close, (HandIn, Pending)], vec![], vec![]),
            (Banned, vec![], vec![], vec![(Unban, Active)]),
        ] {
            for (actor, expected) in [(Actor::Provider, provider), (Actor::Lsm, lsm), (Actor::Admin, admin)] {
                assert_eq!(possible(state(status), actor), expected, "{status:?} {actor:?}");
                assert_eq!(possible(ProviderState { is_closed: true, ..state(status) }, actor), [], "closed");
            }
        }
    }

    #[test]
    fn open_jobs_keep_a_provider_from_leaving_unless_by_force() {
        let busy = ProviderState { open_jobs: 2, ..state(Active) };
        assert_eq!(possible(busy, Actor::Provider), []);
        assert_eq!(possible(busy, Actor::Lsm), [(ForceDeactivate, Inactive)]);
        assert_eq!(possible(busy, Actor::Admin), []);
        let (code, message) = busy.apply(Actor::Lsm, Deactivate).unwrap_err().code_and_message();
        assert_eq!(code, "open_jobs");
        assert_eq!(
            message,
            "you cannot deactivate: the provider is active with 2 active jobs (new or in progress). Possible for you now: \
             deactivate by force"
        );
    }

    #[test]
    fn approval_needs_documents_that_are_verified() {
        let bare = ProviderState { documents_suffice: false, ..state(Pending) };
        assert_eq!(possible(bare, Actor::Lsm), [(Reject, Rejected)]);
        let (code, message) = bare.apply(Actor::Lsm, Approve).unwrap_err().code_and_message();
        assert_eq!(code, "documents_not_verified");
        assert_eq!(
            message,
            "you cannot approve: the provider is pending, and has no documents or some that are not verified. Possible for \
             you now: reject"
        );
    }

    #[test]
    fn a_refusal_names_the_state_and_what_is_possible() {
        let (code, message) = state(Pending).apply(Actor::Lsm, Activate).unwrap_err().code_and_message();
        assert_eq!(code, "wrong_state");
        assert_eq!(message, "you cannot activate: the provider is pending. Possible for you now: approve, reject");
    }
}
