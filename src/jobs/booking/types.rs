//! The rules of a booking: no I/O.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

use crate::chat::{self, job_chats};
use crate::error::{Error, invalid};
use crate::files::FileId;
use crate::jobs::messages::dollars;
use crate::types::{Cents, ChatId, JobId, NotificationId, ProviderId, Role, ServiceId, UserId, time};

/// The rule for pictures that are files of ours.
pub(super) const NOT_OURS: &str =
    "must be a picture that you have uploaded in the last 12 hours, with the URL as it was returned";

/// A booking without faults in its fields.
#[derive(Debug)]
pub(crate) struct Booking {
    pub service_id: ServiceId,
    pub provider_id: ProviderId,
    /// Five digits.
    pub zipcode: String,
    /// The address, in the customer's words.
    pub location: Option<String>,
    /// Answers to the service's questions.
    pub answers: serde_json::Value,
    pub scheduled_at: Option<DateTime<Utc>>,
    pub requires_in_person_visit: bool,
    pub in_person_visit_cost: Option<Cents>,
    pub customer_budget: Option<Cents>,
    /// References of files of ours, and URLs of pictures elsewhere.
    pub images: Vec<String>,
    /// The pictures that are files of ours.
    pub files: Vec<FileId>,
    pub project_size_sqft: Option<i32>,
}

impl Booking {
    /// The location in the customer's words, or the ZIP code.
    pub(crate) fn place(&self) -> &str {
        self.location.as_deref().unwrap_or(&self.zipcode)
    }

    /// What its chat begins with.
    pub(super) fn opening(&self) -> job_chats::Opening {
        let first = FirstMessage {
            place: self.place(),
            scheduled_at: self.scheduled_at,
            budget: self.customer_budget,
            answers: &self.answers,
            images: &self.images,
        };
        first.opening()
    }
}

/// An attempt to book: the facts that the rules decide by, and what was inserted.
#[derive(Debug)]
pub(super) struct Attempt {
    pub is_banned: bool,
    /// `None` if there is no such provider, or no such approved service.
    pub candidate: Option<Candidate>,
    /// Whether all files belong to the customer and still exist.
    pub has_all_files: bool,
    /// `None` if something prevents the booking.
    pub booked: Option<Booked>,
}

/// A provider who is to be booked for a service.
#[derive(Debug)]
pub(super) struct Candidate {
    pub service_name: String,
    pub availability: Availability,
    pub blocks: Blocks,
}

/// What a booking has inserted.
#[derive(Debug)]
pub(super) struct Booked {
    pub job: JobId,
    pub created_at: DateTime<Utc>,
    pub response_deadline: DateTime<Utc>,
    pub chat: ChatId,
    pub chat_created_at: DateTime<Utc>,
    /// The provider's user, who is notified.
    pub provider: UserId,
    pub provider_role: Role,
    pub notification: NotificationId,
    pub notified_at: DateTime<Utc>,
    /// The text of the notification.
    pub notice: String,
    /// The provider's unread notifications, including this one.
    pub unread: i64,
}

impl Attempt {
    /// Checks the rules of a booking in order. Returns the service's name, and what was inserted.
    ///
    /// # Errors
    /// 400, 403, 404 or 409, for the first rule that prevents the booking.
    pub(super) fn check(self) -> Result<(String, Booked), Error> {
        if self.is_banned {
            return Err(Error::Forbidden("banned", "this account is banned"));
        }
        let Candidate { service_name, availability, blocks } =
            self.candidate.ok_or(Error::NotFound("service or provider"))?;
        availability.check()?;
        blocks.check()?;
        if !self.has_all_files {
            return Err(invalid("images", NOT_OURS));
        }
        let booked =
            self.booked.ok_or_else(|| anyhow::anyhow!("nothing prevents this booking, and it was not made"))?;
        Ok((service_name, booked))
    }
}

/// A completed job that is not paid.
#[derive(Debug)]
pub(crate) struct UnpaidJob {
    pub id: JobId,
    pub business_name: String,
}

/// The reasons why a customer cannot book.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    /// The oldest one.
    pub unpaid_job: Option<UnpaidJob>,
    /// A new or running job with the same provider.
    pub has_open_job_with_provider: bool,
    /// A new job that some provider has accepted, and that waits for the customer.
    pub has_accepted_job: bool,
}

impl Blocks {
    /// Checks that nothing prevents the booking.
    ///
    /// # Errors
    /// 409 with what to do first.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let conflict = |code, message: &str| Err(Error::Conflict(code, message.to_owned()));
        if let Some(UnpaidJob { id, business_name }) = &self.unpaid_job {
            // Clients look for the word `unpaid` and the number, and link to the job.
            let message =
                format!("You have an unpaid job (#{id}) with {business_name}: pay for it before booking again");
            return conflict("unpaid_job", &message);
        }
        if self.has_open_job_with_provider {
            return conflict("open_job_with_provider", "there is an open job with this provider already");
        }
        if self.has_accepted_job {
            return conflict(
                "accepted_job_waiting",
                "a provider has accepted one of your jobs: close that deal or cancel it before booking again",
            );
        }
        Ok(())
    }
}

/// Whether a provider can be booked for a service and a place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Availability {
    /// Approved by the LSM, and taking bookings.
    pub is_active: bool,
    /// Has the service in its list.
    pub offers_service: bool,
    /// Serves the ZIP code.
    pub serves_zip_code: bool,
}

impl Availability {
    /// Checks that every condition holds.
    ///
    /// # Errors
    /// 400 with the condition that does not.
    pub(crate) fn check(self) -> Result<(), Error> {
        let refused = |code, message: &str| Err(Error::Refused(code, message.to_owned()));
        if !self.is_active {
            return refused("provider_not_active", "this provider does not take bookings at present");
        }
        if !self.offers_service {
            return refused("service_not_offered", "this provider does not offer the service");
        }
        if !self.serves_zip_code {
            return refused("zip_code_not_served", "this provider does not serve the ZIP code");
        }
        Ok(())
    }
}

/// The first message in the chat of a new job, in the customer's name.
#[derive(Debug)]
pub(crate) struct FirstMessage<'a> {
    pub place: &'a str,
    pub scheduled_at: Option<DateTime<Utc>>,
    pub budget: Option<Cents>,
    /// Answers to the service's questions: an object, or a list of anything.
    pub answers: &'a serde_json::Value,
    /// URLs of pictures.
    pub images: &'a [String],
}

impl FirstMessage<'_> {
    /// What the chat begins with: the customer's request, and its pictures.
    pub(crate) fn opening(&self) -> job_chats::Opening {
        job_chats::Opening {
            request: "New booking request: [SERVICE_NAME]",
            details: self.details(),
            images: self.images.chunks(chat::MAX_IMAGES).map(chat::images_as_text).collect(),
            place: self.place.to_owned(),
            date: self.scheduled_at.map_or_else(|| "a date to be agreed".to_owned(), time::in_words),
        }
    }

    /// What follows the service's name.
    fn details(&self) -> String {
        let mut text = format!("\nLocation: {}", self.place);
        if let Some(scheduled_at) = self.scheduled_at {
            let _infallible = write!(text, "\nPreferred date: {}", time::in_words(scheduled_at));
        }
        let budget = self.budget.filter(|budget| *budget > Cents(0));
        if let Some(budget) = budget {
            let _infallible = write!(text, "\nBudget: {}", dollars(budget));
        }
        write_answers(&mut text, self.answers, budget.is_some());
        text
    }
}

/// Writes answers to a service's questions, one a line: the members of an object, or the elements of a list, which may be
/// `{question, answer}`. Leaves out empty ones, and the budget if `is_budget_told` already.
pub(crate) fn write_answers(text: &mut String, answers: &serde_json::Value, is_budget_told: bool) {
    let mut write = |question: Option<String>, answer: &serde_json::Value| {
        let is_told =
            is_budget_told && question.as_ref().is_some_and(|name| name.trim().eq_ignore_ascii_case("budget"));
        let (Some(answer), false) = (plain(answer), is_told) else { return };
        let _infallible = match question {
            Some(question) => write!(text, "\n{question}: {answer}"),
            None => write!(text, "\n{answer}"),
        };
    };
    for (question, answer) in answers.as_object().into_iter().flatten() {
        write(Some(question.clone()), answer);
    }
    for answer in answers.as_array().into_iter().flatten() {
        match (answer.get("question"), answer.get("answer")) {
            (Some(question), Some(answer)) => write(plain(question), answer),
            _ => write(None, answer),
        }
    }
}

/// A value as text for people; `None` if it is empty.
fn plain(value: &serde_json::Value) -> Option<String> {
    use serde_json::Value;
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.trim().to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Array(list) => list.iter().filter_map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(map) if map.is_empty() => String::new(),
        Value::Number(_) | Value::Object(_) => value.to_string(),
    };
    Some(text).filter(|text| !text.is_empty())
}

/// Truncates a text to the longest message.
pub(crate) fn truncate_to_message(mut text: String) -> String {
    if let Some((at, _)) = text.char_indices().nth(crate::chat::MAX_MESSAGE_CHARS) {
        text.truncate(at);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_block_alone_stops_a_booking() {
        assert!(Blocks::default().check().is_ok());
        let blocks = [
            Blocks {
                unpaid_job: Some(UnpaidJob { id: JobId(12), business_name: "Pete's Pipes".into() }),
                ..Blocks::default()
            },
            Blocks { has_open_job_with_provider: true, ..Blocks::default() },
            Blocks { has_accepted_job: true, ..Blocks::default() },
        ];
        let (_, message) = blocks[0].check().unwrap_err().code_and_message();
        assert_eq!(message, "You have an unpaid job (#12) with Pete's Pipes: pay for it before booking again");
        let codes: Vec<_> = blocks.iter().map(|blocks| blocks.check().unwrap_err().code_and_message().0).collect();
        assert_eq!(codes, ["unpaid_job", "open_job_with_provider", "accepted_job_waiting"]);
    }

    #[test]
    fn each_condition_of_availability_counts() {
        for missing in 0..4 {
            let availability =
                Availability { is_active: missing != 0, offers_service: missing != 1, serves_zip_code: missing != 2 };
            assert_eq!(availability.check().is_ok(), missing == 3);
        }
    }

    #[test]
    fn the_first_message_says_what_there_is_and_the_budget_once() {
        let text = |budget, answers: &serde_json::Value| {
            FirstMessage { place: "10001", scheduled_at: None, budget, answers, images: &[] }.details()
        };
        let begin = "\nLocation: 10001";
        let answers = serde_json::json!({
            "description": "Two rooms", "dimensions": "", "additionalDetails": " ", "budget": "180", "pets": null, "colors": [],
        });
        assert_eq!(text(Some(Cents(18_000)), &answers), format!("{begin}\nBudget: $180.00\ndescription: Two rooms"));
        assert_eq!(text(None, &answers), format!("{begin}\nbudget: 180\ndescription: Two rooms"));
        let none = serde_json::json!([{"question": "Budget", "answer": ""}, {"question": "Colors", "answer": ["red", "blue"]}, ""]);
        assert_eq!(text(Some(Cents(0)), &none), format!("{begin}\nColors: red, blue"));
    }
}
