//! The least that can be done to list machines over HTTP: axum, one query, JSON. Nobody is asked who he is.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use sqlx::{FromRow, PgPool};
use tokio::net::TcpListener;
use uni_manager::app::App;
use uni_manager::users::User;
use uuid::Uuid;

/// What the platform asks the database for its list.
const QUERY: &str = include_str!("vms.sql");

#[derive(Debug, Clone)]
struct Bare {
    pool: PgPool,
    organisation: Uuid,
}

/// A machine with the columns that programs are shown.
#[derive(Debug, Serialize, FromRow)]
struct Row {
    id: Uuid,
    number: i64,
    name: String,
    state: String,
    state_since: DateTime<Utc>,
    state_reason: Option<String>,
    protected: bool,
    importance: i32,
    tags: Vec<String>,
    address: Option<String>,
    plan: Uuid,
    plan_name: String,
    vcpu: i32,
    memory_mib: i32,
    disk_gib: i32,
    image: Uuid,
    image_name: String,
    iso_image: Option<Uuid>,
    boot_from_iso: bool,
    location: Uuid,
    location_name: String,
    placement_group: Option<String>,
    user_data_bytes: Option<i32>,
    rate: Decimal,
    monthly_cap: Option<Decimal>,
    created_at: DateTime<Utc>,
}

/// Serves the customer's machines to anybody, on a free port, until the process ends.
///
/// # Errors
/// When PostgreSQL fails or no port is free.
pub async fn serve(app: &Arc<App>, user: &User) -> anyhow::Result<SocketAddr> {
    let organisation = sqlx::query_scalar("select organisation_id from members where user_id = $1")
        .bind(user.id.uuid())
        .fetch_one(&app.pool)
        .await?;
    let router = Router::new().route("/vms", get(list)).with_state(Bare { pool: app.pool.clone(), organisation });
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

async fn list(State(bare): State<Bare>) -> Result<Json<Vec<Row>>, StatusCode> {
    sqlx::query_as::<_, Row>(QUERY)
        .bind(bare.organisation)
        .bind(None::<Uuid>)
        .bind(None::<Uuid>)
        .bind(51_i64)
        .bind(DateTime::<Utc>::from(std::time::SystemTime::now()))
        .bind(None::<Uuid>)
        .bind(None::<String>)
        .fetch_all(&bare.pool)
        .await
        .map(Json)
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}
