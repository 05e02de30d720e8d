//! Time: response deadlines, and what a late cancellation costs.

use std::ops::Deref;

use chrono::{DateTime, Duration, Utc};
use doors::Pooler;
use stm_backend::jobs::{Command, Job, deadlines};
use stm_backend::outbox::Outbox;
use stm_backend::types::{Cents, JobId, UserId};
use testing::world::User;
use tokio_util::sync::CancellationToken;

use crate::support::{Scene, pooler};

/// A scene whose present is a parameter.
struct Clock {
    scene: Scene,
    pooler: Pooler,
    /// The present, so far away that the server's own clock finds nothing to do.
    now: DateTime<Utc>,
}

impl Deref for Clock {
    type Target = Scene;

    fn deref(&self) -> &Scene {
        &self.scene
    }
}

impl Clock {
    async fn start() -> Self {
        let scene = Scene::start().await;
        let now = "2090-06-01T12:00:00Z".parse().expect("a time");
        Self { pooler: pooler(&scene.world.database, 8), scene, now }
    }

    /// A job that was booked now, and is due in this many seconds.
    async fn job(&self, due_in_s: Option<i64>) -> JobId {
        let id = self.world.new_job(&mut self.world.database.session().await, &self.customer, &self.provider).await;
        let due = due_in_s
            .map_or_else(|| "null".to_owned(), |s| format!("timestamptz '{}'", self.now + Duration::seconds(s)));
        let deadline = self.now + Duration::minutes(60);
        self.world
            .sql(&format!("update stm.jobs set response_deadline = '{deadline}', scheduled_at = {due} where id = {id}"))
            .await;
        JobId(id)
    }

    /// Acts on deadlines at `now`; returns how many were acted upon, and how many notifications there were.
    async fn at(&self, now: DateTime<Utc>) -> (usize, usize) {
        let notified = std::cell::Cell::new(0);
        let stopped = CancellationToken::new();
        let publish = |outbox: Outbox| notified.set(notified.get() + outbox.notifications().len());
        let done = deadlines::act(&self.pooler, now, &stopped, publish).await;
        (done, notified.get())
    }

    async fn does(&self, job: JobId, who: &User, command: Command, now: DateTime<Utc>) -> Cents {
        let mut tx = self.pooler.write().await.expect("a transaction");
        let job = Job::load_for_update(&mut tx, job, UserId(who.id)).await.expect("the job");
        let transition = job.apply(command, now).expect("an allowed command");
        let _unpublished = job.store(&mut tx, &transition).await.expect("stored");
        tx.commit().await.expect("a commit");
        transition.change.fee
    }

    async fn warnings(&self) -> i64 {
        self.world.number("select warnings::bigint from stm.providers").await
    }
}

#[tokio::test]
async fn a_cancellation_is_free_until_96_hours_before_to_the_second() {
    let scene = Clock::start().await;
    let hours_96 = 96 * 3600;
    for (due_in_s, fee) in [(hours_96 + 1, 0), (hours_96, 0), (hours_96 - 1, 2500), (0, 2500)] {
        for closed in [false, true] {
            let job = scene.job(Some(due_in_s)).await;
            if closed {
                scene.does(job, &scene.provider.user, Command::Accept { offer: None }, scene.now).await;
                scene.does(job, &scene.customer, Command::CloseDeal, scene.now).await;
            }
            let charged = scene.does(job, &scene.customer, Command::Cancel { reason: None }, scene.now).await;
            assert_eq!(charged, Cents(fee), "{due_in_s} s before, closed: {closed}");
            let row =
                format!("select coalesce(sum(amount_cents), 0)::bigint from stm.payments where job_id = {}", job.0);
            assert_eq!(scene.world.number(&row).await, fee);
        }
    }
    let job = scene.job(None).await;
    assert_eq!(
        scene.does(job, &scene.customer, Command::Cancel { reason: None }, scene.now).await,
        Cents(0),
        "no appointment"
    );
}

#[tokio::test]
async fn every_missed_deadline_is_acted_upon_once_and_the_third_warning_is_the_lsms_too() {
    let scene = Clock::start().await;
    let lsm = scene.world.lsm().await;
    scene.world.sql("delete from stm.notifications").await;
    let deadline = scene.now + Duration::minutes(60);
    for warnings in 1..=4 {
        let _job = scene.job(None).await;
        assert_eq!(scene.at(deadline).await, (0, 0), "the deadline itself is in time");
        let late = deadline + Duration::milliseconds(1);
        let notified = if warnings < 3 { 2 } else { 3 };
        assert_eq!(scene.at(late).await, (1, notified), "warning {warnings}");
        assert_eq!(scene.at(late + Duration::days(30)).await, (0, 0), "once");
        assert_eq!(scene.warnings().await, warnings);
    }
    assert_eq!(scene.notified(&lsm).await, ["Provider warned repeatedly"; 2]);
    assert_eq!(scene.notified(&scene.customer).await, ["No answer yet"; 4]);
    assert_eq!(scene.notified(&scene.provider.user).await, ["Response deadline missed"; 4]);
    let events = "select count(*) from stm.job_events where action = 'miss_deadline' and actor_id is null";
    assert_eq!(scene.world.number(events).await, 4);
}

#[tokio::test]
async fn only_unanswered_jobs_miss_their_deadline_and_a_new_deadline_counts_anew() {
    let scene = Clock::start().await;
    let late = scene.now + Duration::hours(2);
    let accepted = scene.job(None).await;
    scene.does(accepted, &scene.provider.user, Command::Accept { offer: None }, scene.now).await;
    let cancelled = scene.job(None).await;
    scene.does(cancelled, &scene.customer, Command::Cancel { reason: None }, scene.now).await;
    let rejected = scene.job(None).await;
    scene.does(rejected, &scene.provider.user, Command::Reject { reason: None }, scene.now).await;
    assert_eq!(scene.at(late).await.0, 0);

    let job = scene.job(None).await;
    assert_eq!(scene.at(late).await.0, 1);
    scene.does(job, &scene.customer, Command::Resend, late).await;
    assert_eq!(scene.at(late + Duration::minutes(60)).await.0, 0);
    assert_eq!(scene.at(late + Duration::minutes(61)).await.0, 1);
    assert_eq!(scene.warnings().await, 2);
    // Late is not never.
    scene.does(job, &scene.provider.user, Command::Accept { offer: None }, late + Duration::minutes(90)).await;
}

/// Several processes, after a night without any: everything is caught up with, each deadline once.
#[tokio::test(flavor = "multi_thread")]
async fn several_processes_catch_up_together() {
    let scene = Clock::start().await;
    let mut session = scene.world.database.session().await;
    for _ in 0..100 {
        scene.world.new_job(&mut session, &scene.customer, &scene.provider).await;
    }
    let late = Utc::now() + Duration::days(1);
    let stopped = CancellationToken::new();
    let pass = || deadlines::act(&scene.pooler, late, &stopped, drop);
    let (a, b, c, d) = tokio::join!(pass(), pass(), pass(), pass());
    assert_eq!(a + b + c + d, 100, "{a} + {b} + {c} + {d}");
    assert!([a, b, c, d].iter().filter(|done| **done > 0).count() > 1, "they worked side by side");
    assert_eq!(scene.warnings().await, 100);
}
