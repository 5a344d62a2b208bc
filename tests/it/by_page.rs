//! What is done on pages, as people do it: the page is opened, its form is filled in and sent. Each change is told in the audit
//! log, which the end of every test looks at.

use chrono::TimeDelta;
use proxmox_client::{CloneVm, ConfigChange};
use proxmox_simulator::{Fault, FaultKind, Options, Simulator};
use reqwest::Method;
use serde_json::json;

use crate::notifications::tell;
use crate::second_factor::browser::Browser;
use crate::second_factor::with_app;
use crate::world::{Customer, World, new_cluster, send, text};

#[tokio::test]
async fn a_customer_runs_a_machine_on_its_pages() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let mut browser = Browser::logged_in(&world, &ann).await;

    let key = [
        ("name", "desktop"),
        ("key", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB8eHRwbGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgEA ann"),
    ];
    browser.does(&world, "/ssh-keys", "/ssh-keys", &key).await;
    let desktop = world.text("select id::text from ssh_keys where name = 'desktop'").await;
    browser.does(&world, "/ssh-keys", &format!("/ssh-keys/{desktop}/delete"), &[]).await;

    let (plan, location) = (world.plan("s").await, world.location.to_string());
    let image = world.images[0].to_string();
    let order =
        [("name", "web"), ("location", location.as_str()), ("image", &image), ("plan", &plan), ("ssh_keys", &ann.key)];
    browser.does(&world, "/vms/new", "/vms", &order).await;
    world.run_due_jobs().await;
    let vm = world.text("select id::text from vms").await;
    let page = format!("/vms/{vm}");
    for (what, state) in [("stop", "stopped"), ("start", "running"), ("reboot", "running")] {
        browser.does(&world, &page, &format!("{page}/{what}"), &[]).await;
        world.run_due_jobs().await;
        assert_eq!(world.state(&ann, &vm).await, state, "{what}");
    }
    browser.does(&world, &format!("{page}/delete"), &format!("{page}/delete"), &[("name", "web")]).await;
    world.run_due_jobs().await;
    assert!(world.our_guests().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn recovery_codes_are_made_anew_on_their_page() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let (phone, codes) = with_app(&world, &ann).await;
    let mut browser = Browser::default();
    assert!(browser.gives_password(&world, &ann).await.starts_with("/login/code"));
    browser.get(&world, "/login/code").await;
    assert_eq!(browser.post(&world, "/login/code", &[("code", &phone.shows(&world))]).await.status, 303);

    let action = "/account/security/recovery-codes";
    let made = browser.fills_in(&world, "/account/security", action, &[]).await;
    assert!(made.status < 400 && !codes.iter().any(|code| made.text.contains(code)), "{} {}", made.status, made.text);
    world.finish().await;
}

#[tokio::test]
async fn an_operator_gives_credit_and_sells_on_pages_and_through_the_api() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "0").await, world.admin().await);
    let mut browser = Browser::logged_in(&world, &admin).await;

    let customer = format!("/admin/customers/{}", ann.organisation);
    let credit = [("amount", "2.50"), ("reason", "Paid by bank transfer")];
    browser.does(&world, &customer, &format!("{customer}/credits"), &credit).await;
    assert_eq!(world.balance(&ann).await, "2.500000");
    let list = world.text("select id::text from price_lists").await;
    let lists = "/admin/price-lists";
    browser.does(&world, lists, lists, &[("name", "Friends"), ("copy_of", &list)]).await;

    world.execute("update settings set price_notice_days = 0").await;
    let price = json!({ "kind": "vm_running", "plan": world.plan("s").await, "price_per_hour": "0.03" });
    let change = json!({ "effective_from": "2026-11-20T15:00:00Z", "prices": [price] });
    let version = world.post(&admin, &format!("{lists}/{list}/versions"), &change).await.expect(201);
    let number = version["number"].as_i64().unwrap_or(2);
    assert_eq!(world.delete(&admin, &format!("{lists}/{list}/versions/{number}")).await.status, 204);
    let plan = json!({
        "slug": "tiny", "name": "Tiny", "vcpu": 1, "memory_mib": 512, "disk_gib": 10,
        "prices": [{ "price_list": list, "price_running_per_hour": "0.005", "price_stopped_per_hour": "0.001" }],
    });
    let tiny = world.post(&admin, "/admin/plans", &plan).await.expect(201);
    let path = format!("/admin/plans/{}", text(&tiny, "/id"));
    assert_eq!(world.post(&admin, &format!("{path}/retire"), &json!({})).await.status, 204);
    assert_eq!(world.post(&admin, &format!("{path}/sell"), &json!({})).await.status, 204);
    world.finish().await;
}

#[tokio::test]
async fn an_operator_adds_changes_and_removes_a_cluster_on_its_pages() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "5").await, world.admin().await);
    let mut browser = Browser::logged_in(&world, &admin).await;
    let other = Simulator::start(Options { identity: None, ..Options::default() }).unwrap();
    let new = new_cluster(&other, world.location);
    let location = world.location.to_string();
    let (endpoint, token, secret) =
        (new.endpoint.clone(), new.token_id.clone(), other.token().split_once('=').unwrap().1.to_owned());
    let typed = [
        ("name", "second"),
        ("location", location.as_str()),
        ("endpoint", &endpoint),
        ("token_id", &token),
        ("secret", &secret),
        ("fingerprint", &new.fingerprint),
        ("storage", "shared"),
        ("bridge", "vmbr0"),
        ("vmid_from", "10000"),
        ("vmid_to", "19999"),
    ];
    browser.does(&world, "/admin/clusters/new", "/admin/clusters", &typed).await;
    let second = format!("/admin/clusters/{}", world.text("select id::text from clusters where name = 'second'").await);
    browser.does(&world, &format!("{second}/settings"), &format!("{second}/remove"), &[]).await;
    // Through the API as well.
    let body = json!({
        "name": "third", "location": location, "endpoint": endpoint, "token_id": token, "token_secret": secret,
        "fingerprint": new.fingerprint, "storage": "shared", "bridge": "vmbr0", "vmid_from": "10000", "vmid_to": "19999",
    });
    world.post(&admin, "/admin/clusters", &body).await.expect(201);

    let first = format!("/admin/clusters/{}", world.cluster);
    let settings = format!("{first}/settings");
    browser.does(&world, &settings, &settings, &[("name", "renamed"), ("iso_storage", "local")]).await;
    browser.does(&world, &first, &format!("{first}/maintenance"), &[]).await;
    browser.does(&world, &first, &format!("{first}/maintenance"), &[]).await;
    browser
        .does(&world, &first, &format!("{first}/templates"), &[(&format!("template_{}", world.images[1]), "")])
        .await;
    browser.does(&world, &first, &format!("{first}/isos/refresh"), &[]).await;
    let iso = world.text("select id::text from iso_images").await;
    browser
        .does(&world, &first, &format!("{first}/isos"), &[(&format!("name_{iso}"), "Debian 12"), ("rescue", &iso)])
        .await;
    let again = [("url", world.simulator.url()), ("fingerprint", world.simulator.fingerprint().to_owned())];
    world.execute("update clusters set endpoint = 'https://127.0.0.1:1', updated_at = updated_at + interval '1 second' where name = 'renamed'").await;
    let again: Vec<_> = again.iter().map(|(name, value)| (*name, value.as_str())).collect();
    browser.does(&world, &first, &format!("{first}/endpoints"), &again).await;

    // A customer starts the rescue system that was chosen there.
    let vm = world.running_vm(&ann, "web").await;
    let mut customer = Browser::logged_in(&world, &ann).await;
    let boot = format!("/vms/{vm}/boot");
    customer.does(&world, &format!("/vms/{vm}/rebuild"), &boot, &[("boot", "rescue")]).await;
    world.run_due_jobs().await;
    world.finish().await;
}

/// A guest of somebody else on the world's first node.
pub async fn foreign_guest(world: &World, vmid: u32) {
    let client = world.app.connections.client(&world.app, world.cluster).await.unwrap();
    let order = CloneVm::new(vmid).name("Legacy").full(true).storage("shared");
    client.clone_vm("pve1", 9000, &order).await.unwrap();
    client.set_vm_config("pve1", vmid, &ConfigChange::new().cores(2).memory_mib(4096)).await.unwrap();
    client.start("pve1", vmid).await.unwrap();
    world.look().await;
}

#[tokio::test]
async fn an_operator_adopts_a_guest_and_lets_it_go_on_pages() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "5").await, world.admin().await);
    foreign_guest(&world, 500).await;
    let mut browser = Browser::logged_in(&world, &admin).await;
    let (plan, organisation) = (world.plan("s").await, ann.organisation.to_string());
    let image = world.images[0].to_string();
    let page = format!("/admin/foreign-guests/{}/500", world.cluster);
    let order = [("organisation", organisation.as_str()), ("plan", &plan), ("image", &image), ("name", "legacy")];

    browser.does(&world, &page, &page, &order).await;
    world.run_due_jobs().await;
    let vm = world.text("select id::text from vms").await;
    assert_eq!(world.state(&ann, &vm).await, "running");
    browser.does(&world, "/admin/foreign-guests", &format!("/admin/vms/{vm}/release"), &[]).await;
    world.settle().await;
    world.get(&ann, &format!("/vms/{vm}")).await.problem(404);
    world.finish().await;
}

#[tokio::test]
async fn an_operator_decides_on_a_difference_on_its_page() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "5").await, world.admin().await);
    let vm = world.running_vm(&ann, "web").await;
    world.advance(TimeDelta::seconds(60));
    world.look().await;
    let mut browser = Browser::logged_in(&world, &admin).await;
    let client = world.app.connections.client(&world.app, world.cluster).await.unwrap();
    let (node, vmid) = (world.guest(&vm).unwrap().node, world.vmid(&vm));
    for (decision, cores) in [("accept", 4), ("enforce", 6)] {
        client.stop(&node, vmid).await.unwrap();
        client.set_vm_config(&node, vmid, &ConfigChange::new().cores(cores)).await.unwrap();
        client.start(&node, vmid).await.unwrap();
        world.look().await;
        let drift = world.text("select id::text from drifts order by id desc limit 1").await;
        browser.does(&world, "/admin/drift", &format!("/admin/drift/{drift}/{decision}"), &[]).await;
        world.run_due_jobs().await;
    }
    world.finish().await;
}

/// A deletion that is stuck.
async fn stuck(world: &World, ann: &Customer, admin: &Customer) -> String {
    let vm = world.running_vm(ann, "web").await;
    let fault = Fault::once("DELETE", "/qemu/", FaultKind::TaskFails("unable to remove volume".into()));
    world.simulator.faults().inject(fault);
    world.delete(ann, &format!("/vms/{vm}")).await.expect(202);
    world.settle().await;
    let listed = world.get(admin, "/admin/jobs").await.expect(200);
    text(&listed, "/items/0/id").to_owned()
}

#[tokio::test]
async fn an_operator_lets_a_stuck_job_try_again_or_undoes_it_on_its_page() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "5").await, world.admin().await);
    let mut browser = Browser::logged_in(&world, &admin).await;
    let job = format!("/admin/jobs/{}", stuck(&world, &ann, &admin).await);
    browser.does(&world, &job, &format!("{job}/retry"), &[]).await;
    world.settle().await;
    assert!(world.our_guests().is_empty());

    // What has not begun is called off.
    world.order(&ann, "other").await;
    let waiting = world.text("select id::text from jobs where kind = 'vm.create' order by number desc limit 1").await;
    let job = format!("/admin/jobs/{waiting}");
    browser.does(&world, &job, &format!("{job}/undo"), &[]).await;
    world.settle().await;
    assert!(world.our_guests().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn notices_are_read_through_the_api_and_a_mail_is_sent_again_through_it() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "0").await, world.admin().await);
    tell(&world, &ann, "runs-out:").await;
    let notice = world.text("select id::text from notifications where read_at is null order by id desc limit 1").await;
    assert!(world.post(&ann, &format!("/notifications/{notice}/read"), &json!({})).await.status < 300);
    world.execute("update notifications set read_at = null").await;
    assert!(world.post(&ann, "/notifications/read", &json!({})).await.status < 300);

    world.execute("update mails set status = 'failed' where id = (select id from mails order by id limit 1)").await;
    let mail = world.text("select id::text from mails where status = 'failed'").await;
    assert!(world.post(&admin, &format!("/admin/mails/{mail}/retry"), &json!({})).await.status < 300);
    send(world.api(&ann, Method::GET, "/notifications").await).await.expect(200);
    world.settle().await;
    world.finish().await;
}
