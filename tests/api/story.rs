//! The whole story of a job, end to end: booked, negotiated, done, paid, reviewed, disputed and settled.

use serde_json::{Value, json};

use crate::harness::{User, World, ZIP_CODE};

/// What the audit rows say of it afterwards.
const AUDIT: &str = "book,send_offer,counter_offer,accept_offer,send_offer,counter_offer,decline_offer,send_offer,accept_offer,\
                     close_deal,mark_complete,mark_payment,review,dispute,resolve_dispute";

fn who(user: &User) -> Value {
    json!({"id": user.id, "token": user.token})
}

/// Everything by the real socket.io-client and plain HTTP, for all three parties; the script checks each step.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_booked_negotiated_done_paid_reviewed_disputed_and_settled() {
    let world = World::start().await;
    let (customer, provider, lsm) = (world.customer().await, world.provider("Plumbing").await, world.lsm().await);
    let (stranger, competitor) = (world.customer().await, world.provider("Plumbing").await);
    let arguments = json!({
        "customer": who(&customer), "provider": who(&provider.user), "lsm": who(&lsm),
        "strangers": [who(&stranger), who(&competitor.user)],
        "serviceId": provider.service_id, "providerId": provider.id, "zipcode": ZIP_CODE,
    });
    let report = world.client("story.mjs", &arguments).await;
    assert_eq!(report["ok"], true, "{report}");

    assert_eq!(world.text("select string_agg(action, ',' order by id) from stm.job_events").await, AUDIT);
    let gaps = "select count(*) from stm.chats c where c.last_seq <> (select count(*) from stm.messages m where m.chat_id = c.id)
                or c.last_seq <> (select max(seq) from stm.messages m where m.chat_id = c.id)";
    assert_eq!(world.number(gaps).await, 0);
    let earned = format!("select earnings_cents from stm.providers where id = {} and total_jobs = 1", provider.id);
    assert_eq!(world.number(&earned).await, 13_250);
    let members = "select string_agg(side || case when left_at is null then '' else ' (left)' end, ',' order by side) from stm.chat_members";
    assert_eq!(world.text(members).await, "customer,local_service_manager (left),service_provider");
}
