//! A second, smaller state machine, and random sequences of what people do: it and the service never disagree on
//! answers, state, money, audit rows or notifications. Everything goes over HTTP and through `PgBouncer`. Time passes by
//! moving what is stored into the past.

mod stage;

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use testing::world::World;

use self::stage::Stage;
use crate::support::{SERVE, pooler};

/// Sequences per worker, and workers at the same time.
const SEQUENCES: u32 = 500;
const WORKERS: usize = 4;

/// The appointment, in minutes from the booking: a little more than 96 hours.
const DUE: i64 = 96 * 60 + 247;

/// What somebody does.
#[derive(Debug, Clone)]
enum Step {
    Accept,
    Reject,
    /// An offer of a party, with a price, or a date in so many days, or both.
    Offer(By, Option<i64>, Option<i64>),
    Take(By),
    Decline(By),
    Counter(By, i64),
    ApproveEdits,
    CloseDeal,
    Cancel,
    Reassign,
    Resend,
    Complete,
    Pay,
    Review(i64),
    Dispute,
    Resolve,
    /// The one of the two providers who does not have the job at present.
    OtherAccepts,
    /// These many minutes pass.
    Pass(i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Customer,
    Provider,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let by = || prop_oneof![Just(By::Customer), Just(By::Provider)];
    let price = || (0_i64..40_000).prop_map(Some);
    let date = || prop_oneof![Just(None), Just(Some(2)), Just(Some(10))];
    let step = prop_oneof![
        4 => Just(Step::Accept),
        1 => Just(Step::Reject),
        3 => (by(), price(), date()).prop_map(|(by, price, date)| Step::Offer(by, price, date)),
        1 => by().prop_map(|by| Step::Offer(by, None, Some(2))),
        2 => by().prop_map(Step::Take),
        1 => by().prop_map(Step::Decline),
        1 => (by(), 0_i64..40_000).prop_map(|(by, price)| Step::Counter(by, price)),
        1 => Just(Step::ApproveEdits),
        4 => Just(Step::CloseDeal),
        1 => Just(Step::Cancel),
        1 => Just(Step::Reassign),
        1 => Just(Step::Resend),
        4 => Just(Step::Complete),
        4 => Just(Step::Pay),
        2 => (1_i64..=5).prop_map(Step::Review),
        1 => Just(Step::Dispute),
        1 => Just(Step::Resolve),
        1 => Just(Step::OtherAccepts),
        2 => prop_oneof![Just(29_i64), Just(61), Just(300)].prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 1..16)
}

/// The job according to the contract. Times are minutes since the booking.
#[derive(Debug, Clone)]
struct Model {
    now: i64,
    status: &'static str,
    accepted: bool,
    /// By whom, the price, the date.
    offer: Option<(By, Option<i64>, Option<i64>)>,
    price: i64,
    due: i64,
    deadline: i64,
    missed: bool,
    /// Which of the two providers has the job, and which have had it.
    provider: usize,
    had: [bool; 2],
    fee: Option<i64>,
    payment: Option<&'static str>,
    earnings: [i64; 2],
    jobs: [i64; 2],
    warnings: [i64; 2],
    rating: Option<i64>,
    dispute: bool,
    events: BTreeMap<&'static str, i64>,
    notified: Vec<String>,
}

impl Model {
    fn new() -> Self {
        Self {
            now: 0,
            status: "new",
            accepted: false,
            offer: None,
            price: 10_000,
            due: DUE,
            deadline: 60,
            missed: false,
            provider: 0,
            had: [true, false],
            fee: None,
            payment: None,
            earnings: [0; 2],
            jobs: [0; 2],
            warnings: [0; 2],
            rating: None,
            dispute: false,
            events: BTreeMap::new(),
            notified: Vec::new(),
        }
    }

    fn note(&mut self, event: &'static str) {
        *self.events.entry(event).or_default() += 1;
    }

    fn notify(&mut self, who: &str, title: &str) {
        self.notified.push(format!("{who}: {title}"));
    }

    fn notify_provider(&mut self, title: &str) {
        self.notify(&format!("p{}", self.provider), title);
    }

    fn notify_other(&mut self, by: By, title: &str) {
        match by {
            By::Customer => self.notify_provider(title),
            By::Provider => self.notify("c", title),
        }
    }

    fn take(&mut self) {
        if let Some((_, price, date)) = self.offer.take() {
            self.price = price.unwrap_or(self.price);
            self.due = date.unwrap_or(self.due);
        }
        self.accepted = true;
    }

    fn is_for(&self, by: By) -> bool {
        self.status == "new" && self.offer.is_some_and(|(of, ..)| of != by)
    }

    /// Takes a step if it is allowed. Returns the status of the answer.
    #[allow(clippy::too_many_lines, reason = "the whole state machine at one glance")]
    fn step(&mut self, step: &Step) -> u16 {
        let is_new = self.status == "new";
        match *step {
            Step::Accept if is_new && !self.accepted => {
                match self.offer {
                    Some((By::Customer, ..)) => self.take(),
                    _ => self.offer = None,
                }
                self.accepted = true;
                self.note("accept");
                self.notify("c", "Job accepted");
                200
            }
            Step::Reject if is_new => {
                (self.status, self.offer) = ("rejected_by_sp", None);
                self.note("reject");
                self.notify("c", "Job declined");
                200
            }
            Step::Offer(by, price, days) if is_new => {
                self.offer = Some((by, price, days.map(|days| self.now + days * 1440)));
                self.note("send_offer");
                self.notify_other(by, "New offer");
                201
            }
            Step::Take(by) if self.is_for(by) => {
                self.take();
                self.note("accept_offer");
                self.notify_other(by, "Offer accepted");
                201
            }
            Step::ApproveEdits if self.is_for(By::Customer) => {
                self.take();
                self.note("accept_offer");
                self.notify_provider("Offer accepted");
                200
            }
            Step::Decline(by) if self.is_for(by) => {
                (self.offer, self.deadline, self.missed) = (None, self.now + 60, false);
                self.note("decline_offer");
                self.notify_other(by, "Offer declined");
                201
            }
            Step::Counter(by, price) if self.is_for(by) => {
                self.offer = Some((by, Some(price), None));
                self.note("counter_offer");
                self.notify_other(by, "Counter-offer");
                201
            }
            Step::CloseDeal if is_new && self.accepted => {
                (self.status, self.offer) = ("in_progress", None);
                self.note("close_deal");
                self.notify_provider("Deal closed");
                200
            }
            Step::Cancel if is_new || self.status == "in_progress" => {
                (self.status, self.offer) = ("cancelled", None);
                // A quarter, half a cent rounded up.
                let fee = if self.due - self.now < 96 * 60 { (self.price * 25 + 50) / 100 } else { 0 };
                self.fee = (fee > 0).then_some(fee);
                self.note("cancel");
                self.notify_provider("Job cancelled");
                200
            }
            Step::Reassign if is_new || self.status == "rejected_by_sp" => {
                if is_new {
                    self.notify_provider("Job given to another provider");
                }
                self.provider = 1 - self.provider;
                self.had[self.provider] = true;
                (self.status, self.accepted, self.offer, self.price) = ("new", false, None, 10_000);
                (self.deadline, self.missed) = (self.now + 60, false);
                self.note("reassign");
                self.notify_provider("New job request");
                201
            }
            Step::Resend if is_new && !self.accepted => {
                (self.deadline, self.missed) = (self.now + 60, false);
                self.note("resend");
                self.notify_provider("Job request sent again");
                201
            }
            Step::Complete if self.status == "in_progress" => {
                (self.status, self.payment) = ("completed", Some("pending"));
                self.note("mark_complete");
                self.notify("c", "Job completed");
                200
            }
            Step::Pay if self.status == "completed" => {
                (self.status, self.payment) = ("paid", Some("received"));
                self.earnings[self.provider] += self.price;
                self.jobs[self.provider] += 1;
                self.note("mark_payment");
                self.notify("c", "Payment received");
                self.notify_provider("Payment received");
                200
            }
            Step::Review(rating) if self.status == "paid" && self.rating.is_none() => {
                self.rating = Some(rating);
                self.note("review");
                self.notify_provider("New review");
                if rating < 3 {
                    self.notify("l", "Low rating");
                }
                200
            }
            Step::Dispute if matches!(self.status, "completed" | "paid") && !self.dispute => {
                self.dispute = true;
                self.note("dispute");
                self.notify("l", "New dispute");
                self.notify_provider("Job disputed");
                201
            }
            Step::Resolve if self.dispute => {
                self.dispute = false;
                self.note("resolve_dispute");
                self.notify("c", "Dispute resolved");
                self.notify_provider("Dispute resolved");
                200
            }
            Step::OtherAccepts if !self.had[1 - self.provider] => 404,
            Step::Pass(minutes) => {
                self.now += minutes;
                let unanswered = is_new && !self.accepted && self.offer.is_none();
                if unanswered && self.deadline < self.now && !self.missed {
                    self.missed = true;
                    self.warnings[self.provider] += 1;
                    self.note("miss_deadline");
                    self.notify("c", "No answer yet");
                    self.notify_provider("Response deadline missed");
                    if self.warnings[self.provider] >= 3 {
                        self.notify("l", "Provider warned repeatedly");
                    }
                }
                0
            }
            _ => 409,
        }
    }

    fn notified(&self) -> Value {
        let mut notified = self.notified.clone();
        notified.sort();
        json!(notified)
    }

    /// The model in the shape of [`Stage::look`].
    fn view(&self) -> Value {
        json!({
            "status": self.status, "accepted": self.accepted, "price": self.price, "provider": self.provider,
            "missed": self.missed, "fee": self.fee, "payment": self.payment, "rating": self.rating, "dispute": self.dispute,
            "offer": self.offer.map(|(by, price, _)| json!([if by == By::Customer { "customer" } else { "service_provider" }, price])),
            "pending": self.offer.is_some(), "earnings": self.earnings, "jobs": self.jobs, "warnings": self.warnings,
            "events": self.events, "notified": self.notified(),
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_and_the_service_agree() {
    let world = World::start(SERVE).await;
    let pooler = pooler(&world.database, 4);
    let mut stages = Vec::new();
    for _ in 0..WORKERS {
        let (a, b) = (world.provider("Plumbing").await, world.provider("Plumbing").await);
        stages.push(Stage {
            session: world.database.session().await,
            pooler: pooler.clone(),
            customer: world.customer().await,
            providers: [a, b],
            lsm: world.lsm().await,
            world: &world,
        });
    }
    let runtime = tokio::runtime::Handle::current();
    std::thread::scope(|scope| {
        for mut stage in stages {
            let runtime = &runtime;
            scope.spawn(move || {
                let config =
                    Config { cases: SEQUENCES, max_shrink_iters: 500, failure_persistence: None, ..Config::default() };
                let stage = std::cell::RefCell::new(&mut stage);
                let outcome =
                    TestRunner::new(config).run(&steps(), |steps| runtime.block_on(stage.borrow_mut().run(&steps)));
                outcome.unwrap_or_else(|failure| panic!("{failure}"));
            });
        }
    });
}
