//! The SQL of telling customers what changes: which version they are told of, and how far the telling has come.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::select_prices;
use crate::error::Result;
use crate::ids::{OrganisationId, PriceListId, PriceListVersionId};
use crate::pricing::lists::Prices;

/// A version whose customers are to be told.
pub(in crate::pricing) struct ToAnnounce {
    pub id: PriceListVersionId,
    pub list: PriceListId,
    pub number: i32,
    pub effective_from: DateTime<Utc>,
    pub note: String,
    pub withdrawn_at: Option<DateTime<Utc>>,
    pub through: Option<OrganisationId>,
}

/// The oldest of them, locked. Who comes second takes another or waits for its turn.
pub(in crate::pricing) async fn lock_to_announce(connection: &mut PgConnection) -> Result<Option<ToAnnounce>> {
    let found = sqlx::query_as!(
        ToAnnounce,
        r#"select id as "id: PriceListVersionId", price_list_id as "list: PriceListId", number, effective_from, note, withdrawn_at, announced_through as "through: OrganisationId"
           from price_list_versions where announcing_since is not null and announced_at is null
           order by announcing_since limit 1 for update skip locked"#
    )
    .fetch_optional(connection)
    .await?;
    Ok(found)
}

/// The prices before a version: those of the one that is in force until it begins.
pub(in crate::pricing) async fn select_prices_before(
    connection: &mut PgConnection,
    version: &ToAnnounce,
) -> Result<Prices> {
    let before = sqlx::query_scalar!(
        r#"select id as "id: PriceListVersionId" from price_list_versions
           where price_list_id = $1 and effective_from < $2 and withdrawn_at is null order by effective_from desc limit 1"#,
        version.list.uuid(),
        version.effective_from,
    )
    .fetch_optional(&mut *connection)
    .await?;
    match before {
        Some(before) => select_prices(connection, before).await,
        None => Ok(Prices::new()),
    }
}

/// The next organisations that were told of a version.
pub(in crate::pricing) async fn select_told(
    connection: &mut PgConnection,
    key: &str,
    after: Option<OrganisationId>,
    limit: i64,
) -> Result<Vec<OrganisationId>> {
    let told = sqlx::query_scalar!(
        r#"select organisation_id as "id: OrganisationId" from notifications
           where key = $1 and ($2::uuid is null or organisation_id > $2) order by organisation_id limit $3"#,
        key,
        after.map(OrganisationId::uuid),
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(told)
}

/// Writes down how far the telling has come; `done` when there is nobody left.
pub(in crate::pricing) async fn update_announced(
    connection: &mut PgConnection,
    version: PriceListVersionId,
    told: i32,
    through: Option<OrganisationId>,
    done: Option<DateTime<Utc>>,
) -> Result<()> {
    sqlx::query!(
        "update price_list_versions set announced_to = announced_to + $2, announced_through = coalesce($3, announced_through), announced_at = $4 where id = $1",
        version.uuid(),
        told,
        through.map(OrganisationId::uuid),
        done,
    )
    .execute(connection)
    .await?;
    Ok(())
}
