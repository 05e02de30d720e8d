//! Money: invoices with and without Stripe, Stripe's events, and earnings that agree with the rows.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testing::PATIENCE;
use testing::world::{User, World};

use crate::support::stripe::{Mode, StripeAccount, deliver, event, paid, refunded, send, signature};
use crate::support::{Booked, SERVE, Scene};

/// A completed job of 120.50 dollars, at a service that makes its invoices at a stand-in for Stripe.
struct Billed {
    scene: Booked,
    stripe: StripeAccount,
    admin: User,
}

impl Billed {
    async fn start() -> Self {
        let stripe = StripeAccount::open().await;
        let settings = stripe.settings();
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let scene = Scene::on(World::start_with(SERVE, &settings).await).await.book().await;
        complete(&scene).await;
        let admin = scene.world.admin().await;
        Self { scene, stripe, admin }
    }

    /// A job with an open invoice. Returns the invoice as Stripe has it.
    async fn invoiced() -> (Self, Value) {
        let billed = Self::start().await;
        let sent = billed.send("send-invoice").await;
        assert_eq!(sent["success"], true, "{sent}");
        let invoice = billed.stripe.invoices().pop().expect("an invoice");
        (billed, invoice)
    }

    async fn send(&self, action: &str) -> Value {
        let path = format!("/payments/jobs/{}/{action}", self.scene.job);
        self.scene.provider_posts(&path, &json!({})).await.expect(201)
    }

    async fn mark_payment(&self) -> u16 {
        mark_payment(&self.scene).await
    }

    async fn deliver(&self, kind: &str, object: &Value) {
        deliver(&self.scene.world, &event(kind, object)).await;
    }

    /// What was done with the job for money, in order.
    async fn events(&self) -> String {
        let sql = "select coalesce(string_agg(action, ' ' order by id), '') from stm.job_events
             where action in ('send_invoice', 'mark_payment', 'fail_payment', 'void_invoice', 'refund') and job_id = ";
        self.scene.world.text(&format!("{sql}{}", self.scene.job)).await
    }

    async fn status(&self) -> String {
        self.scene.world.text("select status from stm.invoices").await
    }

    async fn until(&self, status: &str) {
        let started = Instant::now();
        while self.status().await != status {
            assert!(started.elapsed() < PATIENCE, "the invoice is {}, not {status}", self.status().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Makes what waits due at once, instead of after its back-off or lease.
    async fn hurry_until(&self, status: &str) {
        let started = Instant::now();
        while self.status().await != status {
            assert!(started.elapsed() < PATIENCE, "the invoice is {}, not {status}", self.status().await);
            self.scene.world.sql("update stm.invoices set next_attempt_at = now()").await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// How often a user was notified under a title.
    async fn notified(&self, user: &User, title: &str) -> usize {
        self.scene.notified(user).await.iter().filter(|one| *one == title).count()
    }
}

async fn complete(scene: &Booked) {
    let sql = "update stm.jobs set status = 'completed', sp_accepted = true, completed_at = now() where id = ";
    scene.world.sql(&format!("{sql}{}", scene.job)).await;
}

async fn mark_payment(scene: &Booked) -> u16 {
    let path = format!("/provider/jobs/{}/update-status", scene.job);
    let request = json!({"action": "mark_payment", "paymentDetails": {"method": "cash", "notes": "In full"}});
    scene.provider_posts(&path, &request).await.status.as_u16()
}

async fn earnings(scene: &Scene) -> (Value, Value, Value) {
    let earnings = scene.world.get_as(&scene.provider.user, "/payments/earnings").await.expect(200);
    (earnings["totalEarnings"].clone(), earnings["totalJobs"].clone(), earnings["currentBalance"].clone())
}

async fn lines(scene: &Booked, beginning: &str) -> Vec<String> {
    let messages = scene.messages().await.into_iter();
    let texts = messages.map(|message| message["message"].as_str().expect("a text").to_owned());
    texts.filter(|text| text.starts_with(beginning)).collect()
}

#[tokio::test]
async fn without_stripe_the_customer_pays_the_provider() {
    let scene = Scene::booked().await;
    let path = |action: &str| format!("/payments/jobs/{}/{action}", scene.job);
    let post = async |action: &str| scene.provider_posts(&path(action), &json!({})).await;
    assert_eq!(post("send-invoice").await.expect(409)["code"], "wrong_state", "not completed");
    complete(&scene).await;
    assert_eq!(post("resend-invoice").await.expect(409)["code"], "not_invoiced");
    let sent = post("send-invoice").await.expect(201);
    assert_eq!(
        (&sent["success"], &sent["alreadyExists"], &sent["invoiceUrl"]),
        (&json!(true), &json!(false), &json!(null))
    );
    let again = post("send-invoice").await.expect(201);
    assert_eq!((&again["alreadyExists"], &again["invoiceId"]), (&json!(true), &sent["invoiceId"]));
    assert_eq!(lines(&scene, "Please pay me $120.50 for Plumbing").await.len(), 1, "asked once");
    post("resend-invoice").await.expect(201);
    assert_eq!(lines(&scene, "Please pay me $120.50 for Plumbing").await.len(), 2);

    let list = scene.world.get_as(&scene.customer, "/notifications").await.expect(200);
    let asked = list["notifications"].as_array().expect("a list").iter().find(|one| one["title"] == "Invoice");
    let metadata = &asked.expect("a notification")["metadata"];
    assert_eq!(metadata["invoiceId"], sent["invoiceId"]);
    assert_eq!((&metadata["jobId"], &metadata["chatId"]), (&json!(scene.job), &json!(scene.chat)));

    scene.world.sql("update stm.invoices set times_asked = 20").await;
    assert_eq!(post("resend-invoice").await.expect(409)["code"], "asked_too_often");

    let get = async |path: &str| scene.world.get_as(&scene.provider.user, path).await.expect(200);
    let pending = get("/payments/provider/invoices?status=pending").await;
    assert_eq!(
        pending["summary"],
        json!({"total": 1, "pending": 1, "received": 0, "disputed": 0, "totalAmount": 120.5})
    );
    assert_eq!(pending["invoices"][0]["id"], sent["invoiceId"]);
    assert_eq!(get("/payments/provider/invoices?status=received").await["invoices"], json!([]));
    assert_eq!(earnings(&scene).await, (json!(0), json!(0), json!(0)));
    assert_eq!(mark_payment(&scene).await, 200);
    let one = get(&format!("/payments/provider/invoices/{}", sent["invoiceId"])).await;
    assert_eq!((&one["status"], &one["notes"], &one["amount"]), (&json!("received"), &json!("In full"), &json!(120.5)));
    assert!(one["markedAt"].is_string(), "{one}");
    assert_eq!(earnings(&scene).await, (json!(120.5), json!(1), json!(120.5)));
    assert_eq!(post("resend-invoice").await.expect(409)["code"], "already_paid");
    let dispute = json!({"jobId": scene.job, "description": "It leaks"});
    scene.customer_posts("/customers/disputes", &dispute).await.expect(201);
    assert_eq!(get("/payments/provider/invoices?status=disputed").await["summary"]["disputed"], 1);
    let of_job = scene.world.get_as(&scene.customer, &path("invoice")).await.expect(200);
    assert_eq!((&of_job["payment"]["status"], &of_job["payment"]["method"]), (&json!("disputed"), &json!("cash")));

    let body = event("invoice.paid", &json!({})).to_string();
    send(&scene.world, body.clone(), &signature(&body, 0)).await.expect(404);
}

#[tokio::test]
async fn a_job_without_a_price_is_not_invoiced() {
    let scene = Scene::booked().await;
    complete(&scene).await;
    scene.world.sql("update stm.jobs set price_cents = 0").await;
    let path = format!("/payments/jobs/{}/send-invoice", scene.job);
    assert_eq!(scene.provider_posts(&path, &json!({})).await.expect(409)["code"], "no_price");
    assert_eq!(scene.world.number("select count(*) from stm.invoices").await, 0);
}

#[tokio::test]
async fn stripe_is_paid_once_and_refunds() {
    let (billed, invoice) = Billed::invoiced().await;
    let url = invoice["hosted_invoice_url"].as_str().expect("a URL");
    assert_eq!((&invoice["amount_due"], &invoice["currency"]), (&json!(12_050), &json!("usd")));
    assert_eq!(lines(&billed.scene, "Please pay").await, [format!("Please pay $120.50 for Plumbing: {url}")]);
    let again = billed.send("send-invoice").await;
    assert_eq!((&again["alreadyExists"], &again["invoiceUrl"]), (&json!(true), &json!(url)));

    billed.deliver("invoice.payment_failed", &invoice).await;
    for user in [&billed.scene.customer, &billed.scene.provider.user] {
        assert_eq!(billed.notified(user, "Payment failed").await, 1);
    }
    billed.deliver("customer.created", &json!({"id": "cus_1"})).await;
    let payment = event("invoice.paid", &paid(&invoice));
    for _ in 0..3 {
        deliver(&billed.scene.world, &payment).await;
    }
    billed.deliver("invoice.paid", &paid(&invoice)).await;
    // Too late to matter.
    billed.deliver("invoice.payment_failed", &invoice).await;
    billed.deliver("invoice.voided", &invoice).await;
    assert_eq!(billed.events().await, "send_invoice fail_payment mark_payment");
    assert_eq!(billed.scene.customer_sees().await["job"]["status"], "paid");
    let money = "select status || ' ' || method || ' ' || amount_cents from stm.payments";
    assert_eq!(billed.scene.world.text(money).await, "received online 12050");
    assert_eq!(earnings(&billed.scene).await, (json!(120.5), json!(1), json!(120.5)));
    assert_eq!(billed.notified(&billed.scene.customer, "Payment received").await, 1);
    assert_eq!(billed.mark_payment().await, 409);

    for (cents, balance, events) in [(2050, 100, "refund"), (1000, 100, "refund"), (12_050, 0, "refund refund")] {
        billed.deliver("charge.refunded", &refunded(&invoice, cents)).await;
        assert_eq!(earnings(&billed.scene).await, (json!(120.5), json!(1), json!(balance)), "{cents}");
        assert_eq!(billed.events().await, format!("send_invoice fail_payment mark_payment {events}"));
    }
    assert_eq!(billed.status().await, "refunded");
    assert_eq!(billed.notified(&billed.scene.customer, "Payment refunded").await, 2);
    assert_eq!(billed.notified(&billed.admin, "Stripe event refused").await, 0);
}

#[tokio::test]
async fn events_may_come_in_any_order() {
    let (billed, invoice) = Billed::invoiced().await;
    billed.deliver("charge.refunded", &refunded(&invoice, 50)).await;
    billed.deliver("invoice.paid", &paid(&invoice)).await;
    billed.deliver("invoice.payment_failed", &invoice).await;
    assert_eq!(billed.events().await, "send_invoice mark_payment refund");
    assert_eq!(earnings(&billed.scene).await, (json!(120.5), json!(1), json!(120)));
}

#[tokio::test]
async fn what_is_not_signed_or_contradicts_the_invoice_is_refused() {
    let (billed, invoice) = Billed::invoiced().await;
    let world = &billed.scene.world;
    let body = event("invoice.paid", &paid(&invoice)).to_string();
    for (why, signature) in [
        ("of another body", signature("{}", 0)),
        ("too old", signature(&body, 301)),
        ("from the future", signature(&body, -400)),
        ("none", String::new()),
        ("not a signature", "t=1,v1=00".into()),
    ] {
        assert_eq!(send(world, body.clone(), &signature).await.expect(400)["code"], "wrong_signature", "{why}");
    }
    let large = " ".repeat(300 * 1024);
    send(world, large.clone(), &signature(&large, 0)).await.expect(413);
    for unreadable in ["", "[]", "{}", r#"{"id": "evt_1", "type": "invoice.paid", "data": {"object": {}}}"#] {
        send(world, unreadable.into(), &signature(unreadable, 0)).await.expect(400);
    }
    assert_eq!(billed.notified(&billed.admin, "Stripe event refused").await, 0);

    let mut lies = vec![paid(&invoice), paid(&invoice), paid(&invoice), paid(&invoice)];
    lies[0]["amount_paid"] = json!(12_049);
    lies[1]["metadata"]["stm_job"] = json!("4711");
    lies[2]["currency"] = json!("eur");
    lies[3]["id"] = json!("in_4711");
    for lie in &lies {
        let event = event("invoice.paid", lie);
        deliver(world, &event).await;
        deliver(world, &event).await;
    }
    billed.deliver("charge.refunded", &refunded(&invoice, 12_051)).await;
    let unknown = json!({"id": "in_4711", "amount_due": 1, "amount_paid": 1, "currency": "usd", "metadata": {}});
    billed.deliver("invoice.paid", &unknown).await;
    assert_eq!(billed.events().await, "send_invoice");
    assert_eq!(billed.status().await, "open");
    assert_eq!(billed.notified(&billed.admin, "Stripe event refused").await, lies.len() + 1, "once each");
    assert_eq!(earnings(&billed.scene).await, (json!(0), json!(0), json!(0)));
}

#[tokio::test]
async fn an_invoice_is_made_once_however_often_stripe_fails() {
    let billed = Billed::start().await;
    for mode in [Mode::Stalls, Mode::Fails] {
        billed.stripe.set_mode(mode);
        if mode == Mode::Stalls {
            let sent = billed.send("send-invoice").await;
            assert_eq!((&sent["success"], &sent["invoiceUrl"]), (&json!(false), &json!(null)), "{sent}");
            assert_eq!(billed.status().await, "pending_creation");
            let open = "select count(*) from pg_stat_activity where datname = current_database()
                 and state like 'idle in transaction%' and state_change < now() - interval '1 second'";
            assert_eq!(billed.scene.world.number(open).await, 0, "no transaction is open while Stripe is asked");
        } else {
            let sent = billed.send("resend-invoice").await;
            assert_eq!((&sent["success"], &sent["alreadyExists"]), (&json!(false), &json!(true)), "{sent}");
            until_error(&billed, "500 api_error").await;
        }
        assert_eq!(lines(&billed.scene, "Please pay").await.len(), 0);
    }
    billed.stripe.set_mode(Mode::Works);
    billed.hurry_until("open").await;
    assert_eq!(billed.stripe.statuses().iter().filter(|status| *status == "open").count(), 1);
    assert_eq!(lines(&billed.scene, "Please pay $120.50").await.len(), 1, "asked once");
    assert_eq!(billed.events().await, "send_invoice");
    let log = billed.scene.world.server.output();
    assert!(!log.contains("@example.com") && !log.contains("sk_test"), "{log}");
}

/// Waits until an attempt has failed for this reason.
async fn until_error(billed: &Billed, why: &str) {
    let started = Instant::now();
    while billed.scene.world.text("select coalesce(last_error, '') from stm.invoices").await != why {
        assert!(started.elapsed() < PATIENCE, "no attempt fails with {why}");
        billed.scene.world.sql("update stm.invoices set next_attempt_at = now()").await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn what_stripe_refuses_or_gets_wrong_is_given_up_and_may_be_sent_again() {
    let billed = Billed::start().await;
    for (number, mode) in [Mode::Refuses, Mode::AddsADollar].into_iter().enumerate() {
        billed.stripe.set_mode(mode);
        let sent = billed.send(if number == 0 { "send-invoice" } else { "resend-invoice" }).await;
        assert_eq!(sent["success"], false, "{sent}");
        assert_eq!(billed.status().await, "failed");
        assert_eq!(billed.notified(&billed.scene.provider.user, "Invoice not sent").await, number + 1);
        assert_eq!(billed.notified(&billed.admin, "Invoice not made").await, number + 1);
    }
    assert_eq!(billed.stripe.statuses(), ["void"], "nobody can pay what is wrong");
    billed.stripe.set_mode(Mode::Works);
    assert_eq!(billed.send("resend-invoice").await["success"], true);
    assert_eq!(billed.stripe.statuses(), ["void", "open"]);
    assert_eq!(lines(&billed.scene, "Please pay").await.len(), 1);
}

#[tokio::test]
async fn marking_as_paid_voids_the_open_invoice() {
    let (billed, invoice) = Billed::invoiced().await;
    assert_eq!(billed.mark_payment().await, 200);
    billed.until("void").await;
    assert_eq!(billed.stripe.statuses(), ["void"]);
    assert_eq!(billed.events().await, "send_invoice mark_payment void_invoice");
    billed.deliver("invoice.voided", &invoice).await;
    assert_eq!(billed.events().await, "send_invoice mark_payment void_invoice", "known already");
    assert_eq!(billed.notified(&billed.scene.customer, "Invoice void").await, 0);
    // The customer was faster at Stripe than the worker.
    billed.deliver("invoice.paid", &paid(&invoice)).await;
    assert_eq!(billed.notified(&billed.admin, "Paid twice").await, 1);
    assert_eq!(earnings(&billed.scene).await, (json!(120.5), json!(1), json!(120.5)), "earned once");
}

#[tokio::test]
async fn an_invoice_that_is_voided_at_stripe_may_be_sent_again() {
    let (billed, invoice) = Billed::invoiced().await;
    billed.deliver("invoice.voided", &invoice).await;
    for user in [&billed.scene.customer, &billed.scene.provider.user] {
        assert_eq!(billed.notified(user, "Invoice void").await, 1);
    }
    assert_eq!(billed.send("resend-invoice").await["success"], true);
    assert_eq!(billed.stripe.invoices().len(), 2);
    // About the one before.
    billed.deliver("invoice.voided", &invoice).await;
    assert_eq!(billed.status().await, "open");
    billed.deliver("invoice.paid", &paid(&invoice)).await;
    assert_eq!(billed.notified(&billed.admin, "Stripe event refused").await, 1, "the old one was paid");
}

#[tokio::test(flavor = "multi_thread")]
async fn stripe_and_the_provider_pay_once_together() {
    const ROUNDS: usize = 200;
    let billed = Billed::start().await;
    let (scene, world) = (&billed.scene, &billed.scene.world);
    let mut session = world.database.session().await;
    let mut online = 0;
    for round in 0..ROUNDS {
        let job = world.new_job(&mut session, &scene.customer, &scene.provider).await;
        let id = format!("in_race_{round}");
        let invoice = billed.stripe.add_open(&id, 10_000);
        let sql = format!(
            "update stm.jobs set status = 'completed', completed_at = now() where id = {job};
             insert into stm.invoices (job_id, provider_id, amount_cents, status, via_stripe, stripe_customer_id, stripe_invoice_id)
             values ({job}, {}, 10000, 'open', true, 'cus_1', '{id}')",
            scene.provider.id
        );
        testing::execute(&mut session, &sql).await;
        let payment = event("invoice.paid", &paid(&invoice));
        let path = format!("/provider/jobs/{job}/update-status");
        let request = json!({"action": "mark_payment"});
        let pause = |mine: bool| Duration::from_micros(if mine { 0 } else { (round as u64 / 2 % 8) * 500 });
        let ((), marked) = tokio::join!(
            async {
                tokio::time::sleep(pause(round.is_multiple_of(2))).await;
                deliver(world, &payment).await;
            },
            async {
                tokio::time::sleep(pause(!round.is_multiple_of(2))).await;
                scene.provider_posts(&path, &request).await.status.as_u16()
            }
        );
        let paid = format!(
            "select (select count(*) from stm.job_events where job_id = {job} and action = 'mark_payment')
                    || ' ' || (select method || ' ' || status from stm.payments where job_id = {job})"
        );
        let by = if marked == 200 { "cash" } else { "online" };
        assert!(marked == 200 || marked == 409, "round {round}: {marked}");
        online += usize::from(marked == 409);
        assert_eq!(world.text(&paid).await, format!("1 {by} received"), "round {round}");
    }
    assert!((1..ROUNDS).contains(&online), "no race: {online}");
    assert_eq!(earnings(scene).await, (json!(ROUNDS * 100), json!(ROUNDS), json!(ROUNDS * 100)));
    let twice = world.number("select count(*) from stm.notifications where title = 'Paid twice'").await;
    assert_eq!(usize::try_from(twice).expect("a count"), ROUNDS - online, "each one that was paid both ways");
}
