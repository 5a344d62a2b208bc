//! User data: what is taken, that the guest gets it on a CD of its own with all that cloud-init needs, and that no CD is left
//! behind, whatever goes wrong.

use proxmox_simulator::{Fault, FaultKind, Volume};
use serde_json::{Value, json};
use uni_manager::audit::Actor;
use uni_manager::vms::{self, Rebuild};

use crate::kill::{die_at, outlive, real_world};
use crate::world::{Customer, World, text};

const USER_DATA: &str = "#cloud-config\npackages: [nginx]\npassword: geheim-ä\n";
/// Bytes in a sector of a CD.
const SECTOR: usize = 2048;

/// Points of storing the CD, in order.
const SEED: [&str; 6] = [
    "vm.create.configure.saved",
    "vm.create.seed.sent",
    "vm.create.seed.remembered",
    "vm.create.seed.stored",
    "vm.create.seed.done",
    "vm.create.seed.saved",
];
/// Points of deleting the guest with its CD.
const REMOVE: [&str; 4] =
    ["vm.delete.destroy.sent", "vm.delete.destroy.remembered", "vm.delete.seed_removed", "vm.delete.destroy.done"];

async fn offer(world: &World) {
    world.execute("update clusters set iso_storage = 'local'").await;
}

async fn a_world() -> (World, Customer) {
    let world = World::new().await;
    offer(&world).await;
    let ann = world.customer("ann", "50").await;
    (world, ann)
}

async fn order(world: &World, customer: &Customer, name: &str) -> String {
    let mut body = world.new_vm(customer, name).await;
    body["user_data"] = json!(USER_DATA);
    text(&world.post(customer, "/vms", &body).await.expect(202), "/vm/id").to_owned()
}

/// The seed CDs on the cluster, on whichever node.
fn seeds(world: &World) -> Vec<Volume> {
    world.simulator.inspect(|cluster| {
        let nodes = cluster.nodes().iter();
        let volumes = nodes.flat_map(|node| cluster.volumes("local", &node.name));
        volumes.filter(|volume| volume.name.contains("uni-manager-")).collect()
    })
}

/// A file of a CD, found by its Joliet name.
fn file(image: &[u8], name: &str) -> Option<String> {
    let number = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().unwrap()) as usize;
    let wanted: Vec<u8> = name.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let mut at = number(17 * SECTOR + 158) * SECTOR;
    while image[at] != 0 {
        let length = usize::from(image[at + 32]);
        if image[at + 33..at + 33 + length] == wanted {
            let from = number(at + 2) * SECTOR;
            return Some(String::from_utf8(image[from..from + number(at + 10)].to_vec()).unwrap());
        }
        at += usize::from(image[at]);
    }
    None
}

/// The drive of a guest that holds its seed CD.
fn drive(world: &World, vm: &str) -> Option<String> {
    let config = world.guest(vm)?.config;
    ["ide0", "ide1", "ide2", "ide3"].into_iter().find_map(|drive| {
        config.get(drive).filter(|value| value.contains("uni-manager-")).map(|value| format!("{drive} {value}"))
    })
}

#[tokio::test]
async fn a_machine_with_user_data_has_a_cd_with_everything_that_cloud_init_needs() {
    let (world, ann) = a_world().await;
    let vm = order(&world, &ann, "web").await;
    world.settle().await;

    let shown = world.vm(&ann, &vm).await;
    assert_eq!(text(&shown, "/state"), "running");
    let vmid = world.vmid(&vm);
    let volume = format!("local:iso/uni-manager-{vm}-{vmid}.iso");
    let drive = drive(&world, &vm).unwrap();
    assert!(drive.starts_with(&format!("ide2 {volume},media=cdrom")), "where the cloud-init drive was: {drive}");
    let config = world.guest(&vm).unwrap().config;
    assert!(
        ["ide0", "ide1", "ide2", "ide3"]
            .iter()
            .all(|drive| !config.get(drive).is_some_and(|value| value.contains("cloudinit")))
    );
    let left: Vec<_> = world.simulator.inspect(|cluster| cluster.volumes("shared", "pve1"));
    assert!(!left.iter().any(|volume| volume.name.contains(&format!("vm-{vmid}-cloudinit"))), "the drive is gone");

    let stored = seeds(&world);
    assert_eq!(stored.iter().map(Volume::volid).collect::<Vec<_>>(), [volume]);
    let image = stored[0].file.contents.clone().unwrap();
    assert_eq!(&image[16 * SECTOR + 40..16 * SECTOR + 47], b"cidata ");
    assert_eq!(file(&image, "user-data").as_deref(), Some(USER_DATA));
    let read = |name: &str| file(&image, name).unwrap();
    let meta: Value = serde_json::from_str(&read("meta-data")).unwrap();
    assert_eq!((text(&meta, "/instance-id"), text(&meta, "/local-hostname")), (vm.as_str(), "web"));
    let network: Value = serde_json::from_str(&read("network-config")).unwrap();
    let device = &network["ethernets"]["eth0"];
    assert!(text(device, "/addresses/0").starts_with(text(&shown, "/address")), "{network}");
    let net = config.get("net0").unwrap().to_ascii_lowercase();
    assert!(net.contains(text(device, "/match/macaddress")), "{net}: {network}");
    let vendor: Value = serde_json::from_str(read("vendor-data").strip_prefix("#cloud-config\n").unwrap()).unwrap();
    assert_eq!((&vendor["user"], &vendor["ssh_authorized_keys"]), (&json!("debian"), &json!([ann.public_key])));

    world.delete(&ann, &format!("/vms/{vm}")).await.expect(202);
    world.settle().await;
    assert!(seeds(&world).is_empty(), "the CD goes with the machine");
    assert_eq!(world.count("select count(*) from vms where user_data is not null").await, 0, "and so does the text");
    world.finish().await;
}

#[tokio::test]
async fn only_members_read_user_data_and_the_log_says_no_more_than_that_there_is_some() {
    let (world, ann) = a_world().await;
    let bob = world.customer("bob", "5").await;
    let vm = order(&world, &ann, "web").await;
    world.settle().await;

    assert_eq!(world.vm(&ann, &vm).await["user_data_bytes"], USER_DATA.len());
    assert!(!world.vm(&ann, &vm).await.to_string().contains("geheim"));
    let path = format!("/vms/{vm}/user-data");
    assert_eq!(world.get(&ann, &path).await.expect(200)["user_data"], USER_DATA);
    world.get(&bob, &path).await.problem(404);
    let plain = world.running_vm(&ann, "plain").await;
    world.get(&ann, &format!("/vms/{plain}/user-data")).await.problem(404);
    assert_eq!(world.vm(&ann, &plain).await["user_data_bytes"], Value::Null);
    let logged = world.text("select string_agg(detail::text, ' ') from audit_events where event = 'vm.ordered'").await;
    assert!(logged.contains("\"user_data\": true") && !logged.contains("geheim"), "{logged}");
    let jobs = "select string_agg(payload::text || scratch::text || coalesce(error, ''), ' ') from jobs";
    assert!(!world.text(jobs).await.contains("geheim"));

    let key = vms::Changes { ssh_keys: Some(Vec::new()), ..vms::Changes::default() };
    let refused = vms::configure(&world.app, ann.organisation, vm.parse().unwrap(), &key, &Actor::system()).await;
    assert!(format!("{refused:?}").contains("rebuild it"), "{refused:?}");
    world.finish().await;
}

#[tokio::test]
async fn what_cloud_init_would_ignore_and_where_nothing_can_be_stored_is_refused_with_the_field() {
    let world = World::new().await;
    let ann = world.customer("ann", "50").await;
    let refused = async |user_data: &str| {
        let mut body = world.new_vm(&ann, "web").await;
        body["user_data"] = json!(user_data);
        world.post(&ann, "/vms", &body).await.problem_fields()
    };
    assert_eq!(refused(USER_DATA).await, ["user_data"], "the cluster has no storage for it");
    offer(&world).await;
    for wrong in ["packages: [nginx]", "#!/bin/sh\n\0", &format!("#!{}", "x".repeat(32 * 1024))] {
        assert_eq!(refused(wrong).await, ["user_data"]);
    }
    assert_eq!(world.count("select count(*) from vms").await, 0);
    world.finish().await;
}

#[tokio::test]
async fn whatever_happens_to_the_upload_there_is_one_cd_or_none() {
    let (world, ann) = a_world().await;
    for kind in [FaultKind::DropBefore, FaultKind::DropAfter, FaultKind::Proxy596AfterWork, FaultKind::Proxy595] {
        let what = format!("{kind:?}");
        world.simulator.faults().inject(Fault::once("POST", "/upload", kind));
        let vm = order(&world, &ann, "web").await;
        world.settle().await;

        assert_eq!(world.simulator.faults().waiting(), 0, "{what}: the fault was met");
        assert_eq!(text(&world.vm(&ann, &vm).await, "/state"), "running", "{what}");
        assert_eq!(seeds(&world).len(), 1, "{what}");
        assert!(drive(&world, &vm).is_some(), "{what}");
        world.delete(&ann, &format!("/vms/{vm}")).await.expect(202);
        world.settle().await;
        assert!(seeds(&world).is_empty(), "{what}: nothing is left");
    }
    for kind in [
        FaultKind::TaskFails("not enough space on target storage".into()),
        FaultKind::Refuse { status: 500, message: "storage 'local' is full".into() },
    ] {
        world.simulator.faults().inject(Fault::once("POST", "/upload", kind));
        let vm = order(&world, &ann, "web").await;
        world.settle().await;

        assert_eq!(text(&world.vm(&ann, &vm).await, "/state"), "failed");
        assert!(seeds(&world).is_empty() && world.our_guests().is_empty());
        world.delete(&ann, &format!("/vms/{vm}")).await.expect(204);
    }
    world.finish().await;
}

#[tokio::test]
async fn an_order_that_is_undone_after_its_cd_was_stored_leaves_no_cd() {
    let (world, ann) = a_world().await;
    for fault in [
        Fault::once("POST", "/status/start", FaultKind::TaskFails("no KVM".into())),
        Fault::once("PUT", "/resize", FaultKind::Refuse { status: 500, message: "no space".into() }),
    ] {
        world.simulator.faults().inject(fault);
        // The answer to the removal is lost as well.
        world.simulator.faults().inject(Fault::once("DELETE", "/content/", FaultKind::DropAfter));
        let vm = order(&world, &ann, "web").await;
        world.settle().await;

        assert_eq!(world.simulator.faults().waiting(), 0, "there was a CD to remove");
        assert_eq!(text(&world.vm(&ann, &vm).await, "/state"), "failed");
        assert!(seeds(&world).is_empty() && world.our_guests().is_empty());
        world.delete(&ann, &format!("/vms/{vm}")).await.expect(204);
    }
    world.finish().await;
}

#[tokio::test]
async fn a_cd_that_is_not_where_new_ones_go_is_still_removed() {
    let (world, ann) = a_world().await;
    let vm = order(&world, &ann, "web").await;
    world.settle().await;

    world.execute("update clusters set iso_storage = null").await;
    world.delete(&ann, &format!("/vms/{vm}")).await.expect(202);
    world.settle().await;

    assert!(seeds(&world).is_empty(), "the guest said where its CD was before it went");
    world.finish().await;
}

async fn rebuild(world: &World, ann: &Customer, vm: &str, user_data: Option<&str>) {
    let new = Rebuild { image: world.images[1], ssh_keys: Vec::new(), user_data: user_data.map(str::to_owned) };
    vms::rebuild(&world.app, ann.organisation, vm.parse().unwrap(), &new, &Actor::system()).await.unwrap();
    world.settle().await;
    assert_eq!(world.text("select error from jobs order by number desc limit 1").await, "");
}

#[tokio::test]
async fn a_rebuild_makes_a_cd_for_the_new_system_and_removes_the_old_one() {
    let (world, ann) = a_world().await;
    let vm = order(&world, &ann, "web").await;
    world.settle().await;
    let content = || file(&seeds(&world)[0].file.contents.clone().unwrap(), "user-data").unwrap();

    for (given, stored) in [(None, USER_DATA), (Some("#!/bin/sh\r\ntrue\n"), "#!/bin/sh\ntrue\n")] {
        rebuild(&world, &ann, &vm, given).await;
        assert_eq!(seeds(&world).len(), 1);
        assert!(drive(&world, &vm).unwrap().contains(&format!("{vm}-{}.iso", world.vmid(&vm))));
        assert_eq!(content(), stored);
        assert_eq!(world.get(&ann, &format!("/vms/{vm}/user-data")).await.expect(200)["user_data"], stored);
    }
    rebuild(&world, &ann, &vm, Some("")).await;
    assert!(seeds(&world).is_empty(), "taken away, and the old one's removed");
    assert!(world.guest(&vm).unwrap().config.get("ide2").unwrap().contains("cloudinit"));
    world.get(&ann, &format!("/vms/{vm}/user-data")).await.problem(404);
    world.finish().await;
}

#[tokio::test]
async fn a_rebuild_that_fails_leaves_the_old_system_its_cd_and_its_text() {
    let (world, ann) = a_world().await;
    let vm = order(&world, &ann, "web").await;
    world.settle().await;
    let volumes = || seeds(&world).iter().map(Volume::volid).collect::<Vec<_>>();
    let before = (volumes(), drive(&world, &vm));
    let full = FaultKind::TaskFails("not enough space on target storage".into());
    for (path, kind) in [("/upload", full), ("/resize", FaultKind::Refuse { status: 500, message: "no".into() })] {
        world.simulator.faults().inject(Fault { method: None, ..Fault::once("POST", path, kind) });
        let new = Rebuild { image: world.images[1], ssh_keys: Vec::new(), user_data: Some("#!/bin/sh\n".into()) };
        vms::rebuild(&world.app, ann.organisation, vm.parse().unwrap(), &new, &Actor::system()).await.unwrap();
        world.settle().await;

        assert_eq!(world.simulator.faults().waiting(), 0, "{path}");
        assert_eq!((volumes(), drive(&world, &vm)), before, "{path}");
        assert_eq!(world.get(&ann, &format!("/vms/{vm}/user-data")).await.expect(200)["user_data"], USER_DATA);
    }
    world.finish().await;
}

#[tokio::test]
async fn the_seed_cd_is_no_image_for_operators_and_no_drive_for_customers() {
    let (world, ann) = a_world().await;
    let admin = world.admin().await;
    let vm = order(&world, &ann, "web").await;
    world.settle().await;
    world.look().await;

    let path = format!("/admin/clusters/{}/isos", world.cluster);
    world.post(&admin, &format!("{path}/refresh"), &json!({})).await;
    assert_eq!(world.count("select count(*) from iso_images where volume like '%uni-manager-%'").await, 0);
    let before = drive(&world, &vm);
    let changes = vms::Changes { name: Some("web-2".into()), ..vms::Changes::default() };
    vms::configure(&world.app, ann.organisation, vm.parse().unwrap(), &changes, &Actor::system()).await.unwrap();
    world.settle().await;
    assert_eq!(drive(&world, &vm), before, "the CD drive that customers change is another one");
    world.finish().await;
}

#[tokio::test]
async fn a_cd_is_stored_once_wherever_the_worker_is_killed() {
    let world = real_world().await;
    offer(&world).await;
    let ann = world.customer("ann", "50").await;
    for (number, point) in SEED.into_iter().enumerate() {
        world.app.clock.set(crate::world::machine_time());
        let vm = order(&world, &ann, &format!("web-{number}")).await;
        die_at(&world, point).await;
        outlive(&world);
        world.settle().await;

        assert_eq!(world.state(&ann, &vm).await, "running", "{point}");
        assert_eq!(seeds(&world).len(), number + 1, "{point}: one for each");
        assert!(drive(&world, &vm).is_some(), "{point}");
    }
    for point in REMOVE {
        world.app.clock.set(crate::world::machine_time().max(world.now()));
        let vms = world.get(&ann, "/vms?limit=1").await.expect(200);
        let vm = text(&vms, "/items/0/id");
        let before = seeds(&world).len();
        world.delete(&ann, &format!("/vms/{vm}")).await.expect(202);
        // The process reads the machine's clock, which the jobs must be due by.
        world.execute("update jobs set run_at = run_at - interval '1 hour'").await;
        die_at(&world, point).await;
        outlive(&world);
        world.settle().await;

        world.get(&ann, &format!("/vms/{vm}")).await.problem(404);
        assert_eq!(seeds(&world).len(), before - 1, "{point}: its CD is gone, the others' are not");
    }
    world.finish().await;
}
