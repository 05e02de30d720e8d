//! The whole story of a job, end to end: booked, negotiated, done, paid, reviewed, disputed and settled.

use serde_json::json;
use sqlx::{Connection as _, PgConnection, Row as _};
use testing::scripted_pooler::{Script, ScriptedPooler};
use testing::world::{World, ZIP_CODE};
use testing::{Database, execute};

use crate::support::{CHATS_WITH_GAPS, SERVE, Scene, passes, who};

/// The actions of its audit rows.
const AUDIT: &str = "book,send_offer,counter_offer,accept_offer,send_offer,counter_offer,decline_offer,send_offer,accept_offer,\
                     close_deal,mark_complete,mark_payment,review,dispute,resolve_dispute";

/// Everything by the real socket.io-client and plain HTTP, for all three parties; the script checks each step.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_booked_negotiated_done_paid_reviewed_disputed_and_settled() {
    play_the_story(World::start(SERVE).await).await;
}

/// The same on a database whose sessions have another time zone and other styles of dates and intervals, through a
/// pooler that passes none of the client's start-up parameters on.
#[tokio::test(flavor = "multi_thread")]
async fn the_story_depends_on_no_setting_of_the_session() {
    let database = Database::create().await;
    let mut session = database.session().await;
    for setting in ["timezone = 'America/New_York'", "datestyle = 'German, DMY'", "intervalstyle = 'sql_standard'"] {
        let alter = "do $$ begin execute format('alter database %I set ', current_database()) || $x$";
        execute(&mut session, &format!("{alter}{setting}$x$; end $$")).await;
    }
    let pooler = ScriptedPooler::before(&database.direct_url(), 4, Script::FreesEarly).await;
    let mut through_pooler = PgConnection::connect(&pooler.url()).await.expect("a session");
    let shown =
        "select current_setting('timezone') || current_setting('datestyle') || current_setting('intervalstyle')";
    let shown: String = sqlx::raw_sql(shown).fetch_one(&mut through_pooler).await.expect("a row").get(0);
    assert_eq!(shown, "America/New_YorkGerman, DMYsql_standard");
    let world = World::start_on(SERVE, database, &[("DATABASE_URL", &pooler.url())]).await;
    play_the_story(world).await;
    let (clients, overlaps) = (pooler.clients(), pooler.overlaps());
    assert!(clients > 2 && overlaps == 0, "{clients} clients, {overlaps} overlaps");
}

async fn play_the_story(world: World) {
    let scene = Scene::on(world).await;
    let Scene { world, customer, provider } = &scene;
    let lsm = world.lsm().await;
    let (stranger, competitor) = (world.customer().await, world.provider("Plumbing").await);
    let arguments = json!({
        "customer": who(customer), "provider": who(&provider.user), "lsm": who(&lsm),
        "strangers": [who(&stranger), who(&competitor.user)],
        "serviceId": provider.service_id, "providerId": provider.id, "zipcode": ZIP_CODE,
    });
    passes(world, "story.mjs", arguments).await;

    assert_eq!(world.text("select string_agg(action, ',' order by id) from stm.job_events").await, AUDIT);
    assert_eq!(world.number(CHATS_WITH_GAPS).await, 0);
    let earned = format!("select earnings_cents from stm.providers where id = {} and total_jobs = 1", provider.id);
    assert_eq!(world.number(&earned).await, 13_250);
    let members = "select string_agg(side || case when left_at is null then '' else ' (left)' end, ',' order by side) from stm.chat_members";
    assert_eq!(world.text(members).await, "customer,local_service_manager (left),service_provider");
}
