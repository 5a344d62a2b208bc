//! PUT resize: a `resize` task that does all the checking.

use std::time::Duration;

use crate::call::Call;
use crate::cluster::drive::Drive;
use crate::cluster::{ClusterState, sizes};
use crate::failure::{Failure, Outcome, Reply};
use crate::tasks::Work;

/// What a `resize` task will do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    node: String,
    vmid: u32,
    disk: String,
    size: String,
    digest: Option<String>,
}

/// The call.
pub(crate) fn call(call: &mut Call<'_>) -> Outcome {
    call.refuse_skiplock()?;
    let plan = Plan {
        node: call.node().to_owned(),
        vmid: call.vmid(),
        disk: call.text("disk").to_owned(),
        size: call.text("size").to_owned(),
        digest: call.parameters.text("digest").map(str::to_owned),
    };
    Ok(Reply::data(call.spawn("resize", Some(plan.vmid), Work::Resize(plan))))
}

/// The drive and its new size; no size when nothing is to be done.
fn check(plan: &Plan, cluster: &ClusterState) -> Result<(Drive, Option<u64>), String> {
    let text = |failure: Failure| failure.text().to_owned();
    let guest = cluster.load(&plan.node, plan.vmid).map_err(text)?;
    if plan.digest.as_ref().is_some_and(|digest| *digest != guest.config.digest()) {
        return Err("checksum mismatch (file change by other user?)".to_owned());
    }
    guest.check_lock()?;
    let missing = || format!("disk '{}' does not exist", plan.disk);
    let drive = Drive::parse(guest.config.get(&plan.disk).ok_or_else(missing)?);
    if drive.is_cdrom() {
        return Err("you can't resize a cdrom".to_owned());
    }
    let volid = drive.volume_id().ok_or_else(|| format!("disk '{}' has no associated volume", plan.disk))?;
    let current = cluster.volume(&plan.node, volid).map_err(text)?.size;
    let (relative, number) = match plan.size.strip_prefix('+') {
        Some(number) => (true, number),
        None => (false, plan.size.as_str()),
    };
    let given = sizes::parse(number).ok_or_else(|| format!("unable to parse size '{}'", plan.size))?;
    let wanted = if relative { current.saturating_add(given) } else { given };
    if wanted < current {
        return Err("shrinking disks is not supported".to_owned());
    }
    Ok((drive, (wanted > current).then_some(wanted)))
}

pub(crate) fn begin(plan: &Plan, cluster: &ClusterState) -> Result<Duration, String> {
    check(plan, cluster)?;
    Ok(cluster.timing().resize)
}

pub(crate) fn finish(plan: Plan, cluster: &mut ClusterState, log: &mut Vec<String>) -> Result<u32, String> {
    let (mut drive, wanted) = check(&plan, cluster)?;
    let Some(size) = wanted else { return Ok(0) };
    let volid = drive.volume_id().unwrap_or_default().to_owned();
    let (storage, name) = cluster.parse_volume_id(&volid).map_err(|failure| failure.text().to_owned())?;
    let (storage, name) = (storage.clone(), name.to_owned());
    cluster.volumes.resize(&storage, &plan.node, &name, size);
    drive.options.insert("size".to_owned(), sizes::print(size));
    let guest = cluster.load_mut(&plan.node, plan.vmid).map_err(|failure| failure.text().to_owned())?;
    guest.config.set(&plan.disk, drive.print());
    match (storage.kind.as_str(), guest.process.is_some()) {
        ("lvmthin", _) => log.push(format!("  Logical volume pve/{name} successfully resized.")),
        ("dir", false) => log.push("Image resized.".to_owned()),
        ("rbd", false) => log.push("Resizing image: 100% complete...done.".to_owned()),
        _ => {}
    }
    Ok(0)
}
