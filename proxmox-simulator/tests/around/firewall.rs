//! Firewall rules, IP sets, aliases and options.

use proxmox_simulator::Options;
use serde_json::{Value, json};

use crate::client::Client;
use crate::{machine, refused, start};

const GUEST: &str = "/nodes/pve1/qemu/100/firewall";

async fn ports(client: &Client) -> Vec<String> {
    let rules = client.get(&format!("{GUEST}/rules")).await;
    rules.data().as_array().unwrap().iter().map(|rule| rule["dport"].as_str().unwrap().to_owned()).collect()
}

async fn rule(client: &Client, port: &str) {
    let form = [("type", "in"), ("action", "ACCEPT"), ("proto", "tcp"), ("dport", port)];
    client.post(&format!("{GUEST}/rules"), &form).await.data();
}

#[tokio::test]
async fn rules_have_places_that_shift_and_a_digest_that_guards_them() {
    let (_simulator, client) = start(Options::default());
    machine(&client).await;
    for port in ["22", "80", "443"] {
        rule(&client, port).await;
    }
    assert_eq!(ports(&client).await, ["443", "80", "22"], "a new rule is the first");
    let first = client.get(&format!("{GUEST}/rules/0")).await;
    assert_eq!((&first.data()["enable"], &first.data()["pos"]), (&json!(0), &json!(0)), "and does nothing yet");
    let digest = first.data()["digest"].as_str().unwrap().to_owned();
    client.send("PUT", &format!("{GUEST}/rules/0"), &[("moveto", "2"), ("digest", &digest)]).await.data();
    assert_eq!(ports(&client).await, ["80", "443", "22"]);
    client.send("PUT", &format!("{GUEST}/rules/0"), &[("moveto", "3")]).await.data();
    assert_eq!(ports(&client).await, ["443", "22", "80"]);
    let late = client.send("PUT", &format!("{GUEST}/rules/0"), &[("enable", "1"), ("digest", &digest)]).await;
    refused(&late, 500, "detected modified configuration - file changed by other user? Try again.");
    client.send("PUT", &format!("{GUEST}/rules/1"), &[("enable", "1"), ("comment", "ssh")]).await.data();
    client.send("PUT", &format!("{GUEST}/rules/1"), &[("delete", "comment")]).await.data();
    let second = client.get(&format!("{GUEST}/rules/1")).await;
    assert_eq!((&second.data()["enable"], &second.data()["comment"]), (&json!(1), &Value::Null));
    client.send("DELETE", &format!("{GUEST}/rules/0"), &[]).await.data();
    assert_eq!(ports(&client).await, ["22", "80"]);
    refused(&client.get(&format!("{GUEST}/rules/2")).await, 500, "no rule at position 2");
    for (field, value, text) in [
        ("action", "FLY", "unknown action 'FLY'"),
        ("dport", "99999", "invalid format - invalid port '99999'\n"),
        ("source", "+nosuch", "no such ipset 'nosuch'"),
        ("macro", "Nonsense", "unknown macro 'Nonsense'"),
    ] {
        let mut form = vec![("type", "in"), ("action", "ACCEPT"), ("proto", "tcp")];
        form.retain(|(name, _)| *name != field);
        form.push((field, value));
        let answer = client.post(&format!("{GUEST}/rules"), &form).await;
        assert_eq!((answer.status, &answer.body["errors"][field]), (400, &json!(text)), "{}", answer.text);
    }
}

#[tokio::test]
async fn sets_and_aliases_are_kept_apart_by_file_and_go_with_the_guest() {
    let (_simulator, client) = start(Options::default());
    machine(&client).await;
    let sets = format!("{GUEST}/ipset");
    let set = format!("{sets}/ipfilter-net0");
    client.post(&sets, &[("name", "ipfilter-net0")]).await.data();
    let twice = client.post(&sets, &[("name", "ipfilter-net0")]).await;
    assert_eq!(twice.body["errors"]["name"], "IPSet 'ipfilter-net0' already exists");
    client.post(&set, &[("cidr", "192.0.2.1/32")]).await.data();
    client.post(&set, &[("cidr", "2001:db8::/64"), ("nomatch", "1")]).await.data();
    let again = client.post(&set, &[("cidr", "192.0.2.1")]).await;
    assert_eq!(again.body["errors"]["cidr"], "address '192.0.2.1' already exists");
    let everything = client.post(&set, &[("cidr", "0.0.0.0/0")]).await;
    assert_eq!(everything.body["errors"]["cidr"], "a zero prefix is not allowed in ipset entries");
    assert_eq!(client.get(&format!("{set}/2001:db8::/64")).await.data()["nomatch"], 1);
    refused(&client.send("DELETE", &set, &[]).await, 500, "IPSet 'ipfilter-net0' is not empty");
    client.send("DELETE", &format!("{set}/2001%3Adb8%3A%3A%2F64"), &[]).await.data();
    assert_eq!(client.get(&set).await.data().as_array().unwrap().len(), 1);
    client.post("/cluster/firewall/aliases", &[("name", "Office"), ("cidr", "198.51.100.0/24")]).await.data();
    let form = [("type", "in"), ("action", "ACCEPT"), ("source", "dc/office"), ("dest", "+ipfilter-net0")];
    client.post(&format!("{GUEST}/rules"), &form).await.data();
    let refs = client.get(&format!("{GUEST}/refs")).await;
    let refs: Vec<&str> = refs.data().as_array().unwrap().iter().map(|one| one["ref"].as_str().unwrap()).collect();
    assert_eq!(refs, ["dc/Office", "+guest/ipfilter-net0"]);
    let upid = client.post("/nodes/pve1/qemu/100/clone", &[("newid", "101"), ("full", "1")]).await.upid();
    assert_eq!(client.exit(&upid).await, "OK");
    let copied = client.get("/nodes/pve1/qemu/101/firewall/ipset/ipfilter-net0").await;
    assert_eq!(copied.data()[0]["cidr"], "192.0.2.1", "a clone has the firewall of its source");
    let upid = client.send("DELETE", "/nodes/pve1/qemu/100", &[]).await.upid();
    assert_eq!(client.exit(&upid).await, "OK");
    assert_eq!(client.get(&sets).await.data(), &json!([]));
    client.send("DELETE", "/nodes/pve1/qemu/101/firewall/ipset/ipfilter-net0?force=1", &[]).await.data();
}

#[tokio::test]
async fn options_groups_and_nodes_use_the_same_engine() {
    let (_simulator, client) = start(Options::default());
    for path in ["/cluster/firewall/options", "/nodes/pve1/firewall/options"] {
        client.send("PUT", path, &[("enable", "1")]).await.data();
        assert_eq!(client.get(path).await.data()["enable"], 1);
        client.send("PUT", path, &[("delete", "enable")]).await.data();
        assert_eq!(client.get(path).await.data(), &json!({ "digest": "da39a3ee5e6b4b0d3255bfef95601890afd80709" }));
        let unknown = client.send("PUT", path, &[("delete", "nonsense")]).await;
        assert_eq!(unknown.body["errors"]["delete"], "no such option 'nonsense'");
    }
    let group = "/cluster/firewall/groups/web";
    refused(&client.get(group).await, 500, "no such security group 'web'");
    client.post("/cluster/firewall/groups", &[("group", "web"), ("comment", "pages")]).await.data();
    client.post(group, &[("type", "in"), ("action", "ACCEPT"), ("macro", "HTTPS")]).await.data();
    assert_eq!(client.get(&format!("{group}/0")).await.data()["macro"], "HTTPS");
    refused(&client.send("DELETE", group, &[]).await, 500, "Security group 'web' is not empty");
    client.post("/nodes/pve1/firewall/rules", &[("type", "group"), ("action", "web")]).await.data();
    client.send("DELETE", &format!("{group}/0"), &[]).await.data();
    client.send("DELETE", group, &[]).await.data();
    assert_eq!(client.get("/cluster/firewall/groups").await.data(), &json!([]));
}
