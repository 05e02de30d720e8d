pub(super) fn routes() -> utoipa_axum::router::OpenApiRouter<crate::state::ApiState> {
    utoipa_axum::router::OpenApiRouter::new()
}
