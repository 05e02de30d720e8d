//! The schema, its migrations, and the plans of the searches.

mod explain;
mod migrations;
mod schema;
