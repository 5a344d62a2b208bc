//! The Proxmox client against a whole simulated cluster, over TLS: reached through its second endpoint, with another
//! certificate at the first one.

use std::time::Duration;

use proxmox_client::{
    ApiToken, Client, CloneVm, ConfigChange, Endpoint, PowerState, ResourceFilter, Settings, TaskEnd, TaskWait, Trust,
};
use proxmox_simulator::{Options, Simulator};

#[tokio::test]
async fn a_machine_is_made_through_the_second_endpoint_while_the_first_has_another_certificate() {
    let simulator = Simulator::start(Options::default()).unwrap();
    let other = Simulator::start(Options::default()).unwrap();
    let pinned = |fingerprint: &str| Trust::Fingerprint(fingerprint.parse().unwrap());
    let token = ApiToken::parse(simulator.token()).unwrap();
    // The first endpoint is not the one whose fingerprint was noted: nothing may be sent there, least of all the token.
    let settings = Settings::new(other.url(), token, pinned(simulator.fingerprint()))
        .endpoint(Endpoint::new(simulator.url()).trust(pinned(simulator.fingerprint())));
    let client = Client::new(settings).unwrap();

    let wait = TaskWait::new(Duration::from_secs(30));
    let task = client.clone_vm("pve1", 9000, &CloneVm::new(101).name("web-1").full(true)).await.unwrap();
    assert_eq!(client.wait_for_task(&task, &wait).await, Ok(TaskEnd::Ok));
    client.set_vm_config("pve1", 101, &ConfigChange::new().cores(3)).await.unwrap();
    assert_eq!(client.vm_config("pve1", 101).await.unwrap().cores, 3);
    let task = client.start("pve1", 101).await.unwrap();
    assert_eq!(client.wait_for_task(&task, &wait).await, Ok(TaskEnd::Ok));
    assert_eq!(client.vm_status("pve1", 101).await.unwrap().status, PowerState::Running);
    let machines = client.resources(Some(ResourceFilter::Vm)).await.unwrap();
    assert!(machines.iter().any(|machine| machine.vmid == Some(101)));

    let states = client.endpoints();
    assert!(states[0].is_tls_failure() && !states[0].is_current && states[1].is_current, "{states:?}");
    assert!(other.guests().iter().all(|guest| guest.vmid != 101));
    simulator.shutdown();
    other.shutdown();
}
