//! The role that the guide grants on Proxmox VE: it is what the code needs, passes the test of a connection, and carries a
//! machine's whole life.

use std::collections::BTreeSet;

use proxmox_simulator::{Options, Release, Simulator, TokenGrant};
use uni_manager::audit::Actor;
use uni_manager::clusters::{self, NewCluster, privileges};

use crate::world::{World, new_cluster};

/// The privileges of `pveum role add UniManager --privs "…"` of a section of the guide.
fn documented_role(section: &str) -> BTreeSet<String> {
    let guide = include_str!("../../docs/proxmox-setup.md");
    let section =
        guide.split("\n## ").find(|part| part.starts_with(section)).unwrap_or_else(|| panic!("no section {section}"));
    let (_, rest) = section.split_once("pveum role add UniManager --privs \"").unwrap();
    rest.split_once('"').unwrap().0.split_whitespace().filter(|word| *word != "\\").map(str::to_owned).collect()
}

#[test]
fn the_guide_grants_the_role_that_the_code_needs() {
    let role = |release: &str| privileges::role(release).into_iter().map(str::to_owned).collect::<BTreeSet<_>>();

    assert_eq!(documented_role("Role, user and token"), role("9.2"));
    assert_eq!(documented_role("Proxmox VE 8.4"), role("8.4"));
    let guide = include_str!("../../docs/proxmox-setup.md");
    for needed in privileges::NEEDED {
        assert!(guide.contains(&format!("| `{}` |", needed.name)), "{} has its line in the table", needed.name);
    }
}

/// A cluster whose token has exactly the documented role, and the cluster as an operator would type it.
fn restricted(world: &World, release: Release, section: &str) -> (Simulator, NewCluster) {
    let role: Vec<String> = documented_role(section).into_iter().collect();
    let (id, secret) = ("uni-manager@pve!panel", "7c1b0a4e-5d8e-4f6c-9b8d-2f1d3c4b5a69");
    let grant = TokenGrant { id: id.into(), secret: secret.into(), grants: vec![("/".into(), role)] };
    let options = Options { nodes: 2, release, restricted_tokens: vec![grant], ..Options::default() };
    let simulator = Simulator::start(options).unwrap();
    let new = NewCluster {
        name: "restricted".into(),
        token_id: id.into(),
        token_secret: secret.into(),
        ..new_cluster(&simulator, world.location)
    };
    (simulator, new)
}

#[tokio::test]
async fn the_documented_role_passes_the_test_of_its_release_and_not_of_the_other() {
    let world = World::new().await;
    for (release, section, other) in [
        (Release::V9_2, "Role, user and token", "Proxmox VE 8.4"),
        (Release::V8_4, "Proxmox VE 8.4", "Role, user and token"),
    ] {
        let (_simulator, new) = restricted(&world, release, section);
        let report = clusters::test(&world.app, &new).await.unwrap();
        assert_eq!((report.failure, report.missing), (None, vec![]));
        let (_simulator, new) = restricted(&world, release, other);
        let report = clusters::test(&world.app, &new).await.unwrap();
        assert_eq!(report.missing.len(), 1, "the agent's privilege: {:?}", report.missing);
    }
    world.finish().await;
}

async fn carries_a_whole_life(release: Release, section: &str) {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let (simulator, new) = restricted(&world, release, section);
    world.execute("update clusters set maintenance = true").await;
    let id = clusters::add(&world.app, &new, &Actor::system()).await.unwrap();
    clusters::set_templates(&world.app, id, &[(world.images[0], Some(9000))], &Actor::system()).await.unwrap();

    let vm = world.order(&ann, "web").await;
    world.settle().await;
    assert_eq!(world.state(&ann, &vm).await, "running");
    for (what, state) in [("reboot", "running"), ("shutdown", "stopped"), ("start", "running"), ("stop", "stopped")] {
        world.tell(&ann, &vm, what).await.expect(202);
        world.settle().await;
        assert_eq!(world.state(&ann, &vm).await, state, "{what}");
    }
    world.delete(&ann, &format!("/vms/{vm}")).await.expect(202);
    world.settle().await;

    let left: Vec<_> = simulator.guests().into_iter().filter(|guest| !guest.is_template()).collect();
    assert!(left.is_empty(), "{} guests are left", left.len());
    assert_eq!(world.count("select count(*) from jobs where status <> 'completed'").await, 0);
    world.finish().await;
}

#[tokio::test]
async fn the_documented_role_carries_a_whole_life() {
    carries_a_whole_life(Release::V9_2, "Role, user and token").await;
}

#[tokio::test]
async fn the_documented_role_of_8_4_carries_a_whole_life() {
    carries_a_whole_life(Release::V8_4, "Proxmox VE 8.4").await;
}
