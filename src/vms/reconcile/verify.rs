//! Asking for the uuid of guests whose listing leaves open whose they are: only those, few per look, and once per listing.

use std::collections::HashMap;

use proxmox_client::{Error as ProxmoxError, VmConfig};

use super::compare::{Guests, Listed, Verdict, listing, whose};
use crate::app::App;
use crate::error::Result;
use crate::ids::{ClusterId, VmId};
use crate::vms::db::SeenRow;
use crate::vms::identity;

/// How many guests are asked for their uuid in one look; the rest is asked by the next ones.
const QUESTIONS_MAX: usize = 50;

/// Asks the guests whose listing leaves open whose they are. A guest that cannot be asked stays unclear until the next look.
pub(super) async fn ask(
    app: &App,
    cluster: ClusterId,
    rows: &[SeenRow],
    guests: &Guests<'_>,
) -> Result<HashMap<VmId, Verdict>> {
    let mut verdicts = HashMap::new();
    let unclear = rows.iter().filter_map(|row| match whose(row, guests, None) {
        Listed::Unclear(guest) => Some((row, guest)),
        Listed::Ours(_) | Listed::Foreign(..) | Listed::Locked | Listed::Unseen | Listed::Absent => None,
    });
    let unclear: Vec<_> = unclear.take(QUESTIONS_MAX).collect();
    if unclear.is_empty() {
        return Ok(verdicts);
    }
    let client = app.connections.client(app, cluster).await?;
    for (row, guest) in unclear {
        let (Some(node), Some(vmid)) = (guest.node.as_deref(), guest.vmid) else { continue };
        match client.vm_config(node, vmid).await {
            Ok(config) => {
                verdicts.insert(row.id, verdict(row, listing(guest), &config));
            }
            // Moved or removed since it was listed, or not readable just now.
            Err(ProxmoxError::Refused(refusal)) => {
                tracing::info!(vm = %row.id, vmid, %refusal, "a guest could not be asked whose it is");
            }
            Err(error) => {
                tracing::warn!(vm = %row.id, vmid, %error, "the cluster went away while a guest was asked whose it is");
                break;
            }
        }
    }
    Ok(verdicts)
}

fn verdict(row: &SeenRow, listing: String, config: &VmConfig) -> Verdict {
    let uuid = config.smbios1.as_ref().and_then(|smbios| smbios.uuid()).map(str::to_ascii_lowercase);
    Verdict {
        ours: uuid.as_deref() == Some(row.guest_uuid.to_string().as_str()),
        tagged: config.tags.contains(&identity::tag(row.id)),
        uuid,
        listing,
    }
}
