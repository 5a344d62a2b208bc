//! What somebody might try: to have more than is paid for, or to have something done to a guest that is not the machine.

use proxmox_client::{Client, ConfigChange};
use uni_manager::audit::Actor;
use uni_manager::ids::{PlanId, VmId};
use uni_manager::jobs;
use uni_manager::vms::{self, Changes, NewSize, Progress};

use crate::world::{World, text};

async fn client(world: &World) -> Client {
    world.app.connections.client(&world.app, world.cluster).await.unwrap()
}

/// Runs the job that is due up to this step.
async fn until_step(world: &World, wanted: &str) {
    let mut job = jobs::claim(&world.app, 1).await.unwrap().pop().expect("a job that is due");
    while job.current().is_some_and(|step| step.name != wanted) {
        match vms::run_step(&world.app, &mut job).await.unwrap() {
            Progress::Done => {
                job.scratch.clear();
                job.step += 1;
                assert!(jobs::save(&world.app, &job).await.unwrap());
            }
            Progress::Wait(pause, _) => world.advance(chrono::TimeDelta::from_std(pause).unwrap()),
        }
    }
    jobs::release(&world.app, &job, std::time::Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn a_larger_disk_is_not_kept_by_calling_the_resize_off() {
    let world = World::new().await;
    let ann = world.customer("ann", "50").await;
    let vm = world.running_vm(&ann, "web").await;
    let size = NewSize { plan: world.plan("m").await.parse::<PlanId>().unwrap(), grow_disk: true, force: false };
    let id = vm.parse::<VmId>().unwrap();
    let job = vms::resize(&world.app, ann.organisation, id, size, &Actor::system()).await.unwrap();

    until_step(&world, "start").await;
    let cancelled = jobs::cancel(&world.app, Some(ann.organisation), job, &Actor::system()).await;
    assert!(cancelled.is_err(), "the disk has grown and never shrinks: what was ordered is paid for");
    // Nor when it was asked for just before, while a runner was at work on it.
    world.execute("update jobs set cancel_requested = true where kind = 'vm.resize'").await;
    world.settle().await;
    assert_eq!(text(&world.last_job(&ann).await, "/status"), "completed");
    world.finish().await;
}

#[tokio::test]
async fn a_guest_with_our_tag_and_description_and_another_uuid_is_not_destroyed() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let vm = world.running_vm(&ann, "web").await;
    let (client, guest) = (client(&world).await, world.guest(&vm).unwrap());
    // A copy of the machine, restored under its VMID: Proxmox keeps tags and description and gives it a uuid of its own.
    let other = ConfigChange::new().smbios_uuid("11111111-2222-4333-8444-555555555555");
    client.set_vm_config(&guest.node, guest.vmid, &other).await.unwrap();

    world.tell(&ann, &vm, "stop").await.expect(202);
    world.settle().await;
    assert_eq!(client.vm_status(&guest.node, guest.vmid).await.unwrap().status, proxmox_client::PowerState::Running);
    // Nor without the tag: a configured machine is never known by its description alone.
    let bare = ConfigChange::new().tags(Vec::<String>::new());
    client.set_vm_config(&guest.node, guest.vmid, &bare).await.unwrap();
    world.delete(&ann, &format!("/vms/{vm}")).await.expect(202);
    world.settle().await;
    assert!(world.simulator.guests().iter().any(|known| known.vmid == guest.vmid), "it is somebody else's");
    let strange = ConfigChange::new().description("not ours");
    client.set_vm_config(&guest.node, guest.vmid, &strange).await.unwrap();
    world.finish().await;
}

#[tokio::test]
async fn a_new_name_leaves_the_keys_of_an_adopted_guest_alone() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let vm = world.running_vm(&ann, "web").await;
    // As an adopted machine: the guest has keys of which we know none.
    world.execute("update vms set authorized_keys = ''").await;
    let before = world.guest(&vm).unwrap().config.get("sshkeys").unwrap().to_owned();
    let changes = Changes { name: Some("renamed".into()), ..Changes::default() };
    vms::configure(&world.app, ann.organisation, vm.parse().unwrap(), &changes, &Actor::system()).await.unwrap();
    world.settle().await;

    assert_eq!(world.guest(&vm).unwrap().config.get("sshkeys").map(str::to_owned), Some(before));
    world.finish().await;
}
