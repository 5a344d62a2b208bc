//! Lists the machines of a cluster, clones one of its templates, starts the clone and opens its screen.
//!
//! ```console
//! PVE_TOKEN='user@realm!name=secret' cargo run --example console -- https://pve1.example:8006 AA:BB:… pve1 9000
//! ```

#![allow(clippy::print_stdout, reason = "it is for people at a terminal")]

use std::time::Duration;

use proxmox_client::{
    ApiToken, Client, CloneVm, ResourceFilter, Settings, TaskEnd, TaskWait, Trust, Upid, fetch_fingerprint,
};
use tokio::io::AsyncReadExt;

/// How long a task may take.
const TASK: Duration = Duration::from_secs(600);
/// How long the node waits for whoever opened a screen.
const OPENING: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, fingerprint, node, template] = arguments.as_slice() else {
        if let [url] = arguments.as_slice() {
            println!("{url} shows {}: compare it with what the node says.", fetch_fingerprint(url).await?);
            return Ok(());
        }
        return Err("arguments: URL FINGERPRINT NODE TEMPLATE, or URL alone to see its fingerprint".into());
    };
    let token = ApiToken::parse(&std::env::var("PVE_TOKEN").map_err(|_| "PVE_TOKEN is not set")?)?;
    let client = Client::new(Settings::new(url.as_str(), token, Trust::Fingerprint(fingerprint.parse()?)))?;

    for machine in client.resources(Some(ResourceFilter::Vm)).await? {
        println!("{} {} {}", machine.id, machine.name.unwrap_or_default(), machine.status.unwrap_or_default());
    }

    let vmid = client.next_id().await?;
    ended(&client, client.clone_vm(node, template.parse()?, &CloneVm::new(vmid).name("example")).await?).await?;
    ended(&client, client.start(node, vmid).await?).await?;
    println!("{vmid} runs.");

    let screen = client.open_vnc(node, vmid).await?;
    let mut websocket = screen.socket().connect(OPENING).await?;
    let mut first = [0; 14];
    websocket.read_exact(&mut first).await?;
    println!("its screen says {}", String::from_utf8_lossy(&first[2..]).trim());
    Ok(())
}

async fn ended(client: &Client, task: Upid) -> Result<(), Box<dyn std::error::Error>> {
    match client.wait_for_task(&task, &TaskWait::new(TASK)).await? {
        TaskEnd::Ok | TaskEnd::Warnings(_) => Ok(()),
        TaskEnd::Failed(error) => Err(error.into()),
    }
}
