//! The calls that are measured, made with `proxmox-client`: what `calls.py` does with proxmoxer.

use anyhow::Context;
use proxmox_client::{ApiToken, Client, ConfigChange, PowerState, ResourceFilter, Settings, Trust};

/// The node of all guests.
pub const NODE: &str = "pve1";
/// The environment variables that say where the cluster is and how to get in.
pub const URL: &str = "MEASURED_URL";
pub const TOKEN: &str = "MEASURED_TOKEN";
pub const CERTIFICATE: &str = "MEASURED_CERTIFICATE";

/// Makes `count` calls, one after the other and by turns of four kinds, about `guests` guests from VMID `first` on;
/// answers with sums over what came back.
///
/// # Errors
/// When a call fails.
pub async fn run(count: u32, first: u32, guests: u32) -> anyhow::Result<String> {
    let variable = |name| std::env::var(name).with_context(|| format!("{name} is not set"));
    let pem = std::fs::read_to_string(variable(CERTIFICATE)?)?;
    let token = ApiToken::parse(&variable(TOKEN)?)?;
    let client = Client::new(Settings::new(variable(URL)?, token, Trust::Ca(pem)))?;
    let (mut listed, mut memory, mut stopped) = (0_u64, 0_u64, 0_u64);
    for call in 0..count {
        let vmid = first + call / 4 % guests;
        match call % 4 {
            0 => {
                for resource in client.resources(Some(ResourceFilter::Vm)).await? {
                    listed += 1;
                    memory += resource.maxmem.context("a guest without memory")?;
                }
            }
            1 => stopped += u64::from(client.vm_status(NODE, vmid).await?.status == PowerState::Stopped),
            2 => memory += client.vm_config(NODE, vmid).await?.memory_mib,
            _ => {
                let change = ConfigChange::new().description(&format!("call {call}"));
                client.set_vm_config(NODE, vmid, &change).await?;
            }
        }
    }
    Ok(format!("{listed} {memory} {stopped}"))
}
