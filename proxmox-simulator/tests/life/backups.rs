use proxmox_simulator::{Options, Release, Simulator, Timing, TokenGrant};
use serde_json::{Value, json};

use super::{Client, get, log, make, options, run, start};

const VM: &str = "/nodes/pve1/qemu/200";
const CONTENT: &str = "/nodes/pve1/storage/vault/content";

async fn back_up(client: &Client, more: &[(&str, &str)]) -> String {
    let form = [&[("vmid", "200"), ("storage", "vault"), ("compress", "zstd")][..], more].concat();
    run(client, "POST", "/nodes/pve1/vzdump", &form).await
}

async fn list(client: &Client) -> Vec<Value> {
    get(client, &format!("{CONTENT}?content=backup&vmid=200")).await.as_array().unwrap().clone()
}

fn volid(entry: &Value) -> &str {
    entry["volid"].as_str().unwrap()
}

#[tokio::test]
async fn a_backup_is_a_volume_with_notes_and_protection() {
    let (_simulator, client) = start(Timing::instant());
    make(&client, "200", "local-lvm:4").await;
    let more = [("notes-template", "{{guestname}} {{vmid}} on {{node}}\\nsecond line"), ("protected", "1")];
    assert_eq!(back_up(&client, &more).await, "OK");
    assert_eq!(back_up(&client, &[]).await, "OK");
    let backups = list(&client).await;
    assert_eq!(backups.len(), 2, "two within a second are two");
    let first = backups.iter().find(|backup| backup["protected"] == 1).unwrap();
    let name = volid(first);
    assert!(name.starts_with("vault:backup/vzdump-qemu-200-20") && name.ends_with(".vma.zst"), "{name}");
    assert_eq!((&first["vmid"], &first["subtype"], &first["format"]), (&json!(200), &json!("qemu"), &json!("vma.zst")));
    assert_eq!(first["notes"], "life 200 on pve1", "a list has the first line only");
    assert!(first["size"].as_u64().unwrap() > 0 && first["ctime"].as_u64().unwrap() > 1_700_000_000);
    let whole = get(&client, &format!("{CONTENT}/{name}")).await;
    assert_eq!(whole["notes"], "life 200 on pve1\nsecond line");
    let file = name.rsplit('/').next().unwrap();
    assert_eq!(whole["path"], format!("/mnt/pve/vault/dump/{file}"));
    let text = get(&client, &format!("/nodes/pve1/vzdump/extractconfig?volume={name}")).await;
    assert!(text.as_str().unwrap().contains("\nname: life\n"), "{text}");

    let refused = client.send("DELETE", &format!("{CONTENT}/{name}?delay=5"), &[]).await;
    let inner = name.strip_prefix("vault:").unwrap();
    assert_eq!((refused.status, refused.reason), (500, format!("cannot remove protected volume '{inner}' on 'vault'")));
    client.send("PUT", &format!("{CONTENT}/{name}"), &[("protected", "0"), ("notes", "new")]).await.data();
    assert_eq!(get(&client, &format!("{CONTENT}/{inner}")).await["notes"], "new", "the name alone will do");
    assert_eq!(client.send("DELETE", &format!("{CONTENT}/{name}?delay=5"), &[]).await.data(), &Value::Null);
    let other = volid(&list(&client).await[0]).to_owned();
    let upid = client.send("DELETE", &format!("{CONTENT}/{other}"), &[]).await.upid();
    assert!(upid.contains(":imgdel:200@vault:"), "{upid}");
    assert_eq!(list(&client).await.len(), 0);
    assert_eq!(get(&client, "/nodes/pve1/vzdump/defaults").await["mode"], "snapshot");
}

#[tokio::test]
async fn a_stopped_guest_looks_running_while_it_is_backed_up() {
    let (simulator, client) = start(Timing::instant());
    make(&client, "200", "local-lvm:4").await;
    simulator.freeze_task("vzdump");
    let upid = client.post("/nodes/pve1/vzdump", &[("vmid", "200"), ("storage", "vault")]).await.upid();
    let current = get(&client, &format!("{VM}/status/current")).await;
    assert_eq!(
        (&current["status"], &current["qmpstatus"], &current["lock"]),
        (&json!("running"), &json!("prelaunch"), &json!("backup"))
    );
    assert_eq!(current["netin"], 0);
    assert_eq!(client.send("PUT", &format!("{VM}/config"), &[("cores", "2")]).await.reason, "VM is locked (backup)");
    assert_eq!(client.post(&format!("{VM}/migrate"), &[("target", "pve2")]).await.reason, "VM is locked (backup)");
    assert_eq!(list(&client).await.len(), 0, "the archive appears when it is whole");

    // Other jobs wait for the node; when one waits in vain its worker is gone without a word.
    make(&client, "201", "local-lvm:4").await;
    simulator.freeze_task(&upid);
    simulator.thaw_task("vzdump");
    let form = [("vmid", "201"), ("storage", "vault")];
    let patient = client.post("/nodes/pve1/vzdump", &form).await.upid();
    let hurried = client.post("/nodes/pve1/vzdump", &[&form[..], &[("lockwait", "0")]].concat()).await.upid();
    assert_eq!(client.wait(&hurried).await, "unexpected status");
    let lines = log(&client, &hurried).await;
    assert_eq!(lines.last().unwrap(), "ERROR: can't acquire lock '/var/run/vzdump.lock' - got timeout");
    assert_eq!(get(&client, "/nodes/pve1/qemu/201/config").await.get("lock"), None, "nothing of it has begun");
    simulator.thaw_task(&upid);
    assert_eq!(client.exit(&upid).await, "OK");
    assert_eq!(client.wait(&patient).await, "OK");
    let current = get(&client, &format!("{VM}/status/current")).await;
    assert_eq!((&current["status"], current.get("lock")), (&json!("stopped"), None));
    assert_eq!(list(&client).await.len(), 1);
}

#[tokio::test]
async fn a_job_goes_on_after_a_guest_that_failed_and_says_ok_for_one_that_moved() {
    let (simulator, client) = start(Timing::instant());
    make(&client, "200", "local-lvm:4").await;
    make(&client, "201", "local-lvm:4").await;
    simulator.set_lock(200, Some("migrate"));
    let upid = client.post("/nodes/pve1/vzdump", &[("vmid", "200,201"), ("storage", "vault")]).await.upid();
    assert!(upid.contains(":vzdump::root@pam"), "several guests have no id: {upid}");
    assert_eq!(client.exit(&upid).await, "job errors");
    let lines = log(&client, &upid).await;
    assert!(lines.contains(&"ERROR: Backup of VM 200 failed - VM is locked (migrate)".to_owned()), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("INFO: Finished Backup of VM 201 (")), "{lines:?}");
    simulator.set_lock(200, None);
    assert!(simulator.move_guest(200, "pve2"));
    assert_eq!(client.post("/nodes/pve1/vzdump", &[("vmid", "200"), ("storage", "vault")]).await.data(), "OK");
    assert_eq!(list(&client).await.len(), 0, "and nothing was backed up");
    let wrong = client.post("/nodes/pve1/vzdump", &[("vmid", "201"), ("storage", "shared")]).await.upid();
    assert!(client.exit(&wrong).await.contains("wrong content type"));
    assert_eq!(client.post("/nodes/pve1/vzdump", &[("storage", "vault")]).await.status, 400);
}

#[tokio::test]
async fn a_rule_prunes_what_it_does_not_keep_and_never_what_is_protected() {
    let (_simulator, client) = start(Timing::instant());
    make(&client, "200", "local-lvm:4").await;
    assert_eq!(back_up(&client, &[("protected", "1")]).await, "OK");
    for _ in 0..3 {
        assert_eq!(back_up(&client, &[]).await, "OK");
    }
    let prune = "/nodes/pve1/storage/vault/prunebackups";
    let marks = get(&client, &format!("{prune}?prune-backups=keep-last%3D1&vmid=200")).await;
    let count = |mark: &str| marks.as_array().unwrap().iter().filter(|entry| entry["mark"] == mark).count();
    assert_eq!((count("keep"), count("remove"), count("protected")), (1, 2, 1));
    assert_eq!(list(&client).await.len(), 4, "looking removes nothing");
    assert_eq!(run(&client, "DELETE", &format!("{prune}?prune-backups=keep-last%3D2"), &[]).await, "OK");
    assert_eq!(list(&client).await.len(), 3);
    assert_eq!(back_up(&client, &[("prune-backups", "keep-last=1"), ("remove", "0")]).await, "OK");
    assert_eq!(list(&client).await.len(), 4);
    assert_eq!(back_up(&client, &[("prune-backups", "keep-last=1")]).await, "OK");
    assert_eq!(list(&client).await.len(), 2);
    assert_eq!(client.get(&format!("{prune}?prune-backups=keep-some%3D1")).await.status, 400);
}

#[tokio::test]
async fn a_restore_brings_the_old_state_back_or_makes_another_guest() {
    let (simulator, client) = start(Timing::instant());
    make(&client, "200", "local-lvm:4").await;
    let config = get(&client, &format!("{VM}/config")).await;
    assert_eq!(back_up(&client, &[]).await, "OK");
    let archive = volid(&list(&client).await[0]).to_owned();
    assert_eq!(run(&client, "PUT", &format!("{VM}/resize"), &[("disk", "scsi0"), ("size", "8G")]).await, "OK");
    client.send("PUT", &format!("{VM}/config"), &[("cores", "4"), ("scsi1", "local-lvm:2")]).await.data();
    assert_eq!(run(&client, "POST", &format!("{VM}/snapshot"), &[("snapname", "s1")]).await, "OK");

    let restore = |vmid: &'static str, more: Vec<(&'static str, &'static str)>| {
        let (client, archive) = (client.clone(), archive.clone());
        async move {
            let form = [&[("vmid", vmid), ("archive", archive.as_str())][..], &more].concat();
            client.post("/nodes/pve1/qemu", &form).await
        }
    };
    assert_eq!(restore("200", vec![]).await.reason, "unable to restore VM 200 - VM 200 already exists on node 'pve1'");
    assert_eq!(
        restore("201", vec![("scsi0", "local-lvm:1")]).await.body["errors"]["scsi0"],
        "option conflicts with option 'archive'"
    );
    assert_eq!(run(&client, "POST", &format!("{VM}/status/start"), &[]).await, "OK");
    let upid = restore("200", vec![("force", "1")]).await.upid();
    assert_eq!(client.exit(&upid).await, "unable to restore VM 200 - vm is running");
    assert_eq!(get(&client, &format!("{VM}/config")).await.get("lock"), None);
    assert_eq!(run(&client, "POST", &format!("{VM}/status/stop"), &[]).await, "OK");
    let upid = restore("200", vec![("force", "1")]).await.upid();
    assert!(upid.contains(":qmrestore:200:"), "{upid}");
    assert_eq!(client.exit(&upid).await, "OK");
    let after = get(&client, &format!("{VM}/config")).await;
    for option in ["name", "cores", "scsi0", "net0", "smbios1", "ide2"] {
        assert_eq!(after[option], config[option], "{option}");
    }
    assert_eq!(after.get("scsi1"), None);
    assert_eq!(get(&client, &format!("{VM}/snapshot")).await.as_array().unwrap().len(), 1);
    let left = simulator.inspect(|cluster| {
        cluster.volumes("local-lvm", "pve1").iter().filter(|volume| volume.vmid == Some(200)).count()
    });
    assert_eq!(left, 2, "its disk and its cloud-init drive");

    let more = vec![("unique", "1"), ("storage", "shared"), ("start", "1"), ("memory", "2048")];
    assert_eq!(client.exit(&restore("201", more).await.upid()).await, "OK");
    let other = get(&client, "/nodes/pve1/qemu/201/config").await;
    assert_eq!((&other["scsi0"], &other["memory"]), (&json!("shared:vm-201-disk-0,size=4G"), &json!("2048")));
    assert!(other["net0"] != config["net0"] && other["smbios1"] != config["smbios1"]);
    assert_eq!(get(&client, "/nodes/pve1/qemu/201/status/current").await["status"], "running");

    // What is not there cannot be restored, and the stub stays as Proxmox leaves it.
    let form = [("vmid", "202"), ("archive", "vault:backup/vzdump-qemu-200-2020_01_01-00_00_00.vma")];
    let exit = run(&client, "POST", "/nodes/pve1/qemu", &form).await;
    assert!(exit.starts_with("unable to restore VM 202 - command "), "{exit}");
    assert_eq!(get(&client, "/nodes/pve1/qemu/202/config").await.get("lock"), None);
}

#[tokio::test]
async fn who_may_back_up_one_guest_sees_and_restores_only_its_backups() {
    let mut options = options(Timing::instant());
    options.restricted_tokens = vec![TokenGrant {
        id: "customer@pve!t".to_owned(),
        secret: "s".to_owned(),
        grants: vec![
            ("/vms/200".to_owned(), vec!["VM.Audit".to_owned(), "VM.Backup".to_owned()]),
            ("/storage/vault".to_owned(), vec!["Datastore.AllocateSpace".to_owned()]),
        ],
    }];
    let simulator = Simulator::start(options).unwrap();
    let client = Client::new(&simulator);
    make(&client, "200", "local-lvm:4").await;
    make(&client, "201", "local-lvm:4").await;
    assert_eq!(run(&client, "POST", "/nodes/pve1/vzdump", &[("vmid", "200,201"), ("storage", "vault")]).await, "OK");
    let customer = client.with(Some("PVEAPIToken=customer@pve!t=s"));
    let seen = get(&customer, &format!("{CONTENT}?content=backup")).await;
    assert_eq!(seen.as_array().unwrap().len(), 1);
    let own = volid(&seen[0]).to_owned();
    let all = get(&client, &format!("{CONTENT}?content=backup")).await;
    let foreign = all.as_array().unwrap().iter().map(volid).find(|name| *name != own).unwrap().to_owned();
    assert_eq!(
        customer.get(&format!("{CONTENT}/{foreign}")).await.reason,
        "Permission check failed (/vms/201, VM.Backup)"
    );
    assert_eq!(customer.send("DELETE", &format!("{CONTENT}/{foreign}"), &[]).await.status, 403);
    assert_eq!(customer.post("/nodes/pve1/vzdump", &[("vmid", "201"), ("storage", "vault")]).await.status, 403);
    assert_eq!(customer.post("/nodes/pve1/qemu", &[("vmid", "300"), ("archive", &own)]).await.status, 403);
    let upid = customer.post("/nodes/pve1/qemu", &[("vmid", "200"), ("archive", &own), ("force", "1")]).await.upid();
    assert_eq!(customer.exit(&upid).await, "OK");
    for _ in 0..5 {
        let form = [("vmid", "200"), ("storage", "vault"), ("protected", "1")];
        assert_eq!(run(&customer, "POST", "/nodes/pve1/vzdump", &form).await, "OK");
    }
    let answer = customer.send("PUT", &format!("{CONTENT}/{own}"), &[("protected", "1")]).await;
    assert_eq!(answer.reason, "The number of protected backups per guest is limited to 5 on storage 'vault'");
}

#[tokio::test]
async fn a_backup_server_tells_logical_sizes_and_what_it_verified() {
    let mut options = options(Timing::instant());
    let vault = options.storages.iter_mut().find(|storage| storage.id == "vault").unwrap();
    vault.kind = "pbs".to_owned();
    let simulator = Simulator::start(options).unwrap();
    let client = Client::new(&simulator);
    make(&client, "200", "local-lvm:4").await;
    assert_eq!(back_up(&client, &[]).await, "OK");
    let name = volid(&list(&client).await[0]).to_owned();
    assert!(name.starts_with("vault:backup/vm/200/20") && name.ends_with('Z'), "{name}");
    assert!(!simulator.verify_backup("pve1", "vault:backup/vm/200/nothing", true));
    assert!(simulator.verify_backup("pve1", &name, false));
    let backup = list(&client).await[0].clone();
    assert_eq!((&backup["size"], &backup["format"]), (&json!(4_u64 << 30), &json!("pbs-vm")));
    assert_eq!(backup["verification"]["state"], "failed");
    let form = [("vmid", "201"), ("archive", name.as_str())];
    assert_eq!(run(&client, "POST", "/nodes/pve1/qemu", &form).await, "OK");
}

#[tokio::test]
async fn the_older_release_takes_what_the_newer_one_refuses() {
    for (release, status) in [(Release::V8_4, 200), (Release::V9_2, 400)] {
        let simulator = Simulator::start(Options { release, ..options(Timing::instant()) }).unwrap();
        let client = Client::new(&simulator);
        make(&client, "200", "local-lvm:4").await;
        let form = [("vmid", "200"), ("storage", "vault"), ("maxfiles", "2")];
        assert_eq!(client.post("/nodes/pve1/vzdump", &form).await.status, status, "{release:?}");
    }
}
