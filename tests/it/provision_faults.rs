//! Everything that can go wrong between us and a cluster while a machine is made: it is finished once, or undone whole.

use proxmox_simulator::{Fault, FaultKind};

use crate::world::{Customer, World, text};

/// The calls that change something while a machine is made, in their order.
const CHANGES: [(&str, &str); 4] =
    [("POST", "/clone"), ("PUT", "/config"), ("PUT", "/resize"), ("POST", "/status/start")];
/// Those of them that start a task.
const TASKS: [(&str, &str); 3] = [("POST", "/clone"), ("PUT", "/resize"), ("POST", "/status/start")];
/// The questions in between.
const QUESTIONS: [(&str, &str); 5] = [
    ("GET", "/nextid"),
    ("GET", "/config"),
    ("GET", "/cluster/resources"),
    ("GET", "/status/current"),
    ("GET", "/agent/"),
];

/// One world for a row of orders, each of which meets its own trouble.
async fn a_world() -> (World, Customer) {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    (world, ann)
}

async fn order_with(world: &World, ann: &Customer, fault: Fault) -> String {
    world.simulator.faults().inject(fault);
    let vm = world.order(ann, "web").await;
    world.settle().await;
    assert_eq!(world.simulator.faults().waiting(), 0, "the fault was met");
    vm
}

/// Takes the machine away, so that the next order finds the world as it was.
async fn take_away(world: &World, ann: &Customer, vm: &str) {
    let answer = world.delete(ann, &format!("/vms/{vm}")).await;
    assert!(matches!(answer.status, 202 | 204), "{}", answer.text);
    world.settle().await;
    world.get(ann, &format!("/vms/{vm}")).await.problem(404);
    assert!(world.our_guests().is_empty());
}

async fn assert_made(world: &World, ann: &Customer, vm: &str, what: &str) {
    assert_eq!(world.state(ann, vm).await, "running", "{what}");
    assert_eq!(world.our_guests().len(), 1, "{what}: exactly one guest");
    let guest = world.guest(vm).unwrap();
    assert!(guest.process.is_some(), "{what}: it runs");
    assert!(guest.config.get("smbios1").unwrap().contains(vm), "{what}: it is configured");
    assert!(guest.config.get("scsi0").unwrap().contains("size=40G"), "{what}: its disk has grown");
    let used: i64 = sqlx::query_scalar("select count(*) from vmid_leases where vm_id = $1::uuid")
        .bind(vm.parse::<uuid::Uuid>().unwrap())
        .fetch_one(&world.app.pool)
        .await
        .unwrap();
    assert_eq!(used, 1, "{what}: one VMID was used");
    take_away(world, ann, vm).await;
}

/// What went wrong with the latest order.
async fn last_words(world: &World) -> String {
    world.text("select error from jobs where kind = 'vm.create' order by number desc limit 1").await
}

async fn assert_undone(world: &World, ann: &Customer, vm: &str, what: &str) {
    let shown = world.vm(ann, vm).await;
    assert_eq!(text(&shown, "/state"), "failed", "{what}");
    assert!(text(&shown, "/state_reason").contains("could not be made"), "{what}: {shown}");
    assert!(shown["address"].is_null(), "{what}: its address is free again");
    let job = world.last_job(ann).await;
    assert_eq!(text(&job, "/status"), "failed", "{what}");
    assert!(!text(&job, "/error").is_empty(), "{what}");
    assert!(world.our_guests().is_empty(), "{what}: nothing is left on the cluster");
    assert_eq!(
        world.wallet(ann).await.available().to_string(),
        "5.000000",
        "{what}: nothing is held, nothing was charged"
    );
    assert_eq!(world.count("select count(*) from vmid_leases where released_at is null").await, 0, "{what}");
    take_away(world, ann, vm).await;
}

#[tokio::test]
async fn a_step_that_proxmox_refuses_undoes_the_order() {
    let (world, ann) = a_world().await;
    for (method, path) in CHANGES {
        let refusal = FaultKind::Refuse { status: 500, message: "storage 'shared' is not online".into() };
        let vm = order_with(&world, &ann, Fault::once(method, path, refusal)).await;

        assert_undone(&world, &ann, &vm, path).await;
        assert!(last_words(&world).await.contains("is not online"), "{path}: the operator reads Proxmox's own words");
    }
    world.finish().await;
}

#[tokio::test]
async fn a_task_that_fails_undoes_the_order() {
    let (world, ann) = a_world().await;
    for (method, path) in TASKS {
        let vm = order_with(
            &world,
            &ann,
            Fault::once(method, path, FaultKind::TaskFails("clone failed: no space left".into())),
        )
        .await;

        assert_undone(&world, &ann, &vm, path).await;
        assert!(last_words(&world).await.contains("no space left"), "{path}");
    }
    world.finish().await;
}

#[tokio::test]
async fn a_task_that_only_warns_has_done_its_work() {
    let (world, ann) = a_world().await;
    for (method, path) in TASKS {
        let vm = order_with(&world, &ann, Fault::once(method, path, FaultKind::TaskFails("WARNINGS: 1".into()))).await;

        assert_made(&world, &ann, &vm, path).await;
    }
    world.finish().await;
}

#[tokio::test]
async fn an_answer_that_is_lost_after_the_work_makes_no_second_guest() {
    let (world, ann) = a_world().await;
    for kind in [FaultKind::DropAfter, FaultKind::Proxy596AfterWork] {
        for (method, path) in CHANGES {
            let vm = order_with(&world, &ann, Fault::once(method, path, kind.clone())).await;

            assert_made(&world, &ann, &vm, &format!("{kind:?} {path}")).await;
        }
    }
    world.finish().await;
}

#[tokio::test]
async fn a_call_that_never_arrived_is_made_again() {
    let (world, ann) = a_world().await;
    for kind in [FaultKind::DropBefore, FaultKind::Proxy595, FaultKind::Html] {
        for (method, path) in CHANGES {
            let vm = order_with(&world, &ann, Fault::once(method, path, kind.clone())).await;

            assert_made(&world, &ann, &vm, &format!("{kind:?} {path}")).await;
        }
    }
    world.finish().await;
}

#[tokio::test]
async fn a_question_that_is_not_answered_is_asked_again() {
    let (world, ann) = a_world().await;
    for (method, path) in QUESTIONS {
        for kind in [FaultKind::DropBefore, FaultKind::Proxy595, FaultKind::Html, FaultKind::DropAfter] {
            world.simulator.faults().inject(Fault::once(method, path, kind));
        }
        let vm = world.order(&ann, "web").await;
        world.settle().await;

        assert_made(&world, &ann, &vm, path).await;
        world.simulator.faults().clear();
    }
    world.finish().await;
}

#[tokio::test]
async fn a_lock_that_somebody_holds_is_waited_for() {
    let (world, ann) = a_world().await;
    for (method, path) in CHANGES {
        let busy = FaultKind::Refuse {
            status: 500,
            message: "can't lock file '/var/lock/qemu-server/lock-10000.conf' - got timeout".into(),
        };
        let vm = order_with(&world, &ann, Fault { times: 3, ..Fault::once(method, path, busy) }).await;

        assert_made(&world, &ann, &vm, path).await;
    }
    let busy = "can't lock file '/var/lock/qemu-server/lock-10000.conf' - got timeout";
    let vm = order_with(
        &world,
        &ann,
        Fault { times: 3, ..Fault::once("POST", "/status/start", FaultKind::TaskFails(busy.into())) },
    )
    .await;
    assert_made(&world, &ann, &vm, "a task that did not get the lock").await;
    world.finish().await;
}

#[tokio::test]
async fn a_lock_that_is_never_let_go_undoes_the_order_after_a_few_attempts() {
    let (world, ann) = a_world().await;
    let busy = FaultKind::Refuse {
        status: 500,
        message: "can't lock file '/var/lock/qemu-server/lock-10000.conf' - got timeout".into(),
    };
    let vm = order_with(&world, &ann, Fault { times: 8, ..Fault::once("POST", "/status/start", busy) }).await;

    assert_undone(&world, &ann, &vm, "locked for ever").await;
    world.finish().await;
}

#[tokio::test]
async fn an_undo_that_is_stuck_is_parked_and_goes_on_when_an_operator_says_so() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "5").await, world.admin().await);
    world.simulator.faults().inject(Fault::once("POST", "/status/start", FaultKind::TaskFails("no KVM".into())));
    world.simulator.faults().inject(Fault {
        times: 1,
        ..Fault::once("DELETE", "/qemu/", FaultKind::Refuse { status: 500, message: "disk is busy somewhere".into() })
    });
    world.order(&ann, "web").await;
    world.settle().await;
    let job = world.last_job(&ann).await;
    assert_eq!(text(&job, "/status"), "parked");
    assert_eq!(world.our_guests().len(), 1, "what could not be removed is still known");
    let listed = world.get(&admin, "/admin/jobs").await.expect(200);
    assert!(text(&listed, "/items/0/words").contains("disk is busy"), "{listed}");

    world.post(&ann, &format!("/admin/jobs/{}/retry", text(&job, "/id")), &serde_json::json!({})).await.problem(403);
    assert_eq!(
        world.post(&admin, &format!("/admin/jobs/{}/retry", text(&job, "/id")), &serde_json::json!({})).await.status,
        202
    );
    world.settle().await;

    assert!(world.our_guests().is_empty());
    assert_eq!(world.wallet(&ann).await.available().to_string(), "5.000000");
    assert!(world.events().await.contains(&"job.retried".to_owned()));
    world.finish().await;
}

#[tokio::test]
async fn a_deletion_survives_every_lost_answer() {
    let (world, ann) = a_world().await;
    for kind in [
        FaultKind::DropBefore,
        FaultKind::DropAfter,
        FaultKind::Proxy595,
        FaultKind::Proxy596AfterWork,
        FaultKind::Html,
    ] {
        for (method, path) in [("POST", "/status/stop"), ("DELETE", "/qemu/")] {
            let vm = world.running_vm(&ann, "web").await;
            world.simulator.faults().inject(Fault::once(method, path, kind.clone()));

            world.delete(&ann, &format!("/vms/{vm}")).await.expect(202);
            world.settle().await;

            assert_eq!(world.simulator.faults().waiting(), 0, "{kind:?} {path}");
            world.get(&ann, &format!("/vms/{vm}")).await.problem(404);
            assert!(world.our_guests().is_empty(), "{kind:?} {path}");
        }
    }
    world.finish().await;
}

#[tokio::test]
async fn a_deletion_that_is_refused_is_parked_and_retried() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "5").await, world.admin().await);
    let vm = world.running_vm(&ann, "web").await;
    world.simulator.faults().inject(Fault::once(
        "DELETE",
        "/qemu/",
        FaultKind::TaskFails("unable to remove volume".into()),
    ));

    world.delete(&ann, &format!("/vms/{vm}")).await.expect(202);
    world.settle().await;
    let job = world.last_job(&ann).await;
    assert_eq!(text(&job, "/status"), "parked");
    assert_eq!(
        world.post(&admin, &format!("/admin/jobs/{}/retry", text(&job, "/id")), &serde_json::json!({})).await.status,
        202
    );
    world.settle().await;

    world.get(&ann, &format!("/vms/{vm}")).await.problem(404);
    assert!(world.our_guests().is_empty());
    world.finish().await;
}
