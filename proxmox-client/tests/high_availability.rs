//! High availability: groups of version 8, rules of version 9, and moving guests.

#![allow(clippy::unwrap_used, reason = "a failed step must fail the test")]

mod support;

use proxmox_client::{HaAffinity, HaRule, HaRuleKind};
use support::replay::form;
use support::{Reply, Server};

#[tokio::test]
async fn groups_are_made_listed_and_refused_where_rules_are() {
    let groups = r#"[{"group":"a","nodes":"pve1:2,pve2","restricted":1,"nofailback":0,"type":"group","digest":"x"}]"#;
    let gone = r#"{"data":null,"message":"invalid parameter 'group': ha groups have been migrated to rules\n"}"#;
    let replies = [Reply::data("null"), Reply::data(groups), Reply::data("null"), Reply::json(500, "x", gone)];
    let server = Server::start(replies).await;
    let client = server.client();
    client.create_ha_group("a", &["pve1:2", "pve2"], true).await.unwrap();
    let listed = client.ha_groups().await.unwrap();
    assert_eq!((listed[0].group.as_str(), listed[0].nodes.as_deref()), ("a", Some("pve1:2,pve2")));
    assert!(listed[0].restricted && !listed[0].nofailback);
    client.delete_ha_group("a").await.unwrap();
    let error = client.create_ha_group("b", &["pve1"], false).await.unwrap_err();
    assert!(error.refusal().unwrap().message.contains("migrated to rules"));
    let seen = server.seen();
    assert_eq!(form(&seen[0].body)["nodes"], "pve1:2,pve2");
    assert_eq!((seen[2].method.as_str(), seen[2].target.as_str()), ("DELETE", "/api2/json/cluster/ha/groups/a"));
    assert!(!seen[3].body.contains("restricted"));
    assert!(client.delete_ha_group("a/b").await.is_err());
}

#[tokio::test]
async fn rules_keep_guests_on_nodes_or_apart() {
    let rules = r#"[{"rule":"on","type":"node-affinity","resources":"vm:100","nodes":"pve1:2,pve2","strict":1,"order":1},
        {"rule":"apart","type":"resource-affinity","resources":"vm:100,vm:101","affinity":"negative","disable":1}]"#;
    let server =
        Server::start([Reply::data("null"), Reply::data("null"), Reply::data(rules), Reply::data("null")]).await;
    let client = server.client();
    let on = HaRule::on_nodes("on", &[100], &["pve1:2", "pve2"], true);
    let apart = HaRule { disable: true, ..HaRule::of_guests("apart", &[100, 101], HaAffinity::Negative) };
    client.create_ha_rule(&on).await.unwrap();
    client.create_ha_rule(&apart).await.unwrap();
    assert_eq!(client.ha_rules(Some(100)).await.unwrap(), [on, apart]);
    client.delete_ha_rule("on").await.unwrap();
    let seen = server.seen();
    let sent = form(&seen[0].body);
    assert_eq!(
        (sent["type"].as_str(), sent["resources"].as_str(), sent["strict"].as_str()),
        ("node-affinity", "vm:100", "1")
    );
    assert_eq!(sent["nodes"], "pve1:2,pve2");
    let sent = form(&seen[1].body);
    assert_eq!((sent["affinity"].as_str(), sent["disable"].as_str()), ("negative", "1"));
    assert!(!sent.contains_key("strict") && !sent.contains_key("nodes"));
    assert_eq!(seen[2].target, "/api2/json/cluster/ha/rules?resource=vm%3A100");
    assert_eq!(seen[3].target, "/api2/json/cluster/ha/rules/on");
    assert_eq!(HaRuleKind::from("node-affinity"), HaRuleKind::NodeAffinity);
}

#[tokio::test]
async fn guests_are_asked_to_move() {
    let moved = r#"{"requested-node":"pve2","sid":"vm:100"}"#;
    let server = Server::start([Reply::data(moved), Reply::data("null")]).await;
    let client = server.client();
    client.migrate_ha_resource(100, "pve2").await.unwrap();
    client.relocate_ha_resource(100, "pve2").await.unwrap();
    let seen = server.seen();
    assert_eq!(seen[0].target, "/api2/json/cluster/ha/resources/vm:100/migrate");
    assert_eq!(
        (seen[1].target.as_str(), seen[1].body.as_str()),
        ("/api2/json/cluster/ha/resources/vm:100/relocate", "node=pve2")
    );
}
