//! What breaks: secrets, servers, connections and clients.

mod chaos;
mod connections;
mod drops;
mod hang_ups;
mod mail;
mod outage;
mod pause;
mod stalled;
mod startup;
