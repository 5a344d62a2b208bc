use proptest::prelude::*;

use super::*;

fn room(limit: i64, sold: i64) -> Room {
    Room { limit, sold, own: 0 }
}

fn candidate(node: &str, memory_mib: i64, memory_sold_mib: i64) -> Candidate {
    Candidate {
        cluster: uuid::Uuid::nil().into(),
        cluster_name: "first".into(),
        node: node.into(),
        maintenance: false,
        online: true,
        storage_seen: true,
        storage_shared: true,
        cpu_count: 8,
        vcpu: room(32, 0),
        memory_mib: room(memory_mib, memory_sold_mib),
        disk_gib: room(1000, 0),
        is_home: false,
        group_vms: 0,
        organisation_vms: 0,
        organisation_vms_on_cluster: 0,
    }
}

const SMALL: Need = Need { vcpu: 2, memory_mib: 1024, disk_gib: 10 };

fn refusal(candidates: &[Candidate], need: Need) -> Refusal {
    choose(candidates, need).unwrap_err().refusal
}

#[test]
fn the_freest_node_is_chosen() {
    let nodes = [candidate("a", 8192, 6000), candidate("b", 8192, 1000), candidate("c", 4096, 0)];

    assert_eq!(choose(&nodes, SMALL).unwrap().node, "b");
}

#[test]
fn machines_of_one_organisation_are_spread_before_the_freest_is_taken() {
    let mut crowded = candidate("b", 8192, 0);
    crowded.organisation_vms = 1;
    let nodes = [candidate("a", 8192, 6000), crowded];
    assert_eq!(choose(&nodes, SMALL).unwrap().node, "a");

    let mut other_cluster = candidate("z", 4096, 2000);
    other_cluster.cluster = uuid::Uuid::max().into();
    let mut here = candidate("a", 8192, 0);
    here.organisation_vms_on_cluster = 3;
    assert_eq!(choose(&[here, other_cluster], SMALL).unwrap().node, "z");
}

#[test]
fn a_refusal_says_why() {
    let with = |change: fn(&mut Candidate)| {
        let mut changed = candidate("a", 8192, 0);
        change(&mut changed);
        changed
    };
    let maintained = with(|node| node.maintenance = true);
    let offline = with(|node| node.online = false);
    let beside = with(|node| node.group_vms = 1);
    let no_storage = with(|node| node.storage_seen = false);

    assert_eq!(refusal(&[], SMALL), Refusal::NotOffered);
    assert_eq!(refusal(std::slice::from_ref(&offline), SMALL), Refusal::NothingOnline);
    assert_eq!(refusal(std::slice::from_ref(&maintained), SMALL), Refusal::Maintenance);
    assert_eq!(refusal(&[maintained, offline], SMALL), Refusal::NothingOnline);
    assert_eq!(refusal(&[beside, candidate("b", 8192, 8000)], SMALL), Refusal::Group);
    assert_eq!(refusal(&[no_storage], SMALL), Refusal::Full);
    assert_eq!(refusal(&[candidate("a", 8192, 8000)], SMALL), Refusal::Full);
    assert_eq!(refusal(&[candidate("a", 8192, 0)], Need { vcpu: 9, ..SMALL }), Refusal::Full);
}

#[test]
fn operators_are_told_what_is_missing_on_each_node() {
    let mut narrow = candidate("pve1", 65_536, 0);
    narrow.cpu_count = 2;
    narrow.disk_gib = room(100, 70);
    let nodes = [candidate("pve2", 8192, 8192 - 820), narrow];

    let told = choose(&nodes, Need { vcpu: 4, memory_mib: 4096, disk_gib: 40 }).unwrap_err();

    assert_eq!(
        told.reasons(),
        "pve1: has 2 processors, 4 needed, disk 10 of 40 GiB missing; pve2: memory 3.2 of 4 GiB missing"
    );
    assert_eq!(told.to_string(), "This location is full for this plan. Choose a smaller plan or another location.");
}

#[test]
fn a_machine_needs_room_at_home_only_for_what_it_takes_more() {
    let mut home = candidate("a", 4096, 6000);
    (home.is_home, home.online, home.group_vms) = (true, false, 1);
    (home.memory_mib.own, home.vcpu.own, home.disk_gib.own) = (2048, 4, 20);

    // More is sold than may be, but it does not take more.
    assert_eq!(check(&home, Need { vcpu: 4, memory_mib: 2048, disk_gib: 20 }), Ok(()));
    assert!(check(&home, Need { vcpu: 4, memory_mib: 2049, disk_gib: 20 }).is_err());
    home.memory_mib.limit = 6001;
    assert_eq!(check(&home, Need { vcpu: 4, memory_mib: 2049, disk_gib: 20 }), Ok(()));
}

#[test]
fn limits_are_of_what_is_left_after_the_reserve() {
    let limits = Limits { memory_percent: 150, cpu_percent: 400, disk_percent: 33, node_reserve_mib: 2048 };

    assert_eq!((limits.memory_mib(10_240), limits.memory_mib(1024)), (12_288, 0));
    assert_eq!((limits.vcpu(6), limits.disk_gib(10)), (24, 3));
}

prop_compose! {
    fn some_candidate()(
        cluster in 0_u128..3, node in 0..4_u8, online in proptest::bool::weighted(0.9), maintenance in proptest::bool::weighted(0.1),
        storage_seen in proptest::bool::weighted(0.9), cpu_count in 1..12_i32, vcpu in 0..40_i64, memory in 0..40_000_i64,
        disk in 0..400_i64, sold in 0..100_i64, crowd in 0..3_i64, group_vms in 0..2_i64,
    ) -> Candidate {
        Candidate {
            cluster: uuid::Uuid::from_u128(cluster).into(),
            cluster_name: format!("cluster-{cluster}"),
            node: format!("pve{node}"),
            online, maintenance, storage_seen, cpu_count,
            // Even clusters share their storage, odd ones do not.
            storage_shared: cluster % 2 == 0,
            vcpu: room(vcpu, vcpu * sold / 100),
            memory_mib: room(memory, memory * sold / 100),
            disk_gib: room(disk, disk * sold / 100),
            is_home: false,
            group_vms, organisation_vms: crowd + group_vms, organisation_vms_on_cluster: crowd + group_vms,
        }
    }
}

/// Some nodes, each once, with the room on a shared storage the same for all nodes of its cluster.
fn some_candidates() -> impl Strategy<Value = Vec<Candidate>> {
    proptest::collection::vec(some_candidate(), 0..9).prop_map(|mut nodes| {
        nodes.sort_by(|one, other| (one.cluster, &one.node).cmp(&(other.cluster, &other.node)));
        nodes.dedup_by(|one, other| (one.cluster, &one.node) == (other.cluster, &other.node));
        for index in 1..nodes.len() {
            if nodes[index].cluster == nodes[index - 1].cluster && nodes[index].storage_shared {
                nodes[index].disk_gib = nodes[index - 1].disk_gib;
            }
        }
        nodes
    })
}

prop_compose! {
    fn some_need()(vcpu in 1..8_i32, memory_mib in 1..8_000_i64, disk_gib in 1..80_i64) -> Need {
        Need { vcpu, memory_mib, disk_gib }
    }
}

/// The rule, spelled out a second time and more simply.
fn would_fit(node: &Candidate, need: Need) -> bool {
    node.online
        && !node.maintenance
        && node.storage_seen
        && node.group_vms == 0
        && need.vcpu <= node.cpu_count
        && node.vcpu.sold + i64::from(need.vcpu) <= node.vcpu.limit
        && node.memory_mib.sold + need.memory_mib <= node.memory_mib.limit
        && node.disk_gib.sold + need.disk_gib <= node.disk_gib.limit
}

proptest! {
    #[test]
    fn what_is_chosen_fits_and_what_fits_is_not_refused(nodes in some_candidates(), need in some_need()) {
        match choose(&nodes, need) {
            Ok(choice) => prop_assert!(would_fit(choice, need)),
            Err(refused) => {
                prop_assert!(!nodes.iter().any(|node| would_fit(node, need)));
                prop_assert_eq!(refused.nodes.len(), nodes.len());
                prop_assert!(refused.nodes.iter().all(|node| !node.obstacles.is_empty()), "each node has its reason");
            }
        }
    }

    #[test]
    fn the_order_of_the_candidates_does_not_matter(nodes in some_candidates(), need in some_need(), turns in 0..9_usize) {
        let mut turned = nodes.clone();
        if !turned.is_empty() {
            let turns = turns % turned.len();
            turned.rotate_left(turns);
        }
        let mut reversed = nodes.clone();
        reversed.reverse();

        prop_assert_eq!(choose(&nodes, need), choose(&turned, need));
        prop_assert_eq!(choose(&nodes, need), choose(&reversed, need));
    }

    #[test]
    fn filling_up_sells_no_more_than_the_limits_and_all_that_fits(nodes in some_candidates(), need in some_need(), apart in any::<bool>()) {
        let filled = fill(nodes.clone(), need, FILL_MAX, apart);

        let mut disks = std::collections::HashMap::new();
        let mut after = nodes.clone();
        for (cluster, node, count) in &filled.places {
            let place = after.iter_mut().find(|known| known.cluster_name == *cluster && known.node == *node).unwrap();
            let count = i64::from(*count);
            place.memory_mib.sold += count * need.memory_mib;
            place.vcpu.sold += count * i64::from(need.vcpu);
            prop_assert!(place.memory_mib.sold <= place.memory_mib.limit && place.vcpu.sold <= place.vcpu.limit);
            prop_assert!(!apart || count == 1, "kept apart");
            prop_assert!(place.group_vms == 0, "not beside one of the group");
            let storage = if place.storage_shared { cluster.clone() } else { format!("{cluster}/{node}") };
            let sold: &mut i64 = disks.entry(storage).or_insert(place.disk_gib.sold);
            *sold += count * need.disk_gib;
            prop_assert!(*sold <= place.disk_gib.limit);
        }
        // Nothing was left over that one more would have fitted into.
        let last = filled.refused.expect("no candidate holds a thousand");
        prop_assert!(last.nodes.iter().all(|node| !node.obstacles.is_empty()));
        if !apart {
            for place in after {
                let storage = if place.storage_shared { place.cluster_name.clone() } else { format!("{}/{}", place.cluster_name, place.node) };
                let sold = disks.get(&storage).copied().unwrap_or(place.disk_gib.sold);
                let full = Candidate { disk_gib: room(place.disk_gib.limit, sold), ..place };
                prop_assert!(!would_fit(&full, need));
            }
        }
    }
}
