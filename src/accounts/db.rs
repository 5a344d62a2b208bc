//! The SQL of requests for a new password.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::audit::Actor;
use crate::error::Result;

pub(super) struct ResetRequest {
    pub email: String,
    pub address: Option<String>,
    pub request_id: Option<String>,
}

pub(super) async fn insert_reset_request(
    connection: &mut PgConnection,
    email: &str,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "insert into reset_requests (id, email, address, request_id, created_at) values ($1, $2, $3, $4, $5)",
        Uuid::now_v7(),
        email,
        actor.address,
        actor.request_id,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes the oldest one away: it is answered in the same transaction.
pub(super) async fn take_reset_request(connection: &mut PgConnection) -> Result<Option<ResetRequest>> {
    Ok(sqlx::query_as!(
        ResetRequest,
        "delete from reset_requests where id = (select id from reset_requests order by id limit 1 for update skip locked)
         returning email, address, request_id",
    )
    .fetch_optional(connection)
    .await?)
}
