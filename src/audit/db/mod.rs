//! The SQL of audit events.

pub(super) mod chain;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use super::{Actor, ActorKind, AuditEvent, Detail, Event, Filter, Subject};
use crate::error::Result;
use crate::ids::{AuditEventId, OrganisationId, UserId};

pub(super) async fn insert(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
    actor: &Actor,
    organisation: Option<OrganisationId>,
    event: Event,
    subject: &Subject,
    detail: &Detail,
) -> Result<()> {
    let (key, behalf) = (actor.key(), actor.on_behalf());
    sqlx::query!(
        "insert into audit_events (id, at, organisation_id, actor_kind, actor_user_id, actor, actor_key_id, actor_key, on_behalf_user_id, on_behalf,
                                   event, subject_kind, subject_id, subject_name, detail, changes, address, user_agent, request_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
        AuditEventId::new().uuid(),
        now,
        organisation.map(OrganisationId::uuid),
        actor.kind().name(),
        actor.user().map(UserId::uuid),
        actor.name(),
        key.map(|(id, _)| id.uuid()),
        key.map(|(_, name)| name),
        behalf.map(|person| person.id.uuid()),
        behalf.map(|person| &person.email),
        event.name(),
        subject.kind,
        subject.id,
        subject.name,
        detail.facts,
        detail.changes.stored(),
        actor.address,
        actor.user_agent,
        actor.request_id,
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn select(pool: &PgPool, filter: &Filter, limit: i64) -> Result<Vec<AuditEvent>> {
    // What a customer is not shown he cannot find out by searching either.
    let events = sqlx::query_as!(
        AuditEvent,
        r#"select e.id as "id: AuditEventId", e.at, e.organisation_id as "organisation_id: OrganisationId", o.name as "organisation_name?",
                  e.actor_kind as "actor_kind: ActorKind", e.actor, e.actor_key, e.on_behalf, e.event, e.subject_kind, e.subject_id, e.subject_name,
                  e.detail, e.changes, e.address, e.user_agent, e.request_id
           from audit_events e left join organisations o on o.id = e.organisation_id
           where ($1::uuid is null or e.organisation_id = $1)
             and ($2::text is null or e.event = $2)
             and ($3::text is null or e.subject_id = $3)
             and ($4::uuid is null or e.id < $4)
             and ($5::text is null or strpos(lower(o.name), lower($5)) > 0)
             and ($6::timestamptz is null or e.at >= $6)
             and ($7::timestamptz is null or e.at < $7)
             and ($8::text is null or e.actor_kind = $8)
             and ($9::text is null or strpos(lower(concat_ws(' ', case when e.actor_kind = 'staff' and $10 then $11 else e.actor end, e.actor_key, e.on_behalf)), lower($9)) > 0)
             and ($12::text is null or e.event = any($13)
                  or strpos(lower(concat_ws(' ', e.event, e.subject_name, e.subject_id, e.changes::text, e.detail->>'reason', e.detail->>'note')), lower($12)) > 0
                  or (not ($10 and e.actor_kind = 'staff') and strpos(lower(concat_ws(' ', e.actor, e.address, e.user_agent, e.request_id)), lower($12)) > 0)
                  or (not $10 and strpos(lower(e.detail::text), lower($12)) > 0))
           order by e.id desc limit $14"#,
        filter.organisation.map(OrganisationId::uuid),
        filter.event,
        filter.subject,
        filter.after.map(AuditEventId::uuid),
        filter.organisation_name,
        filter.from,
        filter.to,
        filter.kind.map(ActorKind::name),
        filter.actor,
        filter.for_customer,
        super::OPERATOR,
        filter.text,
        &filter.events_with_text() as &[&str],
        limit,
    )
    .fetch_all(pool)
    .await?;
    Ok(events)
}
