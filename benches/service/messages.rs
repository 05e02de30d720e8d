//! Messages and idle sockets, of the service and of the peer in turn.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use testing::chat_load::{MESSAGE, SENDERS_PER_CHAT, Sends, Target, assert_acked, join, message, send_for};
use testing::chats::{self, Chat};
use testing::report::{Aim, say, setting};
use testing::socket_io::nowhere;
use testing::usage::resident_kib;
use testing::{Database, PATIENCE};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::aims::{Line, Tables};
use crate::is_wanted;
use crate::peer::{Peer, Statements};
use crate::service::Service;

const SENDERS: usize = 256;

/// Sockets in rooms when memory is measured, in so many chats.
const SOCKETS: [usize; 2] = [1000, 3000];
const CHATS: usize = 100;

pub async fn section(tables: &mut Tables) {
    if !["message", "sockets"].into_iter().any(is_wanted) {
        return;
    }
    let database = Database::create().await;
    Service::start(&database).stop();
    chats::create_with_history(&mut database.session().await, 500, 100, MESSAGE).await;
    if is_wanted("message") {
        sends(&database, tables).await;
    }
    if is_wanted("sockets") {
        sockets(&database, tables).await;
    }
}

/// The service, and the peer if there is one.
fn start(database: &Database) -> (Service, Option<Peer>, Vec<Target>) {
    let (service, peer) = (Service::start(database), Peer::start(database, Statements::Own));
    let targets = [service.target()].into_iter().chain(peer.as_ref().map(Peer::target)).collect();
    (service, peer, targets)
}

async fn sends(database: &Database, tables: &mut Tables) {
    let rounds: usize = setting("BENCH_CHAT_ROUNDS", 3);
    let duration = Duration::from_secs(setting("BENCH_CHAT_ROUND_S", 2));
    let (service, _peer, targets) = start(database);
    assert_same_event(database, &targets).await;
    let mut reached: [Vec<Sends>; 2] = Default::default();
    // The first round warms up.
    for round in 0..=rounds {
        let mut turns: Vec<_> = targets.iter().zip(&mut reached).collect();
        if round % 2 == 1 {
            turns.reverse();
        }
        for (target, reached) in turns {
            let chats = chats::create(&mut database.session().await, SENDERS / SENDERS_PER_CHAT, 2).await;
            let sends = send_for(*target, &chats, SENDERS, duration).await;
            assert_stored(database, &chats, sends.per_s * duration.as_secs_f64()).await;
            say(&format!("messages, round {round}: {:.0}/s at {:.1} us", sends.per_s, sends.cpu_us));
            if round > 0 {
                reached.push(sends);
            }
        }
    }
    service.stop();
    let line = |name: &str, unit, value: fn(&Sends) -> f64| {
        let values = reached.each_ref().map(|side| side.iter().map(value).collect::<Vec<_>>());
        let [service, peer] = values;
        Line::new(format!("message: {name}"), unit, service).beside(peer)
    };
    tables.aims.extend([
        line("CPU of the server", "us", |sends| sends.cpu_us).aim(Aim::AtMost(22.0)),
        line("acknowledged messages/s", "", |sends| sends.per_s),
    ]);
}

/// Checks that the others in a chat receive the same event from each server.
async fn assert_same_event(database: &Database, targets: &[Target]) {
    let chats = chats::create(&mut database.session().await, targets.len(), 2).await;
    let events = join_all(targets.iter().zip(&chats).map(|(target, chat)| new_message(*target, chat))).await;
    assert!(events.iter().all(|event| *event == events[0]), "events differ: {events:?}");
}

/// What the others in a chat receive, as names and text: ids and times differ.
async fn new_message(server: Target, chat: &Chat) -> (Vec<String>, Value) {
    let (events, mut heard) = mpsc::channel(64);
    let clients = join(server, chat, 2, &events).await;
    assert_acked(&clients[0].ask("send_message", &message(chat, "first")).await.expect("an answer"));
    let event = async {
        loop {
            let event = heard.recv().await.expect("an event");
            if event.is("new_message") {
                return event.payload();
            }
        }
    };
    let event = timeout(PATIENCE, event).await.expect("a message in time");
    let mut names: Vec<_> = event.as_object().expect("an object").keys().cloned().collect();
    names.sort();
    (names, event["message"].clone())
}

/// Checks that at least so many messages are stored, without gaps.
async fn assert_stored(database: &Database, chats: &[Chat], least: f64) {
    let ids: Vec<_> = chats.iter().map(|chat| chat.id.as_str()).collect();
    let counts = "select count(*), (select sum(last_seq)::bigint from stm.chats where id = any($1::uuid[]))
                  from stm.messages where chat_id = any($1::uuid[])";
    let counts = sqlx::query_as(counts).bind(ids).fetch_one(&mut database.session().await).await;
    let (stored, numbered): (i64, i64) = counts.expect("counts");
    assert!(stored as f64 >= least && stored == numbered, "{stored} messages are stored, {least} acknowledged");
}

async fn sockets(database: &Database, tables: &mut Tables) {
    let rounds: usize = setting("BENCH_CHAT_ROUNDS", 3);
    // Per side, number of sockets and round.
    let mut kib: [[Vec<f64>; SOCKETS.len()]; 2] = Default::default();
    for round in 1..=rounds {
        let (service, _peer, targets) = start(database);
        for (target, kib) in targets.iter().zip(&mut kib) {
            let reached = kib_per_socket(*target, database).await;
            say(&format!("sockets, round {round}: {reached:.1?} KiB each"));
            kib.iter_mut().zip(reached).for_each(|(rounds, kib)| rounds.push(kib));
        }
        service.stop();
    }
    let [service, peer] = kib;
    let lines = SOCKETS.iter().zip(service).zip(peer).map(|((sockets, service), peer)| {
        let line = Line::new(format!("resident memory per socket, {sockets} joined"), "KiB", service).beside(peer);
        if *sockets == SOCKETS[0] { line.aim(Aim::AtMost(30.0)) } else { line }
    });
    tables.aims.extend(lines);
}

/// The additional resident memory per socket, with each number of sockets.
async fn kib_per_socket(server: Target, database: &Database) -> [f64; SOCKETS.len()] {
    let chats = chats::create(&mut database.session().await, CHATS, 2).await;
    sleep(Duration::from_secs(1)).await;
    let before = resident_kib(server.pid);
    let (mut clients, mut kib) = (Vec::new(), [0.0; SOCKETS.len()]);
    for (sockets, kib) in SOCKETS.iter().zip(&mut kib) {
        let more = (sockets - clients.len()) / CHATS;
        for chat in &chats {
            clients.extend(join(server, chat, more, &nowhere()).await);
        }
        sleep(Duration::from_secs(1)).await;
        *kib = (resident_kib(server.pid) - before) / *sockets as f64;
    }
    kib
}
