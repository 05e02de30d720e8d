//! A job, from its booking to its review.

mod booking;
mod deadlines;
mod lifecycle;
mod model;
mod offers;
mod races;
mod story;
