//! The message writer compared with one full statement per message on 15 connections, without sockets: the same
//! statement, on the same tables, for the same senders.

use std::sync::Arc;
use std::time::{Duration, Instant};

use doors::url::{ConnectionString, Secret};
use doors::{Direct, DirectSettings};
use futures_util::future::join_all;
use secrecy::SecretString;
use stm_backend::chat::MessageType;
use stm_backend::chat::live::insert_messages::{NewMessage, SendOutcome, insert_messages};
use stm_backend::chat::live::{Outgoing, Rooms, Writer};
use stm_backend::config::{DIRECT_SESSION, Heartbeat};
use stm_backend::files::FileUrls;
use stm_backend::realtime::{Bulkhead, Connections};
use stm_backend::supervision::{Health, Tasks};
use stm_backend::types::{ChatId, MessageId, UserId};
use testing::Database;
use testing::report::{Figure, say};
use tokio::sync::{Notify, oneshot};
use uuid::Uuid;

use crate::{Bench, MESSAGE, PGBENCH_CLIENTS, SENDERS, SENDERS_PER_CHAT, Served, Yardstick};

/// Somebody who sends.
#[derive(Clone, Copy)]
struct Sender {
    chat_id: ChatId,
    user_id: UserId,
}

/// What one number of senders reached in a round.
struct Reached {
    per_s: f64,
    p99_ms: f64,
}

/// One of the two ways.
#[derive(Clone)]
enum Way {
    /// With its tasks.
    Writer(Writer, #[expect(dead_code, reason = "they are kept")] Arc<Tasks>),
    OneByOne(Direct),
}

/// Adds the ratio of the two, and what the writer reaches.
pub fn section(bench: &mut Bench) {
    let (rounds, round) = (bench.rounds, bench.round);
    // As many threads as the service has.
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (measured, inserts) = runtime.block_on(async {
        let served = Served::start().await;
        let yardstick = Yardstick::new(&served.database).await;
        let mut inserts = Vec::new();
        let ways = ways(&served.database);
        let mut measured: [Vec<[Reached; 2]>; SENDERS.len()] = std::array::from_fn(|_| Vec::new());
        for number in 0..rounds {
            inserts.push(yardstick.run(round).await);
            for (senders, measured) in SENDERS.iter().zip(&mut measured) {
                let senders = senders_of(&served, *senders).await;
                let mut reached = Vec::new();
                // The two ways take turns in going first.
                for index in [number % 2, (number + 1) % 2] {
                    reached.push((index, send_for(&ways[index], &senders, round).await));
                }
                reached.sort_by_key(|(index, _)| *index);
                let [writer, one_by_one] =
                    reached.into_iter().map(|(_, reached)| reached).collect::<Vec<_>>().try_into().ok().expect("two");
                say(&format!(
                    "round {}: {} senders, writer {:.0}/s, one by one {:.0}/s",
                    number + 1,
                    senders.len(),
                    writer.per_s,
                    one_by_one.per_s
                ));
                measured.push([writer, one_by_one]);
            }
        }
        (measured, inserts)
    });
    for (senders, measured) in SENDERS.iter().zip(&measured) {
        let ratio = measured.iter().map(|[writer, one_by_one]| writer.per_s / one_by_one.per_s).collect();
        let line = Figure::new(format!("{senders} sending: writer / a statement per message"), "", ratio);
        bench.ratios.push(match senders {
            1 => line.at_least(0.9),
            256 => line.at_least(5.0),
            _ => line,
        });
        let ratio = measured.iter().zip(&inserts).map(|([writer, _], inserts)| writer.per_s / inserts).collect();
        let line = Figure::new(format!("{senders} sending: writer / pgbench's single inserts"), "", ratio);
        bench.ratios.push(if *senders == 256 { line.at_least(1.5) } else { line });
        let of = |value: fn(&[Reached; 2]) -> f64| measured.iter().map(value).collect::<Vec<_>>();
        let p99 = Figure::new(format!("{senders} sending: writer, p99"), "ms", of(|[writer, _]| writer.p99_ms));
        bench.figures.extend([
            Figure::new(format!("{senders} sending: writer, messages/s"), "", of(|[writer, _]| writer.per_s)),
            if *senders == 256 { p99.at_most(100.0) } else { p99 },
            Figure::new(format!("{senders} sending: a statement each, messages/s"), "", of(|[_, one]| one.per_s)),
        ]);
    }
}

fn ways(database: &Database) -> [Way; 2] {
    let url = ConnectionString::parse(Secret::DirectUrl, &database.direct_url()).expect("a URL");
    let door = || {
        Direct::new(
            &url,
            &DirectSettings {
                max_connections: u32::try_from(PGBENCH_CLIENTS).expect("a few"),
                session: &DIRECT_SESSION,
                ..DirectSettings::default()
            },
        )
        .expect("a door")
    };
    let direct = door();
    let heartbeat = Heartbeat { interval: Duration::from_secs(25), timeout: Duration::from_secs(20) };
    let bulkhead = Bulkhead::new(direct.clone(), 3);
    let rooms = Rooms::new(bulkhead.clone(), FileUrls::new(&SecretString::from(""), "").expect("a key"), heartbeat);
    let tasks = Tasks::new(&Health::default());
    let writer = Writer::start(&tasks, &direct, &bulkhead, &rooms, &Connections::default(), &Arc::new(Notify::new()));
    [Way::Writer(writer, Arc::new(tasks)), Way::OneByOne(door())]
}

async fn senders_of(served: &Served, count: usize) -> Vec<Sender> {
    let chats = served.chats(count.div_ceil(SENDERS_PER_CHAT), 2).await;
    let of_chat = |chat: &crate::Chat| {
        let chat_id = ChatId(chat.id.parse().expect("an id"));
        chat.members
            .iter()
            .cycle()
            .take(SENDERS_PER_CHAT)
            .map(move |member| Sender { chat_id, user_id: UserId(member.id) })
            .collect::<Vec<_>>()
    };
    chats.iter().flat_map(of_chat).take(count).collect()
}

async fn send_for(way: &Way, senders: &[Sender], round: Duration) -> Reached {
    let warm = Instant::now() + round / 4;
    let end = warm + round;
    let sending = senders.iter().map(|&sender| {
        let way = way.clone();
        tokio::spawn(async move {
            let mut latencies = Vec::new();
            loop {
                let sent = Instant::now();
                if sent >= end {
                    return latencies;
                }
                send(&way, sender).await;
                if sent >= warm && Instant::now() <= end {
                    latencies.push(sent.elapsed());
                }
            }
        })
    });
    let latencies: Vec<_> = join_all(sending).await.into_iter().map(|sent| sent.expect("a sender")).collect();
    let mut latencies = latencies.concat();
    latencies.sort_unstable();
    assert!(!latencies.is_empty(), "{} senders: no message in {round:?}", senders.len());
    Reached {
        per_s: latencies.len() as f64 / round.as_secs_f64(),
        p99_ms: latencies[(latencies.len() - 1) * 99 / 100].as_secs_f64() * 1e3,
    }
}

/// Sends a message, and waits until it is committed.
async fn send(way: &Way, sender: Sender) {
    let id = MessageId(Uuid::now_v7());
    let message = NewMessage {
        id,
        chat_id: sender.chat_id,
        sender_id: sender.user_id,
        client_message_id: Some(id.to_string()),
        message: MESSAGE.into(),
        message_type: MessageType::Text,
    };
    match way {
        Way::Writer(writer, _) => {
            let (answered, answer) = oneshot::channel();
            let acknowledge = Box::new(move |answer: Result<_, _>| {
                let _nobody_waits = answered.send(answer.is_ok());
            });
            writer.send(Outgoing {
                message,
                sender: None,
                sending: None,
                acknowledge,
                received_at: tokio::time::Instant::now(),
            });
            assert!(answer.await.expect("an answer"), "a message was refused");
        }
        Way::OneByOne(direct) => {
            // Only one statement at a time can lock a chat's row, so another may exceed its time limit while it waits.
            while !matches!(insert_messages(direct, &[&message], &[]).await.as_deref(), Ok([SendOutcome::Stored(_)])) {}
        }
    }
}
