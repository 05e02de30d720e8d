//! The schema, its migrations, and the plans of the searches.

mod explain;
mod functions;
mod migrations;
mod schema;
