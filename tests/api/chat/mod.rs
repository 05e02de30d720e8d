//! Chat, over REST and live.

mod lifetime;
mod lists;
mod live;
mod main_job;
mod messages;
