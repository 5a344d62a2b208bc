//! Pools, and the rights they give.

use proxmox_simulator::Options;
use serde_json::json;

use crate::{machine, refused, start};

#[tokio::test]
async fn a_pool_has_members_only_once_and_goes_only_when_empty() {
    let (_simulator, client) = start(Options::default());
    machine(&client).await;
    client.post("/pools", &[("poolid", "a"), ("comment", "first")]).await.data();
    client.post("/pools", &[("poolid", "b")]).await.data();
    refused(&client.post("/pools", &[("poolid", "a")]).await, 500, "create pool failed: pool 'a' already exists");
    let put = |form: &'static [(&'static str, &'static str)]| client.send("PUT", "/pools", form);
    put(&[("poolid", "a"), ("vms", "100"), ("storage", "local")]).await.data();
    let again = put(&[("poolid", "a"), ("vms", "100")]).await;
    refused(&again, 500, "update pools failed: VM 100 is already a pool member");
    let other = put(&[("poolid", "b"), ("vms", "100")]).await;
    refused(&other, 500, "update pools failed: VM 100 belongs already to pool 'a' and 'allow-move' is not set");
    let read = client.get("/pools?poolid=a").await;
    assert_eq!(read.data()[0]["comment"], "first");
    let ids: Vec<&str> =
        read.data()[0]["members"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["qemu/100", "storage/pve1/local"]);
    assert_eq!(client.get("/pools/a?type=qemu").await.data()["members"].as_array().unwrap().len(), 1);
    let resources = client.get("/cluster/resources").await;
    let of = |id: &str| resources.data().as_array().unwrap().iter().find(|one| one["id"] == id).unwrap().clone();
    assert_eq!(of("qemu/100")["pool"], "a");
    assert_eq!(of("/pool/b")["type"], "pool");
    let full = client.send("DELETE", "/pools?poolid=a", &[]).await;
    refused(&full, 500, "delete pool failed: pool 'a' is not empty (contains VM 100)");
    put(&[("poolid", "b"), ("vms", "100"), ("allow-move", "1")]).await.data();
    put(&[("poolid", "a"), ("storage", "local"), ("delete", "1")]).await.data();
    client.send("DELETE", "/pools/a", &[]).await.data();
    assert_eq!(client.get("/pools").await.data(), &json!([{ "poolid": "b" }]));
    let upid = client.send("DELETE", "/nodes/pve1/qemu/100", &[]).await.upid();
    assert_eq!(client.exit(&upid).await, "OK");
    assert_eq!(client.get("/pools/b").await.data()["members"], json!([]), "a destroyed guest leaves its pool");
}

#[tokio::test]
async fn a_pool_gives_its_roles_to_what_is_in_it() {
    let (_simulator, client) = start(Options::default());
    client.post("/pools", &[("poolid", "tenant")]).await.data();
    client.post("/access/users", &[("userid", "t@pve")]).await.data();
    let value = client.post("/access/users/t@pve/token/app", &[("privsep", "0")]).await.data()["value"].clone();
    let tenant = client.with(Some(&format!("PVEAPIToken=t@pve!app={}", value.as_str().unwrap())));
    let acl = |path: &'static str, role: &'static str| {
        let client = client.clone();
        async move { client.send("PUT", "/access/acl", &[("path", path), ("users", "t@pve"), ("roles", role)]).await }
    };
    acl("/pool/tenant", "PVEVMAdmin").await.data();
    acl("/vms/9000", "PVETemplateUser").await.data();
    acl("/storage", "PVEDatastoreUser").await.data();
    let nowhere = tenant.post("/nodes/pve1/qemu/9000/clone", &[("newid", "100")]).await;
    assert_eq!(nowhere.status, 403, "{}", nowhere.text);
    let unknown = tenant.post("/nodes/pve1/qemu/9000/clone", &[("newid", "100"), ("pool", "nosuch")]).await;
    assert_eq!(unknown.status, 403, "{}", unknown.text);
    let upid = tenant.post("/nodes/pve1/qemu/9000/clone", &[("newid", "100"), ("pool", "tenant")]).await.upid();
    assert_eq!(tenant.exit(&upid).await, "OK");
    let upid = tenant.post("/nodes/pve1/qemu/100/status/start", &[]).await.upid();
    assert_eq!(tenant.exit(&upid).await, "OK");
    acl("/vms/100", "NoAccess").await.data();
    let shut_out = tenant.get("/nodes/pve1/qemu/100/status/current").await;
    refused(&shut_out, 403, "Permission check failed (/vms/100, VM.Audit)");
}
