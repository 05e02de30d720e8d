//! SQL of a provider's availability.

use super::http::{ConfirmedProviderView, ConfirmedView};
use crate::providers::ProviderStatus;
use crate::types::{ProviderId, UserId};
use doors::{Pooler, Tx};

/// Records that a provider confirms its availability now. Returns `None` if the user is not a provider, or is banned.
pub(super) async fn set_confirmed(tx: &mut Tx<Pooler>, user_id: UserId) -> sqlx::Result<Option<ConfirmedView>> {
    let row = sqlx::query!(
        r#"update stm.providers
           set last_availability_confirmed_at = now(), updated_at = now()
           where user_id = $1 and status <> 'banned'
           returning id as "id: ProviderId", business_name, status as "status: ProviderStatus",
                     last_availability_confirmed_at as "confirmed_at!""#,
        user_id.0,
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|row| {
        let confirmed_at = row.confirmed_at.into();
        ConfirmedView {
            success: true,
            message: "Availability confirmed",
            confirmed_at,
            provider: ConfirmedProviderView {
                id: row.id,
                business_name: row.business_name,
                status: row.status,
                last_availability_confirmed_at: confirmed_at,
            },
        }
    }))
}
