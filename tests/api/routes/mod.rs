//! The REST API, a file per feature.

mod access;
mod accounts;
mod answers;
mod auth;
mod customers;
mod disputes;
mod docs;
mod errors;
mod files;
mod idempotency;
mod jobs;
mod notifications;
mod provider;
mod provider_jobs;
mod reading;
mod requests;
mod reviews;
mod search;
mod service_requests;
mod services;
mod tokens;
mod validators;
