//! Guests that are not what is sold: every kind of difference with every decision, and what each does to the bill.

use chrono::TimeDelta;
use proxmox_client::{Client, CloneVm, ConfigChange};
use serde_json::{Value, json};

use crate::doors::browser;
use crate::world::{Customer, World, send, text};

/// Longer than a listing may lag behind a job that has just ended, and than the shortest time that is charged.
const LAG_SECONDS: i64 = 90;

struct Stage {
    world: World,
    ann: Customer,
    admin: Customer,
    vm: String,
    vmid: u32,
    client: Client,
}

async fn stage() -> Stage {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let admin = world.admin().await;
    let vm = world.running_vm(&ann, "web").await;
    world.advance(TimeDelta::seconds(LAG_SECONDS));
    world.look().await;
    let client = world.app.connections.client(&world.app, world.cluster).await.unwrap();
    let vmid = world.vmid(&vm);
    Stage { world, ann, admin, vm, vmid, client }
}

impl Stage {
    fn node(&self) -> String {
        self.world.guest(&self.vm).unwrap().node
    }

    /// Somebody changes the guest on the cluster.
    async fn by_hand(&self, change: ConfigChange) {
        self.client.set_vm_config(&self.node(), self.vmid, &change).await.unwrap();
    }

    /// Somebody gives it another size, which is in force after a stop and start.
    async fn resize_by_hand(&self, cores: u32, memory_mib: u64) {
        let node = self.node();
        self.client.stop(&node, self.vmid).await.unwrap();
        self.by_hand(ConfigChange::new().cores(cores).memory_mib(memory_mib)).await;
        self.client.start(&node, self.vmid).await.unwrap();
    }

    /// Every GiB beyond a plan's costs so much an hour from now on.
    async fn disk_costs(&self, price: &str) {
        let (world, admin) = (&self.world, &self.admin);
        world.execute("update settings set price_notice_days = 0").await;
        let lists = world.get(admin, "/admin/price-lists").await.expect(200);
        let from = world.now() + TimeDelta::minutes(30);
        let new = json!({ "effective_from": from, "prices": [{ "kind": "disk", "price_per_hour": price }] });
        world
            .post(admin, &format!("/admin/price-lists/{}/versions", text(&lists, "/items/0/id")), &new)
            .await
            .expect(201);
        world.hours(1);
    }

    /// Its owner shuts the machine down and starts it again.
    async fn restart(&self) {
        for what in ["shutdown", "start"] {
            self.world.tell(&self.ann, &self.vm, what).await.expect(202);
            self.world.run_due_jobs().await;
        }
        self.looks(1).await;
    }

    async fn open(&self) -> Vec<Value> {
        let answer = self.world.get(&self.admin, "/admin/drift").await.expect(200);
        answer["items"].as_array().unwrap().clone()
    }

    /// The one difference that is open.
    async fn only(&self, kind: &str) -> Value {
        let open = self.open().await;
        assert_eq!(open.len(), 1, "{open:?}");
        assert_eq!(text(&open[0], "/kind"), kind);
        open[0].clone()
    }

    async fn decide(&self, drift: &Value, what: &str, body: Value) -> crate::world::Answer {
        self.world.post(&self.admin, &format!("/admin/drift/{}/{what}", text(drift, "/id")), &body).await
    }

    async fn looks(&self, count: usize) {
        for _ in 0..count {
            self.world.look().await;
        }
    }

    fn config(&self, option: &str) -> String {
        let guests = self.world.simulator.guests();
        let guest = guests.iter().find(|guest| guest.vmid == self.vmid).unwrap();
        guest.config.wanted(option).unwrap_or_default().to_owned()
    }
}

#[tokio::test]
async fn a_size_that_is_accepted_is_billed_as_before_and_told_once() {
    let stage = stage().await;
    stage.resize_by_hand(4, 8192).await;
    stage.looks(1).await;
    let drift = stage.only("size").await;
    assert_eq!(text(&drift, "/expected_words"), "2 vCPU, 4 GiB");
    assert_eq!(text(&drift, "/found_words"), "4 vCPU, 8 GiB");
    assert_eq!(text(&drift, "/accept/effect/hour_to"), "0.02");
    assert_eq!(text(&drift, "/adopt/effect/hour_from"), "0.02");
    assert_eq!(text(&drift, "/adopt/effect/hour_to"), "0.04", "plan M fits exactly");
    assert_eq!(text(&drift, "/adopt/effect/month_to"), "26.880000");

    stage.decide(&drift, "accept", json!({})).await.expect(204);
    stage.looks(2).await;
    assert!(stage.open().await.is_empty());
    stage.world.hours_with_passes(1).await;
    assert_eq!(stage.world.text("select sum(amount)::text from charges").await, "0.020000", "an hour of S");
    stage.decide(&drift, "accept", json!({})).await.problem(404);

    // Right again, then wrong again: that is told anew.
    stage.resize_by_hand(2, 4096).await;
    stage.looks(1).await;
    stage.resize_by_hand(4, 8192).await;
    stage.looks(1).await;
    stage.only("size").await;
    assert!(stage.world.events().await.contains(&"vm.drift_accepted".to_owned()));
    stage.world.finish().await;
}

#[tokio::test]
async fn a_size_that_is_adopted_is_billed_by_the_plan_that_fits_from_then_on() {
    let stage = stage().await;
    stage.world.advance(TimeDelta::seconds(900 - LAG_SECONDS));
    stage.resize_by_hand(4, 8192).await;
    stage.looks(1).await;
    let drift = stage.only("size").await;

    stage.decide(&drift, "adopt", json!({})).await.expect(204);
    stage.world.advance(TimeDelta::minutes(45));
    stage.world.charge().await;

    // 0.02 × 15 min + 0.04 × 45 min.
    assert_eq!(stage.world.balance(&stage.ann).await, "4.965000");
    assert_eq!(stage.world.text("select p.slug from vms v join plans p on p.id = v.plan_id").await, "m");
    stage.looks(2).await;
    assert!(stage.open().await.is_empty());
    stage.world.finish().await;
}

#[tokio::test]
async fn a_size_that_no_plan_fits_needs_a_chosen_one() {
    let stage = stage().await;
    stage.resize_by_hand(3, 5120).await;
    stage.looks(1).await;
    let drift = stage.only("size").await;

    let refused = stage.decide(&drift, "adopt", json!({})).await;
    assert_eq!(refused.problem_fields(), ["plan"]);
    let plan = stage.world.plan("l").await;
    stage.decide(&drift, "adopt", json!({ "plan": plan })).await.expect(204);
    stage.looks(2).await;

    assert!(stage.open().await.is_empty(), "the operator knows that it is not quite that plan");
    assert_eq!(stage.world.wallet(&stage.ann).await.burn_per_hour.to_string(), "0.08");
    stage.world.finish().await;
}

#[tokio::test]
async fn a_size_is_set_back_by_a_job_that_leaves_the_guest_running() {
    let stage = stage().await;
    stage.resize_by_hand(4, 8192).await;
    stage.looks(1).await;
    let drift = stage.only("size").await;
    assert!(text(&drift, "/enforce/words").contains("shut down and started again"), "{drift}");

    stage.decide(&drift, "enforce", json!({})).await.expect(202);
    stage.decide(&drift, "enforce", json!({})).await.problem(404);
    stage.world.settle().await;

    assert_eq!((stage.config("cores"), stage.config("memory")), ("2".to_owned(), "4096".to_owned()));
    assert!(stage.world.guest(&stage.vm).unwrap().process.is_some());
    assert_eq!(stage.world.state(&stage.ann, &stage.vm).await, "running");
    stage.world.advance(TimeDelta::seconds(LAG_SECONDS));
    stage.looks(1).await;
    assert!(stage.open().await.is_empty());
    assert_eq!(stage.world.wallet(&stage.ann).await.burn_per_hour.to_string(), "0.02");
    stage.world.finish().await;
}

#[tokio::test]
async fn a_difference_is_over_when_the_guest_is_right_again() {
    let stage = stage().await;
    stage.resize_by_hand(4, 8192).await;
    stage.looks(1).await;
    stage.resize_by_hand(4, 4096).await;
    stage.looks(1).await;
    assert_eq!(text(&stage.only("size").await, "/found_words"), "4 vCPU, 4 GiB", "what is found is kept fresh");
    stage.resize_by_hand(2, 4096).await;
    stage.looks(1).await;

    assert!(stage.open().await.is_empty());
    assert_eq!(stage.world.text("select string_agg(resolution, ',') from drifts").await, "gone");
    stage.world.finish().await;
}

#[tokio::test]
async fn a_larger_disk_is_never_shrunk_and_once_accepted_it_is_never_charged() {
    let stage = stage().await;
    stage.disk_costs("0.0001").await;
    let upid = stage.client.resize_disk(&stage.node(), stage.vmid, "scsi0", 60).await.unwrap();
    assert!(upid.is_some());
    stage.looks(1).await;
    let drift = stage.only("disk").await;
    assert_eq!(text(&drift, "/found_words"), "60 GiB disk");

    let refused = stage.decide(&drift, "enforce", json!({})).await.problem(409);
    assert!(text(&refused, "/detail").contains("never shrink"), "{refused}");
    assert!(text(&drift, "/accept/words").contains("charged as before"), "{drift}");
    assert_eq!(text(&drift, "/accept/effect/hour_to"), "0.02");
    stage.decide(&drift, "accept", json!({})).await.expect(204);
    stage.looks(2).await;
    assert!(stage.open().await.is_empty());
    stage.restart().await;

    assert_eq!(stage.world.wallet(&stage.ann).await.burn_per_hour.to_string(), "0.02");
    assert_eq!(stage.world.count("select disk_gib::bigint from vms").await, 40, "what is sold");
    assert!(stage.open().await.is_empty());
    stage.world.finish().await;
}

#[tokio::test]
async fn a_larger_disk_is_charged_from_its_adoption_on() {
    let stage = stage().await;
    stage.disk_costs("0.0001").await;
    stage.client.resize_disk(&stage.node(), stage.vmid, "scsi0", 60).await.unwrap();
    stage.looks(1).await;
    let drift = stage.only("disk").await;
    let (from, to) = (text(&drift, "/adopt/effect/hour_from"), text(&drift, "/adopt/effect/hour_to"));
    assert_eq!((from, to), ("0.02", "0.022"), "twenty beyond the plan");
    assert_eq!(text(&drift, "/adopt/effect/month_to"), "14.928000", "the plan's cap, and 744 hours of the disk");

    stage.decide(&drift, "adopt", json!({})).await.expect(204);
    assert_eq!(stage.world.wallet(&stage.ann).await.burn_per_hour.to_string(), "0.022", "at once");
    stage.restart().await;

    assert_eq!(stage.world.wallet(&stage.ann).await.burn_per_hour.to_string(), "0.022");
    assert_eq!(stage.world.count("select disk_gib::bigint from vms").await, 60);
    stage.world.finish().await;
}

#[tokio::test]
async fn a_smaller_disk_is_grown_or_written_down() {
    let stage = stage().await;
    stage.world.execute("update vms set disk_gib = 50").await;
    stage.looks(1).await;
    let drift = stage.only("disk").await;
    stage.decide(&drift, "enforce", json!({})).await.expect(202);
    stage.world.settle().await;
    assert!(stage.config("scsi0").contains("size=50G"), "{}", stage.config("scsi0"));

    stage.world.execute("update vms set disk_gib = 70").await;
    stage.world.advance(TimeDelta::seconds(LAG_SECONDS));
    stage.looks(1).await;
    let drift = stage.only("disk").await;
    stage.decide(&drift, "adopt", json!({})).await.expect(204);
    assert_eq!(stage.world.count("select disk_gib::bigint from vms").await, 50);
    stage.looks(1).await;
    assert!(stage.open().await.is_empty());
    stage.world.finish().await;
}

#[tokio::test]
async fn a_guest_that_has_lost_its_tags_is_ours_and_is_tagged_again() {
    let stage = stage().await;
    stage.by_hand(ConfigChange::new().tags(["theirs".to_owned()])).await;
    stage.looks(1).await;
    let drift = stage.only("tags").await;
    assert_eq!(text(&drift, "/found_words"), "tags theirs");
    let before = stage.world.simulator.requests();
    stage.looks(2).await;
    assert_eq!(stage.world.simulator.requests() - before, 2, "its uuid is not asked for again");

    stage.world.simulator.power_off_from_inside(stage.vmid);
    stage.looks(1).await;
    assert_eq!(stage.world.state(&stage.ann, &stage.vm).await, "stopped", "its power state is followed");
    stage.decide(&drift, "adopt", json!({})).await.problem(409);
    stage.decide(&drift, "enforce", json!({})).await.expect(202);
    stage.world.settle().await;

    assert_eq!(stage.config("tags"), format!("theirs;uni-manager;vm-{}", stage.vm));
    stage.looks(1).await;
    assert!(stage.open().await.is_empty());
    stage.world.finish().await;
}

/// A guest with our tag and another uuid, on another node, so that its uuid is asked for.
async fn with_another_uuid(stage: &Stage) -> Value {
    stage.by_hand(ConfigChange::new().smbios_uuid("11111111-2222-4333-8444-555555555555")).await;
    let other = if stage.node() == "pve1" { "pve2" } else { "pve1" };
    stage.client.stop(&stage.node(), stage.vmid).await.unwrap();
    stage.world.simulator.move_guest(stage.vmid, other);
    stage.looks(2).await;
    assert_eq!(stage.world.state(&stage.ann, &stage.vm).await, "unknown");
    assert_ne!(stage.world.text("select node from vms").await, other, "another guest is not followed");
    let drift = stage.only("identity").await;
    assert_eq!(text(&drift, "/adopt/effect/hour_from"), "0");
    drift
}

#[tokio::test]
async fn a_guest_with_another_uuid_is_ours_again_when_the_books_follow_it() {
    let stage = stage().await;
    let drift = with_another_uuid(&stage).await;

    stage.decide(&drift, "adopt", json!({})).await.expect(204);
    stage.looks(1).await;

    assert_eq!(stage.world.state(&stage.ann, &stage.vm).await, "stopped");
    assert_eq!(stage.world.wallet(&stage.ann).await.burn_per_hour.to_string(), "0.005");
    assert!(stage.open().await.is_empty());
    stage.world.finish().await;
}

#[tokio::test]
async fn a_guest_with_another_uuid_gets_ours_back_or_is_left_alone() {
    let stage = stage().await;
    let drift = with_another_uuid(&stage).await;
    stage.decide(&drift, "enforce", json!({})).await.expect(202);
    stage.world.settle().await;
    assert_eq!(stage.config("smbios1"), format!("uuid={}", stage.vm));
    stage.world.advance(TimeDelta::seconds(LAG_SECONDS));
    stage.looks(1).await;
    assert_eq!(stage.world.state(&stage.ann, &stage.vm).await, "stopped");
    assert!(stage.open().await.is_empty());

    let drift = with_another_uuid(&stage).await;
    stage.decide(&drift, "accept", json!({})).await.expect(204);
    stage.looks(2).await;
    assert!(stage.open().await.is_empty());
    assert_eq!(stage.world.state(&stage.ann, &stage.vm).await, "unknown");
    assert!(stage.world.wallet(&stage.ann).await.burn_per_hour.is_zero());
    // The books must be whole at the end of the test: it is found again as it was.
    stage.by_hand(ConfigChange::new().smbios_uuid(&stage.vm)).await;
    stage.world.execute("delete from guest_verdicts").await;
    stage.looks(1).await;
    stage.world.finish().await;
}

#[tokio::test]
async fn a_missing_machine_is_recorded_as_deleted_at_no_cost() {
    let stage = stage().await;
    stage.world.hours_with_passes(1).await;
    stage.world.simulator.remove_guest(stage.vmid);
    stage.looks(1).await;
    assert!(stage.open().await.is_empty(), "one look proves nothing");
    stage.looks(1).await;
    let drift = stage.only("missing").await;
    assert_eq!(text(&drift, "/found_words"), "not listed any more");
    let refused = stage.decide(&drift, "enforce", json!({})).await.problem(409);
    assert!(text(&refused, "/detail").contains("empty disk"), "{refused}");
    stage.decide(&drift, "adopt", json!({ "follow": true })).await.problem(409);

    stage.world.hours(3);
    // What was seen of it before is charged; nothing after.
    stage.world.charge().await;
    let before = stage.world.balance(&stage.ann).await;
    stage.decide(&drift, "adopt", json!({})).await.expect(204);
    stage.world.charge().await;

    stage.world.get(&stage.ann, &format!("/vms/{}", stage.vm)).await.problem(404);
    assert_eq!(stage.world.balance(&stage.ann).await, before);
    assert_eq!(
        stage.world.count("select count(*) from addresses where resting_until is not null and vm_id is null").await,
        1
    );
    assert_eq!(stage.world.count("select count(*) from vmid_leases where released_at is null").await, 0);
    assert!(stage.open().await.is_empty());
    stage.world.finish().await;
}

#[tokio::test]
async fn a_missing_machine_that_is_accepted_stays_unknown_and_comes_back_by_itself() {
    let stage = stage().await;
    stage
        .by_hand(ConfigChange::new().tags(["theirs".to_owned()]).smbios_uuid("11111111-2222-4333-8444-555555555555"))
        .await;
    stage.looks(2).await;
    let drift = stage.only("missing").await;
    assert!(text(&drift, "/found_words").starts_with("another guest has its VMID"), "{drift}");
    stage.decide(&drift, "accept", json!({})).await.expect(204);
    stage.looks(2).await;
    assert!(stage.open().await.is_empty());

    stage
        .by_hand(
            ConfigChange::new().tags(["uni-manager".to_owned(), format!("vm-{}", stage.vm)]).smbios_uuid(&stage.vm),
        )
        .await;
    stage.looks(1).await;
    assert_eq!(stage.world.state(&stage.ann, &stage.vm).await, "running");
    stage.world.finish().await;
}

#[tokio::test]
async fn a_missing_machine_is_followed_to_where_its_tag_is_if_the_uuid_agrees() {
    let stage = stage().await;
    stage.world.hours_with_passes(1).await;
    let copy = CloneVm::new(555).name("web-restored").full(true).storage("shared");
    stage.client.clone_vm(&stage.node(), stage.vmid, &copy).await.unwrap();
    let node = stage.node();
    stage.world.simulator.remove_guest(stage.vmid);
    stage.looks(2).await;
    let drift = stage.only("missing").await;
    assert_eq!(text(&drift, "/found_words"), "found again as VMID 555");
    assert_eq!(text(&drift, "/follow/effect/hour_from"), "0");

    let refused = stage.decide(&drift, "adopt", json!({ "follow": true })).await.problem(409);
    assert!(text(&refused, "/detail").contains("it is a copy"), "{refused}");
    stage.client.set_vm_config(&node, 555, &ConfigChange::new().smbios_uuid(&stage.vm)).await.unwrap();
    stage.decide(&drift, "adopt", json!({ "follow": true })).await.expect(204);

    assert_eq!(stage.world.count("select vmid::bigint from vms").await, 555);
    assert_eq!(stage.world.state(&stage.ann, &stage.vm).await, "stopped");
    assert_eq!(stage.world.wallet(&stage.ann).await.burn_per_hour.to_string(), "0.005");
    stage.looks(2).await;
    assert!(stage.open().await.is_empty());
    stage.world.tell(&stage.ann, &stage.vm, "start").await.expect(202);
    stage.world.settle().await;
    assert_eq!(stage.world.state(&stage.ann, &stage.vm).await, "running");
    stage.world.finish().await;
}

#[tokio::test]
async fn an_operator_decides_on_the_page_and_the_customer_reads_a_plain_sentence() {
    let stage = stage().await;
    stage.resize_by_hand(4, 8192).await;
    stage.looks(1).await;
    let id = text(&stage.only("size").await, "/id").to_owned();
    let (cookie, csrf) = browser(&stage.world, &stage.admin).await;
    let read = |path: String| stage.world.request(reqwest::Method::GET, &path).header("cookie", &cookie);
    let page = send(read("/admin/drift".into())).await;
    for words in ["web has another size", "4 vCPU, 8 GiB", "€0.0200/h → €0.0400/h, at most €13.44 → €26.88 a month."]
    {
        assert!(page.text.contains(words), "{words}: {}", page.text);
    }
    assert!(send(read("/admin".into())).await.text.contains("1 guest differs from what is sold"));

    let form = [("csrf", csrf.as_str()), ("plan", "")];
    let path = format!("/admin/drift/{id}/adopt");
    let adopted = send(stage.world.request(reqwest::Method::POST, &path).header("cookie", &cookie).form(&form)).await;
    assert_eq!((adopted.status, adopted.location.as_str()), (303, "/admin/drift"), "{}", adopted.text);
    assert!(send(read("/admin/drift".into())).await.text.contains("Every guest is what is sold"));

    let (cookie, _) = browser(&stage.world, &stage.ann).await;
    let log = send(stage.world.request(reqwest::Method::GET, "/audit").header("cookie", &cookie)).await;
    assert!(log.text.contains("changed the plan to M, which is what the VM is now"), "{}", log.text);
    stage.world.finish().await;
}
