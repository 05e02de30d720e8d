//! Providers of everybody: the list, one provider, bans and other changes of status.

mod bans;
mod http;
mod queries;

use utoipa_axum::router::OpenApiRouter;

use crate::state::ApiState;

pub(super) use bans::change;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    http::routes().merge(bans::routes())
}
