//! Chat, over REST and live.

mod lists;
mod live;
mod main_job;
mod messages;
