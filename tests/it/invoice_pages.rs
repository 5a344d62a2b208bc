//! Invoices on pages: the list, the document, all of them for operators, and the forms around them.

use chrono::TimeDelta;
use serde_json::json;

use crate::money::{machine, sell};
use crate::second_factor::browser::Browser;
use crate::world::{Start, World, at};

#[tokio::test]
async fn invoices_are_read_by_their_owner_and_by_operators() {
    let world = World::starting(Start { now: at("2026-10-31T20:00:00Z"), ..Start::default() }).await;
    let (ann, bob, admin) = (world.customer("ann", "50").await, world.customer("bob", "5").await, world.admin().await);
    sell(&world, "odd", "0.0777777777", "0.0012345678", None).await;
    machine(&world, &ann, "web", "odd").await;
    let mut browser = Browser::logged_in(&world, &ann).await;
    let empty = browser.get(&world, "/wallet/invoices").await;
    assert!(empty.text.contains("No invoice yet") && empty.text.contains("Invoices begin when"), "{}", empty.text);

    let mut staff = Browser::logged_in(&world, &admin).await;
    assert!(staff.get(&world, "/admin/invoices").await.text.contains("No invoices are issued yet"));
    let issuer = [
        ("issuer_name", "Cloud Ltd"),
        ("issuer_address", "1 Rack Row\r\nServerton"),
        ("number_prefix", "UM-"),
        ("tax_rate", "19"),
    ];
    staff.does(&world, "/admin/settings", "/admin/settings/invoices", &issuer).await;
    let wrong = [("tax_rate", "101"), ("number_prefix", "a/b"), ("issuer_address", "1\n2\n3\n4\n5\n6\n7")];
    for (field, value) in wrong {
        let refused = staff.fills_in(&world, "/admin/settings", "/admin/settings/invoices", &[(field, value)]).await;
        assert_eq!(refused.status, 422, "{field}");
        assert!(refused.text.contains(&format!("id=\"{field}-problem\"")), "{field}: {}", refused.text);
    }
    assert!(browser.get(&world, "/wallet/invoices").await.text.contains("its invoice comes after"));
    let details = [("billing_name", "Ann & Sons"), ("billing_address", "2 Side Street\nOldtown")];
    browser.does(&world, "/organisation/settings", "/organisation/billing-details", &details).await;
    let long = "x".repeat(121);
    let refused = [("billing_name", long.as_str())];
    let refused = browser.fills_in(&world, "/organisation/settings", "/organisation/billing-details", &refused).await;
    assert!(refused.status == 422 && refused.text.contains("At most 120 characters."), "{}", refused.text);

    world.hours_with_passes(6).await;
    world.issue().await;
    let mut browser = Browser::logged_in(&world, &ann).await;
    let list = browser.get(&world, "/wallet/invoices").await;
    assert!(
        list.text.contains("/wallet/invoices/UM-2026-000001") && list.text.contains("October 2026"),
        "{}",
        list.text
    );
    let document = browser.get(&world, "/wallet/invoices/UM-2026-000001").await;
    for words in [
        "Cloud Ltd",
        "Serverton",
        "Ann &#38; Sons",
        "web",
        "VM, running",
        "€0.311111",
        "€0.31",
        "19 % tax",
        "Paid from credit",
    ] {
        assert!(document.text.contains(words), "{words}: {}", document.text);
    }
    let file = browser.get(&world, "/wallet/invoices/UM-2026-000001/lines.csv").await;
    assert!(file.text.contains("1,web,vm_running,4,0.311111,0.310000,"), "{}", file.text);

    let mut stranger = Browser::logged_in(&world, &bob).await;
    assert_eq!(stranger.get(&world, "/wallet/invoices/UM-2026-000001").await.status, 404);
    assert!(stranger.get(&world, "/wallet/invoices").await.text.contains("No invoice yet"));

    let mut staff = Browser::logged_in(&world, &admin).await;
    let all = staff.get(&world, "/admin/invoices?month=2026-10").await;
    assert!(all.text.contains("/admin/invoices/UM-2026-000001") && all.text.contains("€0.311111"), "{}", all.text);
    let none = staff.get(&world, "/admin/invoices?month=2026-09").await;
    assert!(!none.text.contains("UM-2026-000001"));
    let number = world.count("select number from organisations where name = 'bob''s'").await;
    assert!(!staff.get(&world, &format!("/admin/invoices?customer={number}")).await.text.contains("UM-2026-000001"));
    assert!(staff.get(&world, "/admin/invoices?customer=x").await.text.contains("No customer has this number"));
    let of_ann = format!("/admin/invoices?customer={}", ann.organisation);
    assert!(staff.get(&world, &of_ann).await.text.contains("UM-2026-000001"));
    let charges = staff.get(&world, &format!("/admin/customers/{}/charges", ann.organisation)).await;
    assert!(charges.text.contains(&of_ann), "{}", charges.text);
    let document = staff.get(&world, "/admin/invoices/UM-2026-000001").await;
    assert!(document.text.contains("Ann &#38; Sons"), "{}", document.text);
    let id = world.text("select id::text from invoices").await;
    let found = world.get(&admin, "/admin/invoices").await.expect(200);
    assert_eq!(found["items"][0]["id"], json!(id));
    assert_eq!(world.get(&admin, &format!("/admin/invoices/{id}")).await.expect(200)["gross"], json!("0.310000"));
    let mut settings = world.get(&admin, "/admin/invoice-settings").await.expect(200);
    assert_eq!((&settings["tax_rate"], &settings["number_prefix"]), (&json!("19"), &json!("UM-")));
    settings["currency_places"] = json!(3);
    world.put(&admin, "/admin/invoice-settings", &settings).await.expect(200);
    settings["currency_places"] = json!(5);
    assert_eq!(world.put(&admin, "/admin/invoice-settings", &settings).await.problem_fields(), ["currency_places"]);
    world.advance(TimeDelta::seconds(1));
    world.finish().await;
}
