//! What breaks: secrets, servers, connections and clients.

mod chaos;
mod connections;
mod drops;
mod hang_ups;
mod outage;
mod pause;
mod read_only;
mod stalled;
mod startup;
mod stopped;
mod supavisor;
