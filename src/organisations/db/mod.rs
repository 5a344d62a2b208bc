//! The SQL of organisations.

pub(super) mod invitations;
pub(super) mod members;
pub(super) mod roles;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use super::{CustomerLine, Member, Membership, Organisation, Short};
use crate::error::Result;
use crate::ids::{OrganisationId, UserId};
use crate::ledger::{money, rate};

pub(super) async fn insert(
    connection: &mut PgConnection,
    id: OrganisationId,
    name: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!("insert into organisations (id, name, created_at) values ($1, $2, $3)", id.uuid(), name, now)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn insert_member(
    connection: &mut PgConnection,
    id: OrganisationId,
    user: UserId,
    role: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into members (organisation_id, user_id, role, created_at) values ($1, $2, $3, $4)",
        id.uuid(),
        user.uuid(),
        role,
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn select_of_member(
    connection: &mut PgConnection,
    user: UserId,
    wanted: Option<OrganisationId>,
) -> Result<Option<Membership>> {
    let found = sqlx::query!(
        r#"select o.id as "id: OrganisationId", o.number, o.name, o.created_at, m.role, r.permissions as "patterns?"
           from organisations o join members m on m.organisation_id = o.id left join roles r on r.id = m.role_id
           where m.user_id = $1 and ($2::uuid is null or o.id = $2)
           order by o.number limit 1"#,
        user.uuid(),
        wanted.map(OrganisationId::uuid),
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.map(|row| {
        let organisation = Organisation { id: row.id, number: row.number, name: row.name, created_at: row.created_at };
        Membership::new(organisation, row.role.as_deref(), row.patterns.as_deref())
    }))
}

pub(super) async fn select(pool: &PgPool, id: OrganisationId) -> Result<Option<Organisation>> {
    let found = sqlx::query_as!(
        Organisation,
        r#"select id as "id: OrganisationId", number, name, created_at from organisations where id = $1"#,
        id.uuid()
    )
    .fetch_optional(pool)
    .await?;
    Ok(found)
}

pub(super) async fn select_members(
    connection: &mut PgConnection,
    id: OrganisationId,
    limit: i64,
) -> Result<Vec<Member>> {
    let members = sqlx::query!(
        r#"select u.id as "user: UserId", u.name, u.email, m.role, r.permissions as "patterns?"
           from members m join users u on u.id = m.user_id left join roles r on r.id = m.role_id
           where m.organisation_id = $1 order by u.number limit $2"#,
        id.uuid(),
        limit,
    )
    .fetch_all(connection)
    .await?
    .into_iter()
    .map(|row| Member {
        user: row.user,
        name: row.name,
        email: row.email,
        permissions: Membership::permissions_of(row.role.as_deref(), row.patterns.as_deref()),
    });
    Ok(members.collect())
}

pub(super) async fn select_name(connection: &mut PgConnection, id: OrganisationId) -> Result<Option<String>> {
    let name = sqlx::query_scalar!("select name from organisations where id = $1", id.uuid());
    Ok(name.fetch_optional(connection).await?)
}

/// Which customers to list.
#[derive(Debug, Default)]
pub(super) struct Filter<'a> {
    pub search: Option<&'a str>,
    pub after: Option<OrganisationId>,
    pub only: Option<OrganisationId>,
    pub short: Option<Short>,
}

pub(super) async fn select_lines(pool: &PgPool, filter: &Filter<'_>, limit: i64) -> Result<Vec<CustomerLine>> {
    let (ending_before, empty) = match filter.short {
        None => (None, false),
        Some(Short::EndingBefore(until)) => (Some(until), false),
        Some(Short::Empty) => (None, true),
    };
    let rows = sqlx::query!(
        r#"select o.id as "id: OrganisationId", o.number, o.name, o.created_at, u.name as owner_name, u.email as owner_email,
                  w.balance, w.burn, w.runs_out_at, w.exhausted_at,
                  (select count(*) from vms v where v.organisation_id = o.id and v.deleted_at is null) as "vms!",
                  (select count(*) from vms v where v.organisation_id = o.id and v.deleted_at is null and v.state = 'running') as "vms_running!"
           from organisations o
           join wallets w on w.organisation_id = o.id
           join lateral (select u.name, u.email from members m join users u on u.id = m.user_id
                         where m.organisation_id = o.id and m.role = 'owner' order by u.number limit 1) u on true
           where ($1::text is null or strpos(lower(o.name), lower($1)) > 0 or strpos(lower(u.email), lower($1)) > 0)
             and ($2::uuid is null or o.id < $2)
             and ($3::uuid is null or o.id = $3)
             and ($5::timestamptz is null or (w.exhausted_at is null and w.runs_out_at <= $5)) and (not $6 or w.exhausted_at is not null)
           order by o.id desc limit $4"#,
        filter.search,
        filter.after.map(OrganisationId::uuid),
        filter.only.map(OrganisationId::uuid),
        limit,
        ending_before,
        empty,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(CustomerLine {
                id: row.id,
                number: row.number,
                name: row.name,
                owner_name: row.owner_name,
                owner_email: row.owner_email,
                vms: row.vms,
                vms_running: row.vms_running,
                balance: money(row.balance)?,
                burn_per_hour: rate(row.burn)?,
                runs_out_at: row.runs_out_at,
                exhausted_at: row.exhausted_at,
                created_at: row.created_at,
            })
        })
        .collect()
}
