//! SQL of a provider's pictures.

use sqlx::types::Json;
use uuid::Uuid;

use crate::files::{FileId, Purpose, Stored};
use crate::providers::types::GalleryImageRow;
use crate::types::{ProviderId, UserId};
use doors::{Pooler, Tx};

/// A picture that a provider has one of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Slot {
    Logo,
    Banner,
}

impl Slot {
    pub(super) const fn purpose(self) -> Purpose {
        match self {
            Self::Logo => Purpose::ProviderLogo,
            Self::Banner => Purpose::ProviderBanner,
        }
    }
}

/// The pictures of a provider.
#[derive(Debug)]
pub(super) struct ImagesRow {
    pub logo_file_id: Option<FileId>,
    pub logo_file_name: Option<String>,
    pub banner_file_id: Option<FileId>,
    pub banner_file_name: Option<String>,
    pub gallery: Json<Vec<GalleryImageRow>>,
}

pub(super) async fn find(pooler: &Pooler, user: UserId) -> sqlx::Result<Option<ImagesRow>> {
    sqlx::query_as!(
        ImagesRow,
        r#"select p.logo_file_id as "logo_file_id: FileId", p.logo_file_name, p.banner_file_id as "banner_file_id: FileId",
                  p.banner_file_name,
                  (select coalesce(jsonb_agg(jsonb_build_object('id', g.id, 'file_id', g.file_id, 'file_name', g.file_name,
                                                                'caption', g.caption) order by g.position, g.id), '[]')
                   from stm.gallery_images g where g.provider_id = p.id) as "gallery!: Json<Vec<GalleryImageRow>>"
           from stm.providers p
           where p.user_id = $1"#,
        user.0,
    )
    .fetch_optional(pooler)
    .await
}

/// Locks a user's provider row until the transaction ends: changes of its pictures come one after the other.
pub(super) async fn lock(tx: &mut Tx<Pooler>, user: UserId) -> sqlx::Result<Option<ProviderId>> {
    sqlx::query_scalar!(
        r#"select id as "id: ProviderId" from stm.providers where user_id = $1 for no key update"#,
        user.0
    )
    .fetch_optional(tx)
    .await
}

/// Sets a picture. Returns the former one.
pub(super) async fn set(
    tx: &mut Tx<Pooler>,
    provider: ProviderId,
    slot: Slot,
    file: &Stored,
) -> sqlx::Result<Option<FileId>> {
    match slot {
        Slot::Logo => {
            sqlx::query_scalar!(
                r#"update stm.providers p
                   set logo_file_id = $2, logo_file_name = $3, updated_at = now()
                   from (select id, logo_file_id from stm.providers where id = $1) former
                   where p.id = former.id
                   returning former.logo_file_id as "former: FileId""#,
                provider.0,
                file.id.0,
                file.name,
            )
            .fetch_one(tx)
            .await
        }
        Slot::Banner => {
            sqlx::query_scalar!(
                r#"update stm.providers p
                   set banner_file_id = $2, banner_file_name = $3, updated_at = now()
                   from (select id, banner_file_id from stm.providers where id = $1) former
                   where p.id = former.id
                   returning former.banner_file_id as "former: FileId""#,
                provider.0,
                file.id.0,
                file.name,
            )
            .fetch_one(tx)
            .await
        }
    }
}

pub(super) async fn count_gallery(tx: &mut Tx<Pooler>, provider: ProviderId) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"select count(*) as "count!" from stm.gallery_images where provider_id = $1"#, provider.0)
        .fetch_one(tx)
        .await
}

/// A picture that was added to a gallery.
#[derive(Debug)]
pub(super) struct NewImageRow {
    pub id: Uuid,
    pub position: i32,
}

/// Adds a picture at the end of a gallery whose provider is locked.
pub(super) async fn insert_gallery_image(
    tx: &mut Tx<Pooler>,
    provider: ProviderId,
    file: &Stored,
    caption: Option<&str>,
) -> sqlx::Result<NewImageRow> {
    sqlx::query_as!(
        NewImageRow,
        "insert into stm.gallery_images (provider_id, file_id, file_name, caption, position)
         select $1, $2, $3, $4, 1 + count(*) from stm.gallery_images where provider_id = $1
         returning id, position",
        provider.0,
        file.id.0,
        file.name,
        caption,
    )
    .fetch_one(tx)
    .await
}

pub(super) async fn list_gallery_ids(tx: &mut Tx<Pooler>, provider: ProviderId) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!("select id from stm.gallery_images where provider_id = $1 limit 1000", provider.0)
        .fetch_all(tx)
        .await
}

pub(super) async fn set_order(tx: &mut Tx<Pooler>, provider: ProviderId, ids: &[Uuid]) -> sqlx::Result<()> {
    sqlx::query!(
        "update stm.gallery_images g
         set position = wanted.position
         from unnest($2::uuid[]) with ordinality as wanted (id, position)
         where g.id = wanted.id and g.provider_id = $1",
        provider.0,
        ids,
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Deletes a picture of a gallery, and closes the gap. Returns its file.
pub(super) async fn delete_gallery_image(
    tx: &mut Tx<Pooler>,
    provider: ProviderId,
    id: Uuid,
) -> sqlx::Result<Option<FileId>> {
    sqlx::query_scalar!(
        r#"with gone as (
               delete from stm.gallery_images where id = $2 and provider_id = $1 returning file_id, position
           ), moved as (
               update stm.gallery_images g
               set position = g.position - 1
               from gone
               where g.provider_id = $1 and g.position > gone.position and g.id <> $2
           )
           select file_id as "file_id: FileId" from gone"#,
        provider.0,
        id,
    )
    .fetch_optional(tx)
    .await
}

/// Whether a picture is still shown in a gallery: the same bytes may be in it twice.
pub(super) async fn is_in_gallery(tx: &mut Tx<Pooler>, file: FileId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"select exists (select from stm.gallery_images where file_id = $1) as "is_shown!""#, file.0)
        .fetch_one(tx)
        .await
}
