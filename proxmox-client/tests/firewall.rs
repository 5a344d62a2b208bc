//! The firewall of a machine: what is sent, and how its answers are read that no recording has.

#![allow(clippy::unwrap_used, reason = "a failed step must fail the test")]

mod support;

use proxmox_client::{Error, FirewallOptions, FirewallPolicy, FirewallRule};
use support::{Reply, Seen, Server};

fn sent(seen: &Seen) -> (&str, &str, &str) {
    (&seen.method, seen.target.strip_prefix("/api2/json/nodes/pve/qemu/101/firewall/").unwrap(), &seen.body)
}

#[tokio::test]
async fn switches_are_read_and_set_one_by_one() {
    let answer = r#"{"enable":"1","policy_in":"REJECT","policy_out":"NEW","macfilter":0,"digest":"ab"}"#;
    let server = Server::start([Reply::data(answer), Reply::data("null")]).await;
    let client = server.client();
    let options = client.firewall_options("pve", 101).await.unwrap();
    assert_eq!((options.enable, options.macfilter, options.ipfilter), (Some(true), Some(false), None));
    assert_eq!(options.policy_in, Some(FirewallPolicy::Reject));
    assert_eq!(options.policy_out, Some(FirewallPolicy::Other("NEW".to_owned())));
    let change = FirewallOptions {
        radv: Some(false),
        policy_out: Some(FirewallPolicy::Accept),
        digest: options.digest,
        ..FirewallOptions::default()
    };
    client.set_firewall_options("pve", 101, &change).await.unwrap();
    assert_eq!(sent(&server.seen()[1]), ("PUT", "options", "policy_out=ACCEPT&radv=0&digest=ab"));
}

#[tokio::test]
async fn a_rule_is_on_has_its_place_and_is_replaced_as_a_whole() {
    let server = Server::start(vec![Reply::data("null"); 5]).await;
    let client = server.client();
    let mut rule = FirewallRule::new("in", "ACCEPT");
    client.add_firewall_rule("pve", 101, &rule).await.unwrap();
    rule.pos = Some(2);
    rule.digest = Some("ab".to_owned());
    rule.proto = Some("tcp".to_owned());
    rule.dport = Some("80,443".to_owned());
    rule.macro_name = Some("SSH".to_owned());
    rule.icmp_type = Some("any".to_owned());
    client.add_firewall_rule("pve", 101, &rule).await.unwrap();
    rule.enable = false;
    client.set_firewall_rule("pve", 101, 7, &rule, "cd").await.unwrap();
    client.delete_firewall_rule("pve", 101, 0, None).await.unwrap();
    client.delete_firewall_rule("pve", 101, 3, Some("cd")).await.unwrap();
    let seen = server.seen();
    assert_eq!(sent(&seen[0]), ("POST", "rules", "type=in&action=ACCEPT&enable=1"));
    let options = "proto=tcp&dport=80%2C443&macro=SSH&icmp-type=any";
    let body = format!("type=in&action=ACCEPT&enable=1&{options}&pos=2&digest=ab");
    assert_eq!(sent(&seen[1]), ("POST", "rules", body.as_str()));
    let gone = "delete=sport%2Csource%2Cdest%2Ciface%2Clog%2Ccomment";
    let body = format!("type=in&action=ACCEPT&enable=0&{options}&{gone}&digest=cd");
    assert_eq!(sent(&seen[2]), ("PUT", "rules/7", body.as_str()));
    assert_eq!(sent(&seen[3]), ("DELETE", "rules/0", ""));
    assert_eq!(sent(&seen[4]), ("DELETE", "rules/3?digest=cd", ""));
}

#[tokio::test]
async fn addresses_may_have_a_slash_in_the_path() {
    let entries = r#"[{"cidr":"192.0.2.0/24","nomatch":"1","digest":"ab"},{"cidr":"2001:db8::5"}]"#;
    let sets = r#"[{"name":"ipfilter-net0","digest":"ab","comment":"x"}]"#;
    let mut replies = vec![Reply::data(sets), Reply::data(entries)];
    replies.extend(vec![Reply::data("null"); 6]);
    let server = Server::start(replies).await;
    let client = server.client();
    assert_eq!(client.address_sets("pve", 101).await.unwrap()[0].comment.as_deref(), Some("x"));
    let found = client.address_set("pve", 101, "ipfilter-net0").await.unwrap();
    assert!(found[0].nomatch && !found[1].nomatch && found[1].cidr == "2001:db8::5");
    client.create_address_set("pve", 101, "ipfilter-net0").await.unwrap();
    client.add_address("pve", 101, "ipfilter-net0", "192.0.2.0/24").await.unwrap();
    client.delete_address("pve", 101, "ipfilter-net0", "192.0.2.0/24", Some("ab")).await.unwrap();
    client.delete_address("pve", 101, "ipfilter-net0", "2001:db8::5", None).await.unwrap();
    client.delete_address_set("pve", 101, "ipfilter-net0", false).await.unwrap();
    client.delete_address_set("pve", 101, "ipfilter-net0", true).await.unwrap();
    for wrong in ["", "..", "a/../b"] {
        let result = client.delete_address("pve", 101, "s", wrong, None).await;
        assert!(matches!(result, Err(Error::NeverSent { .. })), "{wrong}");
    }
    let seen = server.seen();
    assert_eq!(seen.len(), 8);
    assert_eq!(sent(&seen[1]), ("GET", "ipset/ipfilter-net0", ""));
    assert_eq!(sent(&seen[2]), ("POST", "ipset", "name=ipfilter-net0"));
    assert_eq!(sent(&seen[3]), ("POST", "ipset/ipfilter-net0", "cidr=192.0.2.0%2F24"));
    assert_eq!(sent(&seen[4]), ("DELETE", "ipset/ipfilter-net0/192.0.2.0/24?digest=ab", ""));
    assert_eq!(sent(&seen[5]), ("DELETE", "ipset/ipfilter-net0/2001:db8::5", ""));
    assert_eq!(sent(&seen[6]), ("DELETE", "ipset/ipfilter-net0", ""));
    assert_eq!(sent(&seen[7]), ("DELETE", "ipset/ipfilter-net0?force=1", ""));
}
