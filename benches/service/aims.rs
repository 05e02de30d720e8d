//! The table of aims: the service beside the Fastify peer, ratios first.

use testing::report::{Aim, Figure, decimals, median};

/// The tables that the sections add lines to.
#[derive(Default)]
pub struct Tables {
    pub aims: Vec<Line>,
    pub details: Vec<Figure>,
}

/// A figure of the service, of the peer, and of the peer with the service's statements; a value per round.
pub struct Line {
    name: String,
    unit: &'static str,
    service: Vec<f64>,
    peers: Vec<Vec<f64>>,
    aim: Option<Aim>,
}

impl Line {
    pub fn new(name: impl Into<String>, unit: &'static str, service: Vec<f64>) -> Self {
        Self { name: name.into(), unit, service, peers: Vec::new(), aim: None }
    }

    /// Adds what the peer reached in the same rounds; first the peer with its own statements.
    #[must_use]
    pub fn beside(mut self, peer: Vec<f64>) -> Self {
        if !peer.is_empty() {
            self.peers.push(peer);
        }
        self
    }

    #[must_use]
    pub fn aim(self, aim: Aim) -> Self {
        Self { aim: Some(aim), ..self }
    }

    fn print(&self) {
        let service = median(self.service.clone());
        let ratio = self
            .peers
            .first()
            .map(|peer| median(self.service.iter().zip(peer).map(|(service, peer)| service / peer).collect()));
        let ratio = ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        let digits = |value: f64| format!("{value:.*}", decimals(value));
        let peer =
            |place: usize| self.peers.get(place).map_or_else(|| "-".to_owned(), |peer| digits(median(peer.clone())));
        let aim = self.aim.map(|aim| aim.words(service)).unwrap_or_default();
        println!(
            "{:<48} {ratio:>10} {:>9} {:>9} {:>9} {:<4} {aim}",
            self.name,
            digits(service),
            peer(0),
            peer(1),
            self.unit
        );
    }
}

/// Prints the medians. `missing` says why there is no peer.
pub fn print(lines: &[Line], missing: Option<&str>) {
    println!(
        "\n{:<48} {:>10} {:>9} {:>9} {:>9} {:<4} aim of the service",
        "Aims (medians)", "of Fastify", "service", "Fastify", "*", ""
    );
    lines.iter().for_each(Line::print);
    if let Some(reason) = missing {
        println!("NOT RUN: the Fastify peer: {reason}");
    } else if lines.iter().any(|line| !line.peers.is_empty()) {
        println!(
            "\nFastify, node-postgres and socket.io (benches/peer) in one process, behind the same pooler; it leaves the \
             same rows.\n* booking with the service's statements instead of plain ones. CPU: for each request or message."
        );
    }
}
