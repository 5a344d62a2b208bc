//! The pages on which a machine is changed, as a browser without a script uses them.

use reqwest::Method;

use crate::doors::browser;
use crate::world::{Answer, World, send};

struct Browser<'a> {
    world: &'a World,
    cookie: String,
    csrf: String,
}

impl Browser<'_> {
    async fn get(&self, path: &str) -> Answer {
        send(self.world.request(Method::GET, path).header("cookie", &self.cookie)).await
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut form = vec![("csrf", self.csrf.as_str())];
        form.extend_from_slice(fields);
        send(self.world.request(Method::POST, path).header("cookie", &self.cookie).form(&form)).await
    }
}

#[tokio::test]
async fn settings_are_changed_part_by_part() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let web = world.running_vm(&ann, "web").await;
    let (cookie, csrf) = browser(&world, &ann).await;
    let people = Browser { world: &world, cookie, csrf };
    let settings = format!("/vms/{web}/settings");

    let named = [("part", "naming"), ("name", "front"), ("new_tags", "eu, production")];
    assert_eq!(people.post(&settings, &named).await.status, 303);
    world.settle().await;
    let page = people.get(&settings).await;
    assert!(page.text.contains("value=\"front\"") && page.text.contains("value=\"production\" checked"));
    let list = people.get("/vms?tag=eu").await;
    assert!(list.text.contains("front") && list.text.contains("/vms?tag=production"));
    assert!(people.get("/vms?tag=nothing").await.text.contains("No machine has this tag."));

    let reserved = people.post(&settings, &[("part", "naming"), ("name", "other"), ("new_tags", "uni-manager")]).await;
    assert_eq!(reserved.status, 422);
    assert!(reserved.text.contains("The tag uni-manager is reserved.") && reserved.text.contains("value=\"other\""));

    assert_eq!(people.post(&settings, &[("part", "protection"), ("protected", "on")]).await.status, 303);
    world.settle().await;
    let overview = people.get(&format!("/vms/{web}")).await;
    assert!(overview.text.contains("It is protected.") && overview.text.contains("settings#protection"));
    assert_eq!(people.post(&format!("/vms/{web}/delete"), &[("name", "front")]).await.status, 409);
    assert_eq!(world.text("select array_to_string(tags, ' ') from vms").await, "eu production", "the rest stays");

    let short = people.post(&format!("/vms/{web}/password"), &[("password", "short")]).await;
    assert_eq!(short.status, 422);
    assert!(short.text.contains("12 to 72 characters.") && !short.text.contains("value=\"short\""));
    let set = people.post(&format!("/vms/{web}/password"), &[("password", "tangerine dream 77")]).await;
    assert_eq!(set.status, 303);
    world.settle().await;
    world.finish().await;
}

#[tokio::test]
async fn a_size_is_chosen_with_its_price_in_view() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let web = world.running_vm(&ann, "web").await;
    let (cookie, csrf) = browser(&world, &ann).await;
    let people = Browser { world: &world, cookie, csrf };
    let (small, medium) = (world.plan("xs").await, world.plan("m").await);

    let page = people.get(&format!("/vms/{web}/resize")).await;
    assert!(page.text.contains("Its disk has 40 GiB and disks never shrink; XS comes with 20 GiB."));
    assert!(page.text.contains("It has this plan already."));
    let cost = people.get(&format!("/vms/{web}/resize/cost?plan={medium}&grow_disk=on")).await;
    assert!(cost.text.contains("Also grow the disk to 80 GiB"), "{}", cost.text);
    assert!(cost.text.contains("+€0.0200") && cost.text.contains("80 GiB"), "{}", cost.text);

    let refused = people.post(&format!("/vms/{web}/resize"), &[("plan", &small), ("grow_disk", "")]).await;
    assert_eq!(refused.status, 422);
    let accepted =
        people.post(&format!("/vms/{web}/resize"), &[("plan", &medium), ("grow_disk", ""), ("force", "on")]).await;
    assert_eq!((accepted.status, accepted.location.as_str()), (303, format!("/vms/{web}").as_str()));
    let overview = people.get(&format!("/vms/{web}")).await;
    assert!(overview.text.contains("Being resized") && overview.text.contains("Setting processors and memory"));
    world.settle().await;
    assert!(people.get(&format!("/vms/{web}")).await.text.contains("4 vCPU"));
    world.finish().await;
}

#[tokio::test]
async fn a_resize_that_fails_says_what_is_as_it_was() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let web = world.running_vm(&ann, "web").await;
    let (cookie, csrf) = browser(&world, &ann).await;
    let people = Browser { world: &world, cookie, csrf };
    world.simulator.ignore_power_button(world.vmid(&web), true);

    let medium = world.plan("m").await;
    people.post(&format!("/vms/{web}/resize"), &[("plan", &medium), ("grow_disk", "on")]).await;
    world.settle().await;

    assert_eq!(world.state(&ann, &web).await, "running");
    let page = people.get(&format!("/vms/{web}")).await;
    assert!(page.text.contains("It could not be resized"));
    assert!(
        page.text.contains("It is as it was: plan S, 2 vCPU, 4 GiB of memory and a disk of 40 GiB."),
        "{}",
        page.text
    );
    world.finish().await;
}

#[tokio::test]
async fn a_rebuild_asks_for_the_name() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let web = world.running_vm(&ann, "web").await;
    let (cookie, csrf) = browser(&world, &ann).await;
    let people = Browser { world: &world, cookie, csrf };
    let (path, image) = (format!("/vms/{web}/rebuild"), world.images[2].to_string());

    assert!(people.get(&path).await.text.contains("No rescue system is offered where this VM is."));
    let wrong = people.post(&path, &[("image", &image), ("name", "other")]).await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.text.contains("This is not its name.") && wrong.text.contains("value=\"other\""));
    assert_eq!(people.post(&path, &[("image", &image), ("name", "web")]).await.status, 303);
    assert!(people.get(&format!("/vms/{web}")).await.text.contains("Being rebuilt"));
    world.settle().await;
    assert!(people.get(&format!("/vms/{web}")).await.text.contains("Rocky Linux 9"));
    assert_eq!(
        people.post(&format!("/vms/{web}/boot"), &[("boot", "cd")]).await.location,
        path,
        "back, with the reason"
    );
    world.finish().await;
}

#[tokio::test]
async fn the_power_menu_suspends_and_resumes() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let web = world.running_vm(&ann, "web").await;
    let (cookie, csrf) = browser(&world, &ann).await;
    let people = Browser { world: &world, cookie, csrf };

    assert_eq!(people.post(&format!("/vms/{web}/suspend"), &[("back", "list")]).await.location, "/vms");
    world.settle().await;
    let page = people.get(&format!("/vms/{web}")).await;
    assert!(page.text.contains("Suspended") && page.text.contains("it is charged as running"));
    people.post(&format!("/vms/{web}/resume"), &[]).await;
    world.settle().await;
    people.post(&format!("/vms/{web}/reset"), &[]).await;
    world.settle().await;
    assert_eq!(world.count("select count(*) from jobs where kind in ('vm.suspend', 'vm.resume', 'vm.reset') and status = 'completed'").await, 3);
    world.finish().await;
}

#[tokio::test]
async fn the_staff_sees_the_machines_of_a_cluster_and_moves_one() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "5").await, world.admin().await);
    let web = world.running_vm(&ann, "web").await;
    let (cookie, csrf) = browser(&world, &admin).await;
    let staff = Browser { world: &world, cookie, csrf };
    let home = world.guest(&web).unwrap().node;
    let other = world.text("select name from nodes where name <> (select node from vms) limit 1").await;
    let (list, path) = (format!("/admin/clusters/{}/vms", world.cluster), format!("/admin/vms/{web}/migrate"));

    let page = staff.get(&list).await;
    assert!(page.text.contains(&path) && page.text.contains(&home), "{}", page.text);
    assert!(staff.get(&format!("/admin/customers/{}", ann.organisation)).await.text.contains(&path));
    assert!(staff.get(&path).await.text.contains(&format!("value=\"{other}\"")));
    assert_eq!(staff.post(&path, &[]).await.status, 422);
    assert_eq!(staff.post(&path, &[("node", &home)]).await.status, 422);
    assert_eq!(staff.post(&path, &[("node", &other)]).await.location, list);
    world.settle().await;
    assert_eq!(world.guest(&web).unwrap().node, other);
    world.tell(&ann, &web, "shutdown").await.expect(202);
    world.settle().await;
    world.finish().await;
}
