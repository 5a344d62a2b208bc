//! The machines of a cluster with the node each is on, from where one is moved.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use crate::app::App;
use crate::clusters;
use crate::ids::{ClusterId, OrganisationId, VmId};
use crate::organisations;
use crate::vms;
use crate::web::error::PageError;
use crate::web::format;
use crate::web::pages::exceptions::count;
use crate::web::pages::frames::{self, Notice, render_with};
use crate::web::pages::vms::vm_status;
use crate::web::read::{Path, Query};
use crate::web::session::Staff;
use crate::web::views::clusters::vms::{ClusterVm, ClusterVmsPage};
use crate::web::views::frame::AdminSection;

/// How many machines one page shows.
const VMS_SHOWN: i64 = 50;

/// From where on the list is shown.
#[derive(Debug, Deserialize)]
pub struct From {
    after: Option<VmId>,
}

/// `GET /admin/clusters/{id}/vms?after=`
pub async fn vms(
    State(app): State<Arc<App>>,
    staff: Staff,
    notice: Notice,
    Path(id): Path<ClusterId>,
    Query(from): Query<From>,
) -> Result<Response, PageError> {
    let cluster = clusters::find(&app, id).await?;
    let mut found = vms::list_of_cluster(&app, id, from.after, VMS_SHOWN + 1).await?;
    let shown = usize::try_from(VMS_SHOWN).unwrap_or(usize::MAX);
    let has_older = found.len() > shown;
    found.truncate(shown);
    let url = format!("/admin/clusters/{id}/vms");
    let older_url = found.last().filter(|_| has_older).map(|vm| format!("{url}?after={}", vm.id));
    let owners: HashSet<OrganisationId> = found.iter().map(|vm| vm.organisation).collect();
    let mut names = HashMap::new();
    for owner in owners {
        names.insert(owner, organisations::find(&app, owner).await?.name);
    }
    let rows = found
        .into_iter()
        .map(|vm| ClusterVm {
            status: vm_status(&vm),
            can_move: vm.job.is_none() && matches!(vm.state, vms::State::Running | vms::State::Stopped),
            organisation: names.get(&vm.organisation).cloned().unwrap_or_default(),
            organisation_id: vm.organisation.to_string(),
            plan: format!(
                "{} · {} vCPU · {}",
                vm.plan_name,
                vm.vcpu,
                format::mebibytes(&u64::from(vm.memory_mib.unsigned_abs()))
            ),
            vmid: vm.vmid,
            node: vm.node,
            name: vm.name,
        })
        .collect();
    let title = format!("VMs of {}", cluster.name);
    let page = ClusterVmsPage {
        frame: frames::admin(&app, &staff, title, AdminSection::Clusters, count(&app).await?, &notice),
        cluster: cluster.name,
        cluster_id: id.to_string(),
        rows,
        older_url,
        newest_url: from.after.map(|_| url.clone()),
        url: from.after.map_or_else(|| url.clone(), |after| format!("{url}?after={after}")),
    };
    Ok(render_with(&app, &notice, &page))
}
