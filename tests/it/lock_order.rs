//! Whoever locks several wallets locks them in the order of their keys: two who do so at once wait for each other in turn, and
//! PostgreSQL ends neither.

use chrono::TimeDelta;
use serde_json::json;
use uni_manager::charging::passes::Decision;

use crate::bad_ends::two_that_end_together;
use crate::bad_money::{decide, held};
use crate::half_sent::overtaken;
use crate::world::{World, text};

/// Has somebody want both wallets while the first is locked: by the time he waits for it he has not got the second.
async fn in_order<T>(world: &World, wants_both: impl Future<Output = T>) -> T {
    // Written anew, in the table and in its indexes, the first lies behind the second: whoever takes them as they lie comes to
    // it last.
    world
        .execute(
            "do $$ declare first wallets;
             begin
                 select * into first from wallets where metered order by organisation_id limit 1;
                 update wallets set due_at = '2000-01-01' where organisation_id = first.organisation_id;
                 update wallets set due_at = first.due_at where organisation_id = first.organisation_id;
             end $$",
        )
        .await;
    let first = "select from wallets where organisation_id = (select organisation_id from wallets where metered order by 1 limit 1) for update";
    let second = "select from wallets where organisation_id = (select organisation_id from wallets where metered order by 1 desc limit 1) for update nowait";
    overtaken(world, first, wants_both, async |connection| {
        sqlx::query(second).execute(connection).await.expect("the second is locked before the first");
    })
    .await
}

#[tokio::test]
async fn prices_that_change_within_the_hour_have_wallets_looked_at_in_order() {
    let world = World::new().await;
    for name in ["ann", "bob"] {
        let customer = world.customer(name, "5").await;
        world.running_vm(&customer, "web").await;
    }
    let admin = world.admin().await;
    world.execute("update settings set price_notice_days = 0").await;
    let lists = world.get(&admin, "/admin/price-lists").await.expect(200);
    let path = format!("/admin/price-lists/{}/versions", text(&lists, "/items/0/id"));
    let soon = world.now() + TimeDelta::minutes(30);
    let new = json!({ "effective_from": soon, "prices": [{ "kind": "address", "price_per_hour": "0.005" }] });

    in_order(&world, world.post(&admin, &path, &new)).await.expect(201);

    assert_eq!(world.count("select count(*) from wallets where metered and due_at <= '2026-11-10T12:05:00Z'").await, 2);
    world.finish().await;
}

#[tokio::test]
async fn held_wallets_are_let_go_in_order() {
    let (world, _customers) = two_that_end_together().await;
    let admin = world.admin().await;
    world.advance(TimeDelta::seconds(601));
    world.charge().await;
    assert_eq!(held(&world).await.projected_wallets, 2);

    in_order(&world, decide(&world, &admin, Decision::Approve)).await;

    assert_eq!(world.count("select count(*) from wallets where held_by is not null").await, 0);
    world.charge().await;
    assert_eq!(world.count("select count(*) from wallets where exhausted_at is not null").await, 2);
    world.settle().await;
    world.finish().await;
}
