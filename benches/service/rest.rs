//! REST: a profile, a page of messages and a booking.

use std::time::Duration;

use testing::Database;
use testing::chat_load::MESSAGE;
use testing::chats;
use testing::report::{Aim, Figure};

use crate::aims::{Line, Tables};
use crate::compare::{Side, compare};
use crate::peer::{Peer, Statements};
use crate::service::Service;
use crate::{booking, is_wanted, same, workloads};

/// Chats, and messages in each.
const CHATS: (usize, usize) = (500, 100);

pub async fn section(tables: &mut Tables) {
    if !["profile", "page", "booking"].into_iter().any(is_wanted) {
        return;
    }
    let database = Database::create().await;
    Service::start(&database).stop();
    let tokens = workloads::seed(&database).await;
    let chats = chats::create_with_history(&mut database.session().await, CHATS.0, CHATS.1, MESSAGE).await;
    let service = Service::start(&database);
    tokio::time::sleep(Duration::from_secs(2)).await;
    tables.details.push(Figure::new("resident memory, idle", "MiB", vec![service.resident_mib()]).at_most(20.0));
    let peer = Peer::start(&database, Statements::Own);
    let peer_with_ours = Peer::start(&database, Statements::Ours);
    let sides: Vec<_> = [
        Some(Side { name: "service", server: service.target() }),
        peer.as_ref().map(|peer| Side { name: "Fastify", server: peer.target() }),
        peer_with_ours.as_ref().map(|peer| Side { name: "Fastify, our statements", server: peer.target() }),
    ]
    .into_iter()
    .flatten()
    .collect();
    for mut workload in [workloads::profile(&tokens), workloads::page(&chats), booking::booking(&tokens)] {
        if is_wanted(workload.name) {
            // A read is one statement: there is nothing to choose.
            let sides = if workload.makes_jobs { &sides[..] } else { &sides[..sides.len().min(2)] };
            same::check(sides, &database, &workload).await;
            compare(sides, &database, &mut workload, tables).await;
        }
    }
    let line = Line::new("resident memory after this load", "MiB", vec![service.resident_mib()]);
    let peer = peer.iter().map(Peer::resident_mib).collect();
    tables.aims.push(line.beside(peer).aim(Aim::AtMost(40.0)));
    service.stop();
}
