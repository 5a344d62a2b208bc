//! Moving a customer's machine to another node of its cluster.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::app::App;
use crate::clusters;
use crate::error::{Error, Result};
use crate::ids::VmId;
use crate::organisations;
use crate::vms::{self, State as VmState, Vm};
use crate::web::error::{PageError, status};
use crate::web::forms::CsrfForm;
use crate::web::pages::exceptions::count;
use crate::web::pages::frames::{self, Notice, form_errors, redirect_with, render_with};
use crate::web::read::Path;
use crate::web::session::Staff;
use crate::web::views::customers::MigratePage;
use crate::web::views::form::FormErrors;
use crate::web::views::frame::{AdminSection, FlashKind};
use crate::web::views::vms::new::Choice;

/// Where it is to go.
#[derive(Debug, Deserialize)]
pub struct Target {
    #[serde(default)]
    node: String,
}

/// `GET /admin/vms/{id}/migrate`
pub async fn choose_node(
    State(app): State<Arc<App>>,
    staff: Staff,
    notice: Notice,
    Path(id): Path<VmId>,
) -> Result<Response, PageError> {
    let vm = vms::find_for_staff(&app, id).await?;
    Ok(page(&app, &staff, &notice, &vm, "", FormErrors::none()).await?)
}

/// `POST /admin/vms/{id}/migrate`
pub async fn migrate(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<VmId>,
    CsrfForm(target): CsrfForm<Target>,
) -> Result<Response, PageError> {
    let vm = vms::find_for_staff(&app, id).await?;
    let wanted = match target.node.trim() {
        "" => Err(Error::invalid("node", "Choose one of the hosts.")),
        node => vms::migrate(&app, id, node, &staff.actor).await,
    };
    match wanted {
        Ok(_) => {
            let to = format!("/admin/clusters/{}/vms", vm.cluster);
            let sentence = format!("{} is being moved to {}.", vm.name, target.node.trim());
            Ok(redirect_with(&app, &to, FlashKind::Success, sentence))
        }
        Err(error) => {
            let status = status(&error);
            let page = page(&app, &staff, &Notice::default(), &vm, &target.node, form_errors(error)?).await?;
            Ok((status, page).into_response())
        }
    }
}

async fn page(
    app: &App,
    staff: &Staff,
    notice: &Notice,
    vm: &Vm,
    chosen: &str,
    errors: FormErrors,
) -> Result<Response> {
    let nodes = clusters::targets(app, vm.id)
        .await?
        .into_iter()
        .map(|(node, refusal)| Choice {
            id: node.clone(),
            chosen: refusal.is_none() && node == chosen,
            detail: if refusal.is_none() { "It has room".into() } else { String::new() },
            name: node,
            refusal,
        })
        .collect();
    let page = MigratePage {
        frame: frames::admin(
            app,
            staff,
            format!("Move {}", vm.name),
            AdminSection::Clusters,
            count(app).await?,
            notice,
        ),
        id: vm.id.to_string(),
        name: vm.name.clone(),
        organisation: organisations::find(app, vm.organisation).await?.name,
        organisation_id: vm.organisation.to_string(),
        cluster: clusters::find(app, vm.cluster).await?.name,
        cluster_id: vm.cluster.to_string(),
        node: vm.node.clone(),
        runs: vm.state == VmState::Running,
        nodes,
        errors,
    };
    Ok(render_with(app, notice, &page))
}
