//! Finding a place: for an order, for a machine that grows, for one that moves, and for a question of an operator. What fits
//! is decided in `placement`, which is pure.

use sqlx::PgConnection;

use super::db::capacity::{self, Wanted};
use super::placement::{self, Candidate, Filled, Need, NoPlace};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{ClusterId, ImageId, LocationId, OrganisationId, PlanId, VmId};

/// What is asked of a place for a new machine, beside room.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// Where.
    pub location: LocationId,
    /// Its template must be there.
    pub image: ImageId,
    /// Whose it is.
    pub organisation: OrganisationId,
    /// On no node with another machine of this group of theirs.
    pub group: Option<&'a str>,
    /// Only where user data can be stored.
    pub user_data: bool,
}

/// Whether any cluster of a location has the image and a storage for user data.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn takes_user_data(connection: &mut PgConnection, location: LocationId, image: ImageId) -> Result<bool> {
    capacity::exists_with_iso_storage(connection, location, image).await
}

/// A place for a new machine in a location. The clusters of the location stay locked until the transaction ends, so that
/// nobody else is given the same room.
///
/// # Errors
/// When PostgreSQL fails. That there is no place is the inner outcome; it is logged here with every node's reason.
pub async fn find_place(
    connection: &mut PgConnection,
    order: &Order<'_>,
    need: Need,
) -> Result<Result<Candidate, NoPlace>> {
    let Order { location, organisation, .. } = *order;
    let wanted = Wanted {
        location: Some(location),
        image: Some(order.image),
        organisation: Some(organisation),
        group: order.group,
        user_data: order.user_data,
        ..Wanted::default()
    };
    capacity::lock(&mut *connection, &wanted).await?;
    let candidates = capacity::select_candidates(connection, &wanted).await?;
    let choice = placement::choose(&candidates, need).cloned();
    if let Err(no_place) = &choice {
        tracing::warn!(%location, %organisation, ?need, reasons = no_place.reasons(), "an order found no place");
    }
    Ok(choice)
}

/// The node on which a machine can have another plan and a disk of this size in GiB: its own when it fits there, else the best
/// other one of its cluster when the storage is shared. The cluster stays locked until the transaction ends.
///
/// # Errors
/// `NotFound` when there is no such machine or plan. That there is no place is the inner outcome.
pub async fn room_for(
    connection: &mut PgConnection,
    vm: VmId,
    new_plan: PlanId,
    new_disk_gib: i32,
) -> Result<Result<String, NoPlace>> {
    let home = home(&mut *connection, vm).await?;
    let (vcpu, memory_mib, _) =
        capacity::select_plan_size(&mut *connection, new_plan).await?.ok_or(Error::NotFound("plan"))?;
    let need = Need { vcpu, memory_mib: i64::from(memory_mib), disk_gib: i64::from(new_disk_gib) };
    let candidates = candidates_of(connection, vm, &home).await?;
    let (at_home, others): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|candidate| candidate.is_home);
    let stays = at_home.first().map(|candidate| placement::check(candidate, need));
    if let Some(Ok(())) = stays {
        return Ok(Ok(home.node));
    }
    let choice = match placement::choose(if home.storage_shared { &others } else { &[] }, need) {
        Ok(choice) => Ok(choice.node.clone()),
        // Everything that was looked at, its own node first.
        Err(elsewhere) => Err(match stays {
            Some(Err(mut here)) => {
                here.nodes.extend(elsewhere.nodes);
                here
            }
            _ => elsewhere,
        }),
    };
    if let Err(no_place) = &choice {
        tracing::warn!(%vm, ?need, reasons = no_place.reasons(), "a VM found no room to grow");
    }
    Ok(choice)
}

/// Whether a machine, as large as it is, can move to this node of its cluster: another one, online, with room and without a
/// machine of its placement group. The cluster stays locked until the transaction ends.
///
/// # Errors
/// `NotFound` without such a machine, `Invalid` with the field `node` for its own node or one that is not there. That it has
/// no place there is the inner outcome.
pub async fn check_target(connection: &mut PgConnection, vm: VmId, node: &str) -> Result<Result<(), NoPlace>> {
    let home = home(&mut *connection, vm).await?;
    if home.node == node {
        return Err(Error::invalid("node", "It is on this node already."));
    }
    let need = Need { vcpu: home.vcpu, memory_mib: i64::from(home.memory_mib), disk_gib: i64::from(home.disk_gib) };
    let candidates = candidates_of(connection, vm, &home).await?;
    let Some(target) = candidates.into_iter().find(|candidate| candidate.node == node) else {
        return Err(Error::invalid("node", "There is no node of this name on its cluster."));
    };
    Ok(placement::check(&target, need))
}

/// The nodes of a machine's cluster but its own, by name, each with why it cannot move there; nothing when it can. Nothing is
/// kept: [`check_target`] decides when it is asked to move.
///
/// # Errors
/// `NotFound` without such a machine.
pub async fn targets(app: &App, vm: VmId) -> Result<Vec<(String, Option<String>)>> {
    let mut transaction = app.pool.begin().await?;
    let home = home(&mut transaction, vm).await?;
    let need = Need { vcpu: home.vcpu, memory_mib: i64::from(home.memory_mib), disk_gib: i64::from(home.disk_gib) };
    let candidates = candidates_of(&mut transaction, vm, &home).await?;
    transaction.rollback().await?;
    let others = candidates.into_iter().filter(|candidate| candidate.node != home.node);
    Ok(others
        .map(|candidate| {
            let refused = placement::check(&candidate, need).err();
            (candidate.node, refused.map(|no_place| no_place.reasons()))
        })
        .collect())
}

/// Whether a second disk of a machine fits beside its own where it is, as a rebuild needs it for a while. The cluster stays
/// locked until the transaction ends.
///
/// # Errors
/// `NotFound` without such a machine. That there is no room is the inner outcome.
pub async fn check_second_disk(connection: &mut PgConnection, vm: VmId) -> Result<Result<(), NoPlace>> {
    let home = home(&mut *connection, vm).await?;
    let both = i64::from(home.disk_gib) * 2;
    let need = Need { vcpu: home.vcpu, memory_mib: i64::from(home.memory_mib), disk_gib: both };
    let candidates = candidates_of(connection, vm, &home).await?;
    let own = candidates.into_iter().find(|candidate| candidate.is_home);
    Ok(own.map_or(Ok(()), |own| placement::check(&own, need)))
}

/// Where so many machines of a plan would go on a cluster, and why the next one would not; `apart`: all on different nodes.
///
/// # Errors
/// `NotFound` without such a cluster, `Invalid` without such a plan or when it is no sensible count.
pub async fn would_fit(app: &App, cluster: ClusterId, plan: PlanId, count: u32, apart: bool) -> Result<Filled> {
    super::find(app, cluster).await?;
    if !(1..=placement::FILL_MAX).contains(&count) {
        return Err(Error::invalid("count", format!("A number from 1 to {}.", placement::FILL_MAX)));
    }
    let mut connection = app.pool.acquire().await?;
    let (vcpu, memory_mib, disk_gib) = capacity::select_plan_size(&mut connection, plan)
        .await?
        .ok_or_else(|| Error::invalid("plan", "Choose one of the plans."))?;
    let wanted = Wanted { cluster: Some(cluster), ..Wanted::default() };
    let candidates = capacity::select_candidates(&mut connection, &wanted).await?;
    let need = Need { vcpu, memory_mib: i64::from(memory_mib), disk_gib: i64::from(disk_gib) };
    Ok(placement::fill(candidates, need, count, apart))
}

async fn home(connection: &mut PgConnection, vm: VmId) -> Result<capacity::Home> {
    capacity::select_home(connection, vm).await?.ok_or(Error::NotFound("VM"))
}

/// The nodes of a machine's cluster, the machine's own room on them known as its own; locked.
async fn candidates_of(connection: &mut PgConnection, vm: VmId, home: &capacity::Home) -> Result<Vec<Candidate>> {
    let wanted = Wanted {
        cluster: Some(home.cluster),
        organisation: Some(home.organisation),
        group: home.group.as_deref(),
        vm: Some(vm),
        ..Wanted::default()
    };
    capacity::lock(&mut *connection, &wanted).await?;
    let mut candidates = capacity::select_candidates(connection, &wanted).await?;
    // Maintenance keeps new machines away; those that are there go on, grow and move.
    for candidate in &mut candidates {
        candidate.maintenance = false;
    }
    Ok(candidates)
}

impl From<NoPlace> for Error {
    fn from(no_place: NoPlace) -> Self {
        match no_place.refusal {
            placement::Refusal::NotOffered => Self::invalid("image", no_place.to_string()),
            placement::Refusal::Group => Self::invalid("placement_group", no_place.to_string()),
            placement::Refusal::Maintenance | placement::Refusal::NothingOnline | placement::Refusal::Full => {
                Self::Unavailable(no_place.to_string())
            }
        }
    }
}
