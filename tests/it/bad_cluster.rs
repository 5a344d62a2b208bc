//! A cluster that answers, but not as a cluster should: nothing is lost, nothing is made twice, and its customer reads a
//! sentence of ours and never what came over the wire.

use chrono::TimeDelta;
use proxmox_simulator::{Fault, FaultKind};

use crate::world::{Customer, World, text};

/// What a customer may read while a job cannot go on.
const SENTENCES: [&str; 2] = ["the cluster does not answer", "another attempt"];

/// Another fingerprint than the cluster's; the second time its own again.
const OTHER_CERTIFICATE: &str =
    "update clusters set fingerprint = reverse(fingerprint), updated_at = updated_at + interval '1 second'";

/// Runs what is due for an hour, looks at what the customer reads meanwhile, and answers with it.
async fn an_hour(world: &World, customer: &Customer) -> Vec<String> {
    let mut read = Vec::new();
    for _ in 0..30 {
        world.run_due_jobs().await;
        let job = world.last_job(customer).await;
        let waiting = job["waiting_for"].as_str().unwrap_or_default().to_owned();
        if !waiting.is_empty() && !read.contains(&waiting) {
            read.push(waiting);
        }
        world.advance(TimeDelta::minutes(2));
    }
    read
}

#[tokio::test]
async fn an_order_outlives_every_kind_of_nonsense() {
    let kinds = [
        FaultKind::Html,
        FaultKind::TruncatedJson,
        FaultKind::WrongContentLength,
        FaultKind::Proxy595,
        FaultKind::Proxy596AfterWork,
        FaultKind::Proxy599,
        FaultKind::DropBefore,
        FaultKind::DropAfter,
    ];
    for kind in kinds {
        let world = World::new().await;
        let ann = world.customer("ann", "5").await;
        let vm = world.order(&ann, "web").await;
        let any = Fault { method: None, path_contains: String::new(), times: 6, kind: kind.clone() };
        world.simulator.faults().inject(any);

        let read = an_hour(&world, &ann).await;

        assert!(!read.is_empty(), "{kind:?}: the customer was told nothing");
        for sentence in &read {
            assert!(SENTENCES.contains(&sentence.as_str()), "{kind:?}: {sentence}");
        }
        assert_eq!(world.state(&ann, &vm).await, "running", "{kind:?}");
        assert_eq!(world.our_guests().len(), 1, "{kind:?}");
        world.finish().await;
    }
}

#[tokio::test]
async fn an_order_waits_while_the_certificate_is_not_the_one_that_is_trusted() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let vm = world.order(&ann, "web").await;
    world.execute(OTHER_CERTIFICATE).await;

    let read = an_hour(&world, &ann).await;

    assert_eq!(read, ["the cluster does not answer"]);
    assert_eq!(world.state(&ann, &vm).await, "provisioning");
    let words = world.text("select error from jobs order by id desc limit 1").await;
    assert!(words.to_lowercase().contains("certificate"), "the operator reads why: {words}");
    world.execute(OTHER_CERTIFICATE).await;
    an_hour(&world, &ann).await;
    assert_eq!(world.state(&ann, &vm).await, "running");
    world.finish().await;
}

#[tokio::test]
async fn a_task_that_the_cluster_forgets_is_not_started_again_when_its_work_is_there() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let vm = world.order(&ann, "web").await;
    let forgotten = FaultKind::Refuse { status: 500, message: "no such task".into() };
    world.simulator.faults().inject(Fault { times: 40, ..Fault::once("GET", "/tasks/", forgotten) });

    an_hour(&world, &ann).await;

    assert_eq!(world.state(&ann, &vm).await, "running");
    assert_eq!(world.our_guests().len(), 1);
    assert_eq!(text(&world.last_job(&ann).await, "/status"), "completed");
    world.finish().await;
}
