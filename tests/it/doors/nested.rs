//! What staff ask for by two ids at once: a person of an organisation, a charge of a customer, a version of a price list, a
//! guest of a cluster. Ids that exist and do not belong together are those of nothing.

use proxmox_simulator::{Options, Simulator};
use serde_json::{Value, json};

use super::somebody::Somebody;
use crate::by_page::foreign_guest;
use crate::world::{Customer, World, new_cluster, text};

/// The VMID of a guest on the first cluster.
const GUEST: u32 = 500;

/// What each kind of path needs: its ids as they belong together, and one of them as somebody else's.
struct Kind {
    /// How its paths continue after the first id.
    continues: &'static str,
    together: Vec<(&'static str, String)>,
    other: (&'static str, String),
}

impl Kind {
    fn path(&self, path: &str, belongs: bool) -> String {
        let ids = if belongs { self.together.as_slice() } else { &[] };
        let first = ids.iter().chain([&self.other]).chain(&self.together);
        first.fold(path.to_owned(), |path, (name, id)| path.replace(name, id))
    }
}

/// What to send so that the ids are what decides.
fn body(world: &World, plan: &str, customer: &Customer) -> Value {
    json!({
        "state": "active", "reason": "Tests", "organisation": customer.organisation, "plan": plan, "image": world.images[0],
        "name": "legacy",
    })
}

/// Every route of staff with more than one id in its path: method and path.
fn nested() -> Vec<(String, String)> {
    let routes = uni_manager::web::routes().into_iter();
    let is_staffs = |path: &str| path.trim_start_matches("/api/v1").starts_with("/admin/");
    routes
        .filter(|route| is_staffs(&route.path) && route.path.matches('{').count() > 1)
        .map(|route| (route.method.to_string(), route.path))
        .collect()
}

/// A charge: its meter and its hour.
async fn charge(world: &World) -> (String, String) {
    let sql =
        r#"select meter_id::text, to_char(period_start at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') from charges"#;
    sqlx::query_as(sql).fetch_one(&world.app.pool).await.unwrap()
}

#[tokio::test]
async fn ids_that_do_not_belong_together_are_those_of_nothing_for_staff_as_well() {
    let world = World::new().await;
    let (ann, bob) = (world.customer("ann", "50").await, world.customer("bob", "5").await);
    let admin = world.admin().await;
    world.running_vm(&ann, "web").await;
    world.hours_with_passes(1).await;
    let (meter, from) = charge(&world).await;
    // One list of two has a second version, which has not begun.
    world.execute("update settings set price_notice_days = 0").await;
    let default = world.text("select id::text from price_lists").await;
    let friends = world.post(&admin, "/admin/price-lists", &json!({ "name": "Friends", "copy_of": default })).await;
    let friends = text(&friends.expect(201), "/id").to_owned();
    let plan = world.plan("s").await;
    let price = json!({ "kind": "vm_running", "plan": plan, "price_per_hour": "0.03" });
    let change = json!({ "effective_from": "2026-11-20T15:00:00Z", "prices": [price] });
    let changed = world.post(&admin, &format!("/admin/price-lists/{friends}/versions"), &change).await.expect(201);
    let number = changed["number"].to_string();
    // One cluster of two has a guest of somebody else.
    foreign_guest(&world, GUEST).await;
    let simulator = Simulator::start(Options { identity: None, ..Options::default() }).unwrap();
    let new = new_cluster(&simulator, world.location);
    let second = json!({
        "name": "second", "location": world.location, "endpoint": new.endpoint, "token_id": new.token_id,
        "token_secret": simulator.token().split_once('=').unwrap().1, "fingerprint": new.fingerprint,
        "storage": "shared", "bridge": "vmbr0", "vmid_from": "10000", "vmid_to": "19999",
    });
    world.post(&admin, "/admin/clusters", &second).await.expect(201);
    let second = world.text("select id::text from clusters where name = 'second'").await;
    let (anns, bobs) = (ann.organisation.to_string(), bob.organisation.to_string());
    let kinds = [
        Kind {
            continues: "/people/",
            together: vec![("{id}", anns.clone()), ("{user}", ann.user.id.to_string())],
            other: ("{id}", bobs.clone()),
        },
        Kind {
            continues: "/charges/",
            together: vec![("{id}", anns), ("{meter}", meter), ("{from}", from)],
            other: ("{id}", bobs),
        },
        Kind {
            continues: "/versions/",
            together: vec![("{id}", friends), ("{number}", number)],
            other: ("{id}", default),
        },
        Kind {
            continues: "/{vmid}",
            together: vec![("{cluster}", world.cluster.to_string()), ("{vmid}", GUEST.to_string())],
            other: ("{cluster}", second),
        },
    ];
    let kind_of = |path: &str| {
        let fitting = kinds.iter().find(|kind| path.contains(kind.continues));
        fitting.unwrap_or_else(|| panic!("say here which ids of {path} belong together"))
    };

    let routes = nested();
    let staff = Somebody::enters(&world, &world.known(&admin).await).await;
    let events = world.events().await.len();
    for (method, path) in &routes {
        let apart = kind_of(path).path(path, false);
        let answer = staff.asks(&world, method, &apart, &body(&world, &plan, &ann)).await;
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text);
    }
    assert!(routes.len() > 12, "{} routes", routes.len());
    assert_eq!(world.events().await.len(), events, "nothing was done to anybody");
    // As they belong together they are there: what is refused is refused for another reason.
    for (method, path) in &routes {
        let staff = Somebody::enters(&world, &world.known(&admin).await).await;
        let order = if path.contains("foreign-guests") { json!({}) } else { body(&world, &plan, &ann) };
        let answer = staff.asks(&world, method, &kind_of(path).path(path, true), &order).await;
        assert!(answer.status != 404 && answer.status < 500, "{method} {path}: {} {}", answer.status, answer.text);
    }
    world.finish().await;
}
