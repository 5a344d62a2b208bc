//! History, cloud-init image, pools, high availability, access lists and lists of tasks: what is
//! sent, and how the answers are read that no recording has.

#![allow(clippy::unwrap_used, reason = "a failed step must fail the test")]

mod support;

use proxmox_client::{
    CloudInitFile, Consolidation, Error, Holder, NeverSentCause, TaskEnd, TaskFilter, Timeframe, WantedState,
};
use support::{Reply, Seen, Server};

const UPID: &str = "UPID:pve:000005E6:000610B1:6B00B674:qmclone:9000:panel@pve!app:";

fn sent(seen: &Seen) -> (&str, &str, &str) {
    (&seen.method, seen.target.strip_prefix("/api2/json").unwrap(), &seen.body)
}

#[tokio::test]
async fn history_has_gaps() {
    let answer = r#"[{"time":1795207200},{"time":"1795207260","cpu":1.5e-2,"netin":"12.5","maxmem":402653184}]"#;
    let server = Server::start([Reply::data(answer)]).await;
    let history = server.client().vm_history("pve", 101, &Timeframe::Hour, &Consolidation::Maximum).await.unwrap();
    assert_eq!((history[0].time, history[0].cpu), (1_795_207_200, None));
    assert_eq!((history[1].cpu, history[1].netin), (Some(0.015), Some(12.5)));
    assert_eq!(sent(&server.seen()[0]), ("GET", "/nodes/pve/qemu/101/rrddata?timeframe=hour&cf=MAX", ""));
}

#[tokio::test]
async fn the_cloud_init_image_is_written_and_read() {
    let waiting = r#"[{"key":"ciuser","value":"debian","pending":"root"}]"#;
    let server =
        Server::start([Reply::data(waiting), Reply::data("null"), Reply::data(r##""#cloud-config\n""##)]).await;
    let client = server.client();
    assert!(client.pending_cloud_init("pve", 101).await.unwrap()[0].is_waiting());
    client.regenerate_cloud_init("pve", 101).await.unwrap();
    assert_eq!(client.dump_cloud_init("pve", 101, &CloudInitFile::User).await.unwrap(), "#cloud-config\n");
    let seen = server.seen();
    assert_eq!(sent(&seen[1]), ("PUT", "/nodes/pve/qemu/101/cloudinit", ""));
    assert_eq!(sent(&seen[2]), ("GET", "/nodes/pve/qemu/101/cloudinit/dump?type=user", ""));
}

#[tokio::test]
async fn pools_may_be_inside_others() {
    let answer = r#"[{"poolid":"a/b","members":[{"type":"qemu","id":"qemu/101","vmid":"101"}]}]"#;
    let mut replies = vec![Reply::data(answer), Reply::data("[]")];
    replies.extend(vec![Reply::data("null"); 5]);
    let server = Server::start(replies).await;
    let client = server.client();
    assert_eq!(client.pool("a/b").await.unwrap().unwrap().members[0].vmid, Some(101));
    assert_eq!(client.pool("a/b").await.unwrap(), None);
    client.create_pool("a/b", Some("x;y")).await.unwrap();
    client.add_to_pool("a/b", &[101, 102], false).await.unwrap();
    client.add_to_pool("a/b", &[101], true).await.unwrap();
    client.remove_from_pool("a/b", &[101]).await.unwrap();
    client.delete_pool("a/b").await.unwrap();
    let error = client.remove_from_pool("a/b", &[]).await.unwrap_err();
    assert!(matches!(error, Error::NeverSent { cause: NeverSentCause::Argument, .. }), "{error}");
    let seen = server.seen();
    assert_eq!(seen.len(), 7);
    assert_eq!(sent(&seen[0]), ("GET", "/pools?poolid=a%2Fb", ""));
    assert_eq!(sent(&seen[2]), ("POST", "/pools", "poolid=a%2Fb&comment=x%3By"));
    assert_eq!(sent(&seen[3]), ("PUT", "/pools", "poolid=a%2Fb&vms=101%2C102"));
    assert_eq!(sent(&seen[4]), ("PUT", "/pools", "poolid=a%2Fb&vms=101&allow-move=1"));
    assert_eq!(sent(&seen[5]), ("PUT", "/pools", "poolid=a%2Fb&vms=101&delete=1"));
    assert_eq!(sent(&seen[6]), ("DELETE", "/pools?poolid=a%2Fb", ""));
}

#[tokio::test]
async fn high_availability_is_asked_for() {
    let resources = r#"[{"sid":"vm:101","state":"started","type":"vm","max_restart":"1"},{"sid":"ct:5"}]"#;
    let status = r#"[{"id":"quorum","type":"quorum","status":"OK","quorate":1},
        {"id":"service:vm:101","type":"service","sid":"vm:101","state":"fence","node":"b","request_state":"started"}]"#;
    let mut replies = vec![Reply::data(resources), Reply::data(status)];
    replies.extend(vec![Reply::data("null"); 3]);
    let server = Server::start(replies).await;
    let client = server.client();
    let found = client.ha_resources().await.unwrap();
    assert_eq!((found[0].state.as_ref(), found[0].max_restart), (Some(&WantedState::Started), Some(1)));
    assert_eq!(client.ha_status().await.unwrap()[1].state.as_deref(), Some("fence"));
    client.add_ha_resource(101, &WantedState::Started).await.unwrap();
    client.set_ha_state(101, &WantedState::Disabled).await.unwrap();
    client.delete_ha_resource(101).await.unwrap();
    let seen = server.seen();
    assert_eq!(sent(&seen[0]).1, "/cluster/ha/resources");
    assert_eq!(sent(&seen[1]).1, "/cluster/ha/status/current");
    assert_eq!(sent(&seen[2]), ("POST", "/cluster/ha/resources", "sid=vm%3A101&state=started"));
    assert_eq!(sent(&seen[3]), ("PUT", "/cluster/ha/resources/vm:101", "state=disabled"));
    assert_eq!(sent(&seen[4]), ("DELETE", "/cluster/ha/resources/vm:101", ""));
}

#[tokio::test]
async fn roles_are_given_and_taken() {
    let server = Server::start(vec![Reply::data("null"); 3]).await;
    let client = server.client();
    client.grant("/vms/101", Holder::Token("a@pve!t"), &["A", "B"], false).await.unwrap();
    client.grant("/", Holder::Group("g"), &["A"], true).await.unwrap();
    client.revoke("/vms/101", Holder::User("a@pve"), &["A"]).await.unwrap();
    let seen = server.seen();
    let body = "path=%2Fvms%2F101&roles=A%2CB&tokens=a%40pve%21t&propagate=0";
    assert_eq!(sent(&seen[0]), ("PUT", "/access/acl", body));
    assert_eq!(sent(&seen[1]).2, "path=%2F&roles=A&groups=g&propagate=1");
    assert_eq!(sent(&seen[2]).2, "path=%2Fvms%2F101&roles=A&users=a%40pve&delete=1");
}

#[tokio::test]
async fn lists_tell_running_tasks_from_ended_ones() {
    let answer = format!(
        r#"[{{"upid":{UPID:?},"status":"RUNNING","starttime":5}},{{"upid":{UPID:?},"endtime":"6","status":"OK"}},
        {{"upid":{UPID:?},"endtime":7,"status":"WARNINGS: 2"}},{{"upid":{UPID:?}}}]"#
    );
    let server = Server::start([Reply::data(&answer), Reply::data("[]"), Reply::data("null")]).await;
    let client = server.client();
    let tasks = client.node_tasks("pve", &TaskFilter::newest(20)).await.unwrap();
    let ends: Vec<Option<TaskEnd>> = tasks.iter().map(proxmox_client::TaskEntry::end).collect();
    assert_eq!(ends, [None, Some(TaskEnd::Ok), Some(TaskEnd::Warnings(2)), None]);
    let filter = TaskFilter::newest(1).running().vmid(9000).kind("qmclone").since(4).failed();
    client.node_tasks("pve", &filter).await.unwrap();
    client.stop_task(&tasks[0].upid).await.unwrap();
    let seen = server.seen();
    assert_eq!(sent(&seen[0]), ("GET", "/nodes/pve/tasks?source=all&limit=20", ""));
    let target = "/nodes/pve/tasks?source=active&limit=1&vmid=9000&typefilter=qmclone&since=4&errors=1";
    assert_eq!(sent(&seen[1]), ("GET", target, ""));
    assert_eq!(sent(&seen[2]), ("DELETE", format!("/nodes/pve/tasks/{UPID}").as_str(), ""));
}
