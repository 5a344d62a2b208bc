//! The API tree as generic clients walk it, and the past as graphs show it.

use proxmox_simulator::{Options, Release};
use serde_json::Value;

use crate::{machine, start};

#[tokio::test]
async fn every_directory_answers_and_what_it_names_answers_or_says_501() {
    for release in [Release::V8_4, Release::V9_2] {
        let (_simulator, client) = start(Options { nodes: 2, release, ..Options::default() });
        machine(&client).await;
        client.post("/nodes/pve1/qemu/100/status/start", &[]).await.upid();
        let mut waiting = vec![String::new()];
        let (mut answered, mut missing) = (0, 0);
        while let Some(path) = waiting.pop() {
            let answer = client.get(&format!("{path}/")).await;
            match answer.status {
                200 => answered += 1,
                501 => missing += 1,
                // A parameter is missing, or it is root's alone.
                400 | 403 => {}
                500 if path == "/cluster/ha/groups" => assert_eq!(release, Release::V9_2),
                status => panic!("{status} {path}: {}", answer.text),
            }
            for entry in answer.body["data"].as_array().into_iter().flatten() {
                let Some(entry) = entry.as_object().filter(|entry| entry.len() == 1) else { continue };
                let name = entry.values().next().and_then(Value::as_str).unwrap_or_default();
                waiting.push(format!("{path}/{name}"));
            }
            if path == "/nodes" {
                waiting.push("/nodes/pve1".to_owned());
                waiting.push("/nodes/pve1/qemu/100".to_owned());
            }
        }
        assert!(answered > 110, "{answered} answered, {missing} did not");
    }
}

#[tokio::test]
async fn the_past_is_on_the_grid_of_the_release_and_stays_as_it_was() {
    for (release, day, step) in [(Release::V8_4, 70, 1800), (Release::V9_2, 1440, 60)] {
        let (simulator, client) = start(Options { release, ..Options::default() });
        machine(&client).await;
        client.post("/nodes/pve1/qemu/100/status/start", &[]).await.upid();
        simulator.advance(std::time::Duration::from_secs(7200));
        let path = "/nodes/pve1/qemu/100/rrddata?timeframe=day";
        let first = client.get(path).await;
        let rows = first.data().as_array().unwrap();
        assert_eq!(rows.len(), day);
        let time = |row: &Value| row["time"].as_u64().unwrap();
        assert!(rows.windows(2).all(|pair| time(&pair[1]) - time(&pair[0]) == step && time(&pair[0]) % step == 0));
        let before = &rows[day - 2];
        assert!(before["cpu"].as_f64().unwrap() > 0.0 && before["netin"].as_f64().unwrap() > 0.0, "{before}");
        assert!(rows[day - 1]["cpu"].is_null() && !rows[day - 1]["maxmem"].is_null(), "{}", rows[day - 1]);
        assert_eq!(rows[0].as_object().unwrap().len(), 1, "there was no guest yet");
        simulator.advance(std::time::Duration::from_secs(step));
        let later = client.get(path).await;
        assert!(later.data().as_array().unwrap().contains(before), "the past does not change");
        let peaks = client.get(&format!("{path}&cf=MAX")).await;
        let peak = peaks.data().as_array().unwrap().iter().find(|row| row["time"] == before["time"]).unwrap();
        assert!(peak["cpu"].as_f64() >= before["cpu"].as_f64());
        for path in ["/nodes/pve1/rrddata?timeframe=hour", "/nodes/pve1/storage/local/rrddata?timeframe=hour"] {
            assert_eq!(client.get(path).await.data().as_array().unwrap().len(), 60);
        }
        assert_eq!(client.get("/nodes/pve1/rrddata?timeframe=decade").await.status == 200, release == Release::V9_2);
    }
}

#[tokio::test]
async fn a_browser_finds_a_page_and_plain_http_the_way_to_tls() {
    let (simulator, client) = start(Options::default());
    let page = client.with(None).http.get(client.url.clone()).send().await.unwrap();
    assert_eq!(page.status().as_u16(), 200);
    assert!(page.text().await.unwrap().contains("<title>pve1 - Proxmox Virtual Environment</title>"));
    let plain = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
    for (method, status) in [("GET", 301), ("POST", 308)] {
        let url = format!("http://{}/api2/json/version", simulator.address());
        let answer = plain.request(method.parse().unwrap(), url).send().await.unwrap();
        let location = answer.headers()["location"].to_str().unwrap().to_owned();
        assert_eq!((answer.status().as_u16(), location), (status, format!("{}/api2/json/version", client.url)));
    }
    assert_eq!(client.get("/nodes/localhost/version").await.status, 200, "who answers is localhost");
}

#[tokio::test]
async fn a_storage_answers_alone_and_by_type() {
    let (_simulator, client) = start(Options::default());
    assert_eq!(client.get("/storage/local-lvm").await.data()["thinpool"], "data");
    let directories = client.get("/storage?type=dir").await;
    assert_eq!(directories.data().as_array().unwrap().len(), 1);
    let missing = client.get("/storage/none").await;
    assert_eq!((missing.status, missing.reason.as_str()), (500, "storage 'none' does not exist"));
    let pools = client.get("/nodes/pve1/disks/lvmthin").await;
    assert_eq!((&pools.data()[0]["vg"], &pools.data()[0]["lv"]), (&"pve".into(), &"data".into()));
    for disk in client.get("/nodes/pve1/disks/list").await.data().as_array().unwrap() {
        let path = format!("/nodes/pve1/disks/smart?disk={}", disk["devpath"].as_str().unwrap());
        assert_eq!(client.get(&path).await.data()["health"], disk["health"]);
    }
    assert_eq!(client.get("/nodes/pve1/disks/smart?disk=/dev/sdz").await.status, 500);
    assert_eq!(client.get("/cluster/config/qdevice").await.data(), &serde_json::json!({}));
    assert_eq!(client.get("/cluster/sdn/ipams/pve/status").await.data(), &serde_json::json!([]));
}
