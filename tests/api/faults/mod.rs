//! What breaks: secrets, servers, connections and clients.

mod canaries;
mod chaos;
mod connections;
mod drops;
mod hang_ups;
mod logs;
mod mail;
mod malware;
mod outage;
mod pause;
mod read_only;
mod refused_bodies;
mod slow_clients;
mod stalled;
mod startup;
mod stopped;
mod supavisor;
mod tasks;
mod uploads;
