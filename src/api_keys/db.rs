//! The SQL of API keys.

use billing::Money;
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use super::check::{ByKey, Found, permissions};
use super::{ApiKey, Stored};
use crate::error::{Error, OnConstraint, Result};
use crate::ids::{ApiKeyId, OrganisationId, UserId};
use crate::ledger::money;
use crate::organisations::{Membership, Organisation};
use crate::sessions::Assurance;
use crate::users::{PlatformRole, User, UserState};

/// One query for who is asking: key, maker, and his place in the organisation that the key is of.
pub(super) async fn select_by_hash(pool: &PgPool, hash: &[u8], now: DateTime<Utc>) -> Result<Option<Found>> {
    let row = sqlx::query!(
        r#"select k.id as "id: ApiKeyId", k.name, k.permissions as key_patterns, k.networks::text[] as "networks!", k.daily_limit, k.last_used_at, k.refused_at,
                  u.id as "user_id: UserId", u.number as user_number, u.email, u.name as user_name, u.platform_role, u.state,
                  u.email_verified_at is not null as "is_verified!", u.epoch,
                  m.role, r.permissions as "patterns?", o.id as "organisation_id: OrganisationId", o.number, o.name as organisation_name, o.created_at,
                  o.second_factor_required and not (exists (select 1 from totp_secrets where user_id = u.id and confirmed_at is not null)
                      or exists (select 1 from passkeys where user_id = u.id)) as "missing_for_organisation!",
                  coalesce(q.api_requests_per_minute, d.api_requests_per_minute) as "requests_per_minute!"
           from api_keys k
           join users u on u.id = k.user_id
           join organisations o on o.id = k.organisation_id
           join members m on m.organisation_id = k.organisation_id and m.user_id = k.user_id
           left join roles r on r.id = m.role_id
           left join quotas q on q.organisation_id = o.id
           cross join default_quotas d
           where k.key_hash = $1 and k.revoked_at is null and (k.expires_at is null or k.expires_at > $2) and u.state <> 'banned'"#,
        hash,
        now,
    )
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let organisation = Organisation {
        id: row.organisation_id,
        number: row.number,
        name: row.organisation_name,
        created_at: row.created_at,
    };
    let place = Membership::new(organisation, row.role.as_deref(), row.patterns.as_deref());
    let maker = User {
        id: row.user_id,
        number: row.user_number,
        email: row.email,
        name: row.user_name,
        platform_role: row.platform_role.as_deref().and_then(PlatformRole::parse),
        state: UserState::parse(&row.state),
        is_verified: row.is_verified,
        epoch: row.epoch,
    };
    Ok(Some(Found {
        by: ByKey {
            id: row.id,
            name: row.name,
            maker,
            permissions: permissions(&row.key_patterns, place.permissions),
            organisation: place.organisation,
            assurance: Assurance { missing_for_organisation: row.missing_for_organisation, ..Assurance::default() },
            daily_limit: row.daily_limit.map(money).transpose()?,
            requests_per_minute: row.requests_per_minute,
        },
        networks: row.networks,
        last_used_at: row.last_used_at,
        refused_at: row.refused_at,
    }))
}

pub(super) async fn select(
    pool: &PgPool,
    organisation: OrganisationId,
    only: Option<ApiKeyId>,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<ApiKey>> {
    let rows = sqlx::query!(
        r#"select k.id as "id: ApiKeyId", k.name, k.prefix, k.permissions as key_patterns, k.networks::text[] as "networks!", k.daily_limit,
                  k.created_at, k.expires_at, k.last_used_at, k.last_used_address, k.revoked_at is not null as "revoked!",
                  coalesce(k.expires_at <= $3, false) as "expired!", u.email, u.state, m.user_id is not null as "is_member!",
                  m.role as "role?", r.permissions as "patterns?", o.number, o.name as organisation_name, o.created_at as organisation_created_at
           from api_keys k
           join users u on u.id = k.user_id
           join organisations o on o.id = k.organisation_id
           left join members m on m.organisation_id = k.organisation_id and m.user_id = k.user_id
           left join roles r on r.id = m.role_id
           where k.organisation_id = $1 and ($2::uuid is null or k.id = $2)
           order by k.revoked_at is not null, k.id desc limit $4"#,
        organisation.uuid(),
        only.map(ApiKeyId::uuid),
        now,
        limit,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let own = Organisation {
                id: organisation,
                number: row.number,
                name: row.organisation_name,
                created_at: row.organisation_created_at,
            };
            let place = Membership::new(own, row.role.as_deref(), row.patterns.as_deref());
            let stored = Stored {
                revoked: row.revoked,
                expired: row.expired,
                is_member: row.is_member,
                maker: UserState::parse(&row.state),
            };
            Ok(ApiKey {
                id: row.id,
                name: row.name,
                prefix: row.prefix,
                permissions: permissions(&row.key_patterns, place.permissions),
                patterns: row.key_patterns,
                networks: row.networks,
                daily_limit: row.daily_limit.map(money).transpose()?,
                made_by: row.email,
                created_at: row.created_at,
                expires_at: row.expires_at,
                last_used_at: row.last_used_at,
                last_used_address: row.last_used_address,
                standing: stored.standing(),
            })
        })
        .collect()
}

/// How many keys that are not revoked an organisation has. Nobody else adds one until the transaction ends.
pub(super) async fn count_for_update(connection: &mut PgConnection, organisation: OrganisationId) -> Result<i64> {
    sqlx::query!("select id from organisations where id = $1 for no key update", organisation.uuid())
        .fetch_optional(&mut *connection)
        .await?;
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from api_keys where organisation_id = $1 and revoked_at is null"#,
        organisation.uuid()
    )
    .fetch_one(connection)
    .await?)
}

pub(super) struct NewRow<'a> {
    pub id: ApiKeyId,
    pub organisation: OrganisationId,
    pub maker: UserId,
    pub name: &'a str,
    pub prefix: &'a str,
    pub hash: Vec<u8>,
    pub patterns: &'a [String],
    pub networks: &'a [String],
    pub daily_limit: Option<Money>,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
}

pub(super) async fn insert(connection: &mut PgConnection, new: &NewRow<'_>) -> Result<()> {
    sqlx::query!(
        "insert into api_keys (id, organisation_id, user_id, name, prefix, key_hash, permissions, networks, daily_limit, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8::text[]::cidr[], $9, $10, $11)",
        new.id.uuid(),
        new.organisation.uuid(),
        new.maker.uuid(),
        new.name,
        new.prefix,
        new.hash,
        new.patterns,
        new.networks,
        new.daily_limit.map(Money::to_decimal),
        new.created_at,
        new.expires_at,
    )
    .execute(connection)
    .await
    .on_constraint("api_keys_name_once", || Error::invalid("name", "There is a key of this name already."))?;
    Ok(())
}

/// Its name and how it begins, if there is one to revoke.
pub(super) async fn revoke(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    id: ApiKeyId,
    now: DateTime<Utc>,
) -> Result<Option<(String, String)>> {
    let row = sqlx::query!(
        "update api_keys set revoked_at = $3 where organisation_id = $1 and id = $2 and revoked_at is null returning name, prefix",
        organisation.uuid(),
        id.uuid(),
        now,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| (row.name, row.prefix)))
}

/// A key that was just taken back.
pub(super) struct Revoked {
    pub id: ApiKeyId,
    pub organisation: OrganisationId,
    pub name: String,
    pub prefix: String,
}

pub(super) async fn revoke_all_of(
    connection: &mut PgConnection,
    maker: UserId,
    organisation: Option<OrganisationId>,
    now: DateTime<Utc>,
) -> Result<Vec<Revoked>> {
    Ok(sqlx::query_as!(
        Revoked,
        r#"update api_keys set revoked_at = $3
           where user_id = $1 and ($2::uuid is null or organisation_id = $2) and revoked_at is null
           returning id as "id: ApiKeyId", organisation_id as "organisation: OrganisationId", name, prefix"#,
        maker.uuid(),
        organisation.map(OrganisationId::uuid),
        now,
    )
    .fetch_all(connection)
    .await?)
}

pub(super) async fn write_use(pool: &PgPool, id: ApiKeyId, address: Option<&str>, now: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "update api_keys set last_used_at = $3, last_used_address = $2 where id = $1 and (last_used_at is null or last_used_at < $3)",
        id.uuid(),
        address,
        now,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Whether nobody has written it down since.
pub(super) async fn mark_refused(
    connection: &mut PgConnection,
    id: ApiKeyId,
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool> {
    let changed = sqlx::query!(
        "update api_keys set refused_at = $3 where id = $1 and (refused_at is null or refused_at <= $2)",
        id.uuid(),
        since,
        now,
    )
    .execute(connection)
    .await?;
    Ok(changed.rows_affected() == 1)
}
