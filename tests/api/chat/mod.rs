//! Chat, over REST and live.

mod late_news;
mod lifetime;
mod lists;
mod live;
mod main_job;
mod malformed;
mod messages;
