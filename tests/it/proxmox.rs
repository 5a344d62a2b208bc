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

#[tokio::test]
async fn a_cd_image_is_uploaded_read_back_and_overwritten() {
    let simulator = Simulator::start(Options::default()).unwrap();
    let trust = Trust::Fingerprint(simulator.fingerprint().parse().unwrap());
    let token = ApiToken::parse(simulator.token()).unwrap();
    let client = Client::new(Settings::new(simulator.url(), token, trust)).unwrap();
    let wait = TaskWait::new(Duration::from_secs(30));
    let content = || {
        simulator.inspect(|cluster| {
            let kept = cluster.volumes("local", "pve1").into_iter().find(|volume| volume.name == "iso/seed.iso");
            kept.and_then(|volume| volume.file.contents)
        })
    };

    // The file holds what looks like the end of a part.
    for bytes in [&b"first\r\n--"[..], b"second"] {
        let task = client.upload_iso("pve1", "local", "seed.iso", bytes, None).await.unwrap();
        assert_eq!(client.wait_for_task(&task, &wait).await, Ok(TaskEnd::Ok));
        assert_eq!(content().as_deref(), Some(bytes));
    }
    let wrong = "00".repeat(32);
    let task = client.upload_iso("pve1", "local", "seed.iso", b"third", Some(("sha256", &wrong))).await.unwrap();
    assert!(matches!(client.wait_for_task(&task, &wait).await, Ok(TaskEnd::Failed(_))));
    assert_eq!(content().as_deref(), Some(&b"second"[..]), "what does not match its checksum is not kept");
    simulator.shutdown();
}
