//! The REST API, a file per feature.

mod access;
mod accounts;
mod answers;
mod auth;
mod customers;
mod demo;
mod disputes;
mod docs;
mod errors;
mod guessing;
mod idempotency;
mod jobs;
mod limits;
mod notifications;
mod payments;
mod provider;
mod provider_jobs;
mod reading;
mod requests;
mod reviews;
mod search;
mod service_requests;
mod services;
mod supabase_auth;
mod tokens;
mod validators;
