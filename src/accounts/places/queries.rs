//! SQL of places.

use super::http::ZipCodePlaceView;
use doors::Pooler;

/// Lists the places of a ZIP code, at most ten. The loaded ones alone, if there are any; else "City, ST" as customers and
/// providers with this ZIP code have given it, the most frequent first.
pub(super) async fn list(pooler: &Pooler, zip: &str) -> sqlx::Result<Vec<ZipCodePlaceView>> {
    sqlx::query_as!(
        ZipCodePlaceView,
        r#"with loaded as (
               select city, state, position::bigint as place from stm.zip_places where zip_code = $1
           ), named as (
               select btrim(c.city) as city, upper(btrim(c.state)) as state
               from stm.customers c
               where c.zipcode = $1
               union all
               select btrim(split_part(p.location, ',', 1)), upper(btrim(split_part(p.location, ',', 2)))
               from stm.provider_zip_codes z
               join stm.providers p on p.id = z.provider_id and p.status = 'active'
               where z.zip_code = $1 and z.position = 1 and p.location ~ '^[^,]+,[^,]+$'
           ), counted as (
               select city, state, -count(*) as place
               from named
               where city ~ '^[[:alpha:]][[:alpha:] .''-]{0,99}$' and state ~ '^[A-Z]{2}$'
               group by city, state
           )
           select city as "city!", state as "state!"
           from (
               select city, state, place from loaded
               union all
               select city, state, place from counted where not exists (select from loaded)
           ) known
           order by place, city, state
           limit 10"#,
        zip,
    )
    .fetch_all(pooler)
    .await
}
