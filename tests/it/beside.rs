//! What a machine has beside itself is charged as well: disk beyond its plan, an address, the licence of its system. From its
//! first hour to the invoice, and by a second rating.

use proxmox_client::{CloneVm, ConfigChange};
use serde_json::{Value, json};

use crate::ledger_export::folder;
use crate::ledger_proof::rerated;
use crate::money_pages::explained;
use crate::world::{Customer, Start, World, at, text};

/// The VMID of a guest that somebody made by hand.
const VMID: u32 = 300;

/// Everything that was charged for a thing, oldest first: from, to, quantity, rate and amount.
async fn charged(world: &World, customer: &Customer, kind: &str) -> Vec<Value> {
    let list = world.get(customer, "/charges?limit=100").await.expect(200);
    let mut found: Vec<_> =
        list["items"].as_array().unwrap().iter().filter(|one| one["kind"] == kind).cloned().collect();
    found.reverse();
    found
}

#[tokio::test]
async fn disk_address_and_licence_are_charged_hour_for_hour_and_invoiced() {
    let world = World::starting(Start { now: at("2026-11-30T12:00:00Z"), ..Start::default() }).await;
    let (ann, admin) = (world.customer("ann", "5").await, world.admin().await);
    // No screen says of an image that it needs a licence.
    let image = world.images[0];
    sqlx::query("update images set licence = 'Windows Server' where id = $1")
        .bind(image.uuid())
        .execute(&world.app.pool)
        .await
        .unwrap();
    world.execute("update settings set price_notice_days = 0").await;
    let lists = world.get(&admin, "/admin/price-lists").await.expect(200);
    let prices = json!([
        { "kind": "disk", "price_per_hour": "0.0001" },
        { "kind": "address", "price_per_hour": "0.005", "monthly_cap": "0.012" },
        { "kind": "image_licence", "image": image, "price_per_hour": "0.03" },
    ]);
    let new = json!({ "effective_from": "2026-11-30T12:30:00Z", "prices": prices });
    let path = format!("/admin/price-lists/{}/versions", text(&lists, "/items/0/id"));
    world.post(&admin, &path, &new).await.expect(201);
    world.hours(1);

    // A machine with 60 GiB on a plan that comes with 40.
    let client = world.app.connections.client(&world.app, world.cluster).await.unwrap();
    let order = CloneVm::new(VMID).name("legacy").full(true).storage("shared");
    client.clone_vm("pve1", 9000, &order).await.unwrap();
    client.set_vm_config("pve1", VMID, &ConfigChange::new().cores(2).memory_mib(4096)).await.unwrap();
    client.resize_disk("pve1", VMID, "scsi0", 60).await.unwrap();
    client.start("pve1", VMID).await.unwrap();
    world.look().await;
    let free = world.text("select host(max(address)) from addresses where vm_id is null").await;
    let body = json!({ "organisation": ann.organisation, "plan": world.plan("s").await, "image": image, "name": "legacy", "address": free });
    let path = format!("/admin/foreign-guests/{}/{VMID}/adopt", world.cluster);
    let vm = text(&world.post(&admin, &path, &body).await.expect(202), "/vm").to_owned();
    world.run_due_jobs().await;
    // 0.02 and 20 × 0.0001 and 0.005 and 0.03.
    assert_eq!(world.wallet(&ann).await.burn_per_hour, "0.057".parse().unwrap());

    world.hours_with_passes(2).await;
    assert_eq!(world.balance(&ann).await, "4.886000", "two hours of all of it");
    // The next size comes with more disk than it has.
    let size = json!({ "plan": world.plan("m").await });
    world.post(&ann, &format!("/vms/{vm}/resize"), &size).await.expect(202);
    world.run_due_jobs().await;
    assert_eq!(world.now(), at("2026-11-30T15:00:00Z"));
    world.hours_with_passes(1).await;
    // 0.04, the licence, and what was left under the cap of the address.
    assert_eq!(world.balance(&ann).await, "4.814000");
    world.tell(&ann, &vm, "shutdown").await.expect(202);
    world.run_due_jobs().await;
    assert_eq!(world.state(&ann, &vm).await, "stopped");
    world.hours_with_passes(1).await;
    assert_eq!(world.balance(&ann).await, "4.774000", "it stands still for 0.01, and needs its licence");

    let disk = charged(&world, &ann, "disk").await;
    assert_eq!(disk.len(), 2);
    assert_eq!(
        (&disk[0]["quantity"], text(&disk[0], "/price_per_hour"), text(&disk[0], "/amount")),
        (&json!(20), "0.002", "0.002000")
    );
    let address = charged(&world, &ann, "address").await;
    let amounts: Vec<_> = address.iter().map(|charge| text(charge, "/amount")).collect();
    assert_eq!(amounts, ["0.005000", "0.005000", "0.002000", "0.000000"], "up to its cap");
    assert_eq!(charged(&world, &ann, "image_licence").await.len(), 4);
    for (charge, capped) in [(&disk[1], false), (&address[1], false), (&address[2], true)] {
        let why = explained(&world, &ann, charge).await;
        assert_eq!(why["is_capped"], capped, "{why}");
    }
    let why = explained(&world, &ann, &charged(&world, &ann, "image_licence").await[3]).await;
    assert_eq!(text(&why, "/price/per_hour_and_unit"), "0.03", "{why}");

    // Over the month's end, where the address begins anew.
    world.hours_with_passes(9).await;
    assert_eq!(world.balance(&ann).await, "4.404000");
    world.says_who_issues("19").await;
    assert_eq!(world.issue().await.invoices, 1);
    let invoices = world.get(&ann, "/invoices").await.expect(200);
    let invoice = world.get(&ann, &format!("/invoices/{}", text(&invoices, "/items/0/id"))).await.expect(200);
    let mut lines: Vec<_> = invoice["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| [text(line, "/kind"), text(line, "/unit_hours"), text(line, "/amount")])
        .collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            ["address", "11", "0.012000"],
            ["disk", "40", "0.004000"],
            ["image_licence", "11", "0.330000"],
            ["vm_running", "3", "0.080000"],
            ["vm_stopped", "8", "0.080000"],
        ]
    );
    assert_eq!(text(&invoice, "/exact"), "0.506000");
    let (agrees, said) = rerated(&world).await;
    assert!(agrees && said.contains("1 invoices agree"), "{said}");
    std::fs::remove_dir_all(folder(&world)).unwrap();
    world.finish().await;
}
