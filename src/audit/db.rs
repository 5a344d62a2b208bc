//! The SQL of audit events.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgPool};

use super::{Actor, AuditEvent, Event, Filter, Subject};
use crate::error::Result;
use crate::ids::{AuditEventId, OrganisationId};

pub(super) async fn insert(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
    actor: &Actor,
    organisation: Option<OrganisationId>,
    event: Event,
    subject: &Subject,
    detail: &Value,
) -> Result<()> {
    sqlx::query!(
        "insert into audit_events (id, at, organisation_id, actor_user_id, actor, event, subject_kind, subject_id, subject_name, detail, address, request_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        AuditEventId::new().uuid(),
        now,
        organisation.map(OrganisationId::uuid),
        actor.user.map(crate::ids::UserId::uuid),
        actor.name,
        event.name(),
        subject.kind,
        subject.id,
        subject.name,
        detail,
        actor.address,
        actor.request_id,
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn select(pool: &PgPool, filter: &Filter, limit: i64) -> Result<Vec<AuditEvent>> {
    let events = sqlx::query_as!(
        AuditEvent,
        r#"select e.id as "id: AuditEventId", e.at, e.organisation_id as "organisation_id: OrganisationId", o.name as "organisation_name?",
                  e.actor, u.platform_role is not null as "by_staff!", e.event, e.subject_kind, e.subject_id, e.subject_name, e.detail, e.address
           from audit_events e left join organisations o on o.id = e.organisation_id left join users u on u.id = e.actor_user_id
           where ($1::uuid is null or e.organisation_id = $1)
             and ($2::text is null or e.event = $2)
             and ($3::text is null or e.subject_id = $3)
             and ($4::uuid is null or e.id < $4)
             and ($5::text is null or position(lower($5) in lower(o.name)) > 0)
           order by e.id desc limit $6"#,
        filter.organisation.map(OrganisationId::uuid),
        filter.event,
        filter.subject,
        filter.after.map(AuditEventId::uuid),
        filter.organisation_name,
        limit,
    )
    .fetch_all(pool)
    .await?;
    Ok(events)
}
