//! `/admin/passes`, `/admin/uncharged-times`, `/admin/organisations/{id}/charging/retry`: passes of charging, what is not
//! charged, and wallets that could not be charged; for operators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use billing::Money;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{ApiJson, List};
use crate::app::App;
use crate::charging;
use crate::charging::passes::{self, Decision, Kind, PassRecord, Reason, Status};
use crate::ids::{OrganisationId, PassId};
use crate::metering::uncharged::{self, UnchargedTime};
use crate::web::error::ApiError;
use crate::web::read::Path;
use crate::web::session::ApiStaff;

/// A pass as the API shows it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Pass)]
pub struct PassView {
    id: PassId,
    kind: Kind,
    status: Status,
    from: DateTime<Utc>,
    through: DateTime<Utc>,
    hours: i32,
    started_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    wallets: i64,
    charges: i64,
    amount: Money,
    ran_out: i64,
    failed: i64,
    projected_wallets: i64,
    projected_amount: Money,
    projected_stops: i64,
    running_vms: i64,
    usual_amount: Option<Money>,
    #[schema(value_type = Vec<Object>)]
    reasons: Vec<Reason>,
    decided_by: Option<String>,
    decided_at: Option<DateTime<Utc>>,
}

impl From<PassRecord> for PassView {
    fn from(pass: PassRecord) -> Self {
        Self {
            id: pass.id,
            kind: pass.kind,
            status: pass.status,
            from: pass.from,
            through: pass.through,
            hours: pass.hours,
            started_at: pass.started_at,
            finished_at: pass.finished_at,
            wallets: pass.wallets,
            charges: pass.charges,
            amount: pass.amount,
            ran_out: pass.ran_out,
            failed: pass.failed,
            projected_wallets: pass.projected_wallets,
            projected_amount: pass.projected_amount,
            projected_stops: pass.projected_stops,
            running_vms: pass.running_vms,
            usual_amount: pass.usual_amount,
            reasons: pass.reasons,
            decided_by: pass.decided_by,
            decided_at: pass.decided_at,
        }
    }
}

/// Lists passes of charging: those that wait for a person first, then the latest.
#[utoipa::path(get, path = "/admin/passes", responses((status = 200, body = List<PassView>)))]
pub async fn list(State(app): State<Arc<App>>, _staff: ApiStaff) -> Result<Json<List<PassView>>, ApiError> {
    let items = passes::list(&app).await?.into_iter().map(PassView::from).collect();
    Ok(Json(List { items, next: None }))
}

/// What is decided about a pass.
#[derive(Debug, Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It goes on.
    Approve,
    /// It must not go on as it is.
    Refuse,
    /// What was missed is not charged.
    Waive,
}

/// A decision with its reason.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = PassDecision)]
pub struct Decided {
    /// What is decided.
    decision: Verdict,
    /// Why, for the audit log.
    #[serde(default)]
    #[schema(max_length = 200)]
    reason: String,
}

/// Approves, refuses or waives a pass that is held.
#[utoipa::path(post, path = "/admin/passes/{id}/decision", request_body = Decided, responses((status = 204)))]
pub async fn decide(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path(id): Path<PassId>,
    ApiJson(decided): ApiJson<Decided>,
) -> Result<StatusCode, ApiError> {
    let decision = match decided.decision {
        Verdict::Approve => Decision::Approve,
        Verdict::Refuse => Decision::Refuse,
        Verdict::Waive => Decision::Waive,
    };
    passes::decide(&app, id, decision, &decided.reason, &staff.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists times that were not charged, latest first.
#[utoipa::path(get, path = "/admin/uncharged-times", responses((status = 200, body = List<UnchargedTime>)))]
pub async fn uncharged_times(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
) -> Result<Json<List<UnchargedTime>>, ApiError> {
    Ok(Json(List { items: uncharged::latest(&app).await?, next: None }))
}

/// Charges a wallet again that could not be charged.
#[utoipa::path(post, path = "/admin/organisations/{id}/charging/retry", responses((status = 204)))]
pub async fn retry(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path(id): Path<OrganisationId>,
) -> Result<StatusCode, ApiError> {
    charging::try_again(&app, id, &staff.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}
