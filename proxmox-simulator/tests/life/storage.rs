use proxmox_simulator::Timing;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::client::{Answer, read};
use super::{Client, get, run, start};

const LOCAL: &str = "/nodes/pve1/storage/local";

async fn upload(client: &Client, parts: &[(&str, Option<&str>, &[u8])]) -> Answer {
    let mut body = Vec::new();
    for (name, file, content) in parts {
        let file = file.map_or(String::new(), |file| format!("; filename=\"{file}\""));
        body.extend(format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n").bytes());
        body.extend(*content);
        body.extend(b"\r\n");
    }
    body.extend(b"--edge--\r\n");
    let request = client
        .http
        .post(format!("{}/api2/json{LOCAL}/upload", client.url))
        .header("Authorization", client.authorization.clone().unwrap())
        .header("Content-Type", "multipart/form-data; boundary=edge")
        .body(body);
    read(request.send().await.unwrap()).await.unwrap()
}

#[tokio::test]
async fn an_upload_is_counted_checked_and_replaces_what_was_there() {
    let (_simulator, client) = start(Timing::instant());
    let image = vec![7_u8; 3_000_000];
    let digest: String = Sha256::digest(&image).iter().map(|byte| format!("{byte:02x}")).collect();
    let right = [
        ("content", None, &b"iso"[..]),
        ("checksum-algorithm", None, b"sha256"),
        ("checksum", None, digest.as_bytes()),
        ("filename", Some("My image.iso"), &image),
    ];
    let upid = upload(&client, &right).await.upid();
    assert!(upid.contains(":imgcopy::"), "{upid}");
    assert_eq!(client.exit(&upid).await, "OK");
    let info = get(&client, &format!("{LOCAL}/content/local:iso/My_image.iso")).await;
    assert_eq!((&info["size"], &info["path"]), (&json!(3_000_000), &json!("/var/lib/vz/template/iso/My_image.iso")));
    let smaller = upload(&client, &[("content", None, b"iso"), ("filename", Some("My image.iso"), b"abc")]).await;
    assert_eq!(client.exit(&smaller.upid()).await, "OK");
    assert_eq!(get(&client, &format!("{LOCAL}/content/iso/My_image.iso")).await["size"], 3);

    let wrong = [&right[..2], &[("checksum", None, &b"00"[..]), right[3]]].concat();
    let exit = client.exit(&upload(&client, &wrong).await.upid()).await;
    assert_eq!(exit, format!("checksum mismatch: got '{digest}' != expect '00'"));
    // Fields after the file are not read.
    let late = upload(&client, &[("filename", Some("a.iso"), b"abc"), ("content", None, b"iso")]).await;
    assert_eq!(
        (late.status, &late.body["errors"]["content"]),
        (400, &json!("property is missing and it is not optional"))
    );
    let misnamed = upload(&client, &[("content", None, b"iso"), ("file", Some("a.iso"), b"abc")]).await;
    assert_eq!(
        (misnamed.status, misnamed.reason.as_str()),
        (500, "wrong field name 'file' for file upload, expected 'filename'")
    );
    let ending = upload(&client, &[("content", None, b"iso"), ("filename", Some("a.exe"), b"abc")]).await;
    assert_eq!(ending.body["errors"]["filename"], "wrong file extension");
    assert_eq!(
        client.post(&format!("{LOCAL}/upload"), &[("content", "iso"), ("filename", "a.iso")]).await.reason,
        "missing temporary file name"
    );
}

#[tokio::test]
async fn a_download_never_replaces_a_file_without_the_right_checksum() {
    let (_simulator, client) = start(Timing::instant());
    let url = "https://images.example.test/debian-13.qcow2";
    let path = format!("{LOCAL}/download-url");
    let metadata = get(&client, &format!("/nodes/pve1/query-url-metadata?url={url}")).await;
    assert_eq!(metadata["filename"], "debian-13.qcow2");
    let form = [("content", "import"), ("filename", "debian-13.qcow2"), ("url", url)];
    let upid = client.post(&path, &form).await.upid();
    assert!(upid.contains(":download:debian-13.qcow2:"), "{upid}");
    assert_eq!(client.exit(&upid).await, "OK");
    let size = get(&client, &format!("{LOCAL}/content/local:import/debian-13.qcow2")).await["size"].clone();
    assert_eq!(size, metadata["size"]);
    assert_eq!(
        run(&client, "POST", &path, &form).await,
        "refusing to override existing file '/var/lib/vz/import/debian-13.qcow2'"
    );
    let sum = "ab".repeat(32);
    let other = [
        ("content", "iso"),
        ("filename", "b.iso"),
        ("url", url),
        ("checksum-algorithm", "sha256"),
        ("checksum", sum.as_str()),
    ];
    assert_eq!(run(&client, "POST", &path, &other).await, "OK");
    assert_eq!(run(&client, "POST", &path, &other).await, "OK", "it is there already");
    let wrong = [&other[..4], &[("checksum", "cd")]].concat();
    assert_eq!(
        run(&client, "POST", &path, &wrong).await,
        format!("checksum mismatch: got '{sum}' != expect 'cd', aborting")
    );
    assert_eq!(client.post(&path, &other[..4]).await.status, 400, "an algorithm without a checksum");
    let lvm = client.post("/nodes/pve1/storage/local-lvm/download-url", &form).await;
    assert_eq!(lvm.reason, "can't upload to storage type 'lvmthin', not a file based storage!");
}

#[tokio::test]
async fn thin_storage_promises_more_than_it_has_and_thick_storage_does_not() {
    let (_simulator, client) = start(Timing::instant());
    let allocate = |storage: &'static str, name: &'static str, size: &'static str| {
        let client = client.clone();
        async move {
            let form = [("vmid", "300"), ("filename", name), ("size", size)];
            client.post(&format!("/nodes/pve1/storage/{storage}/content"), &form).await
        }
    };
    assert_eq!(allocate("local-lvm", "vm-300-disk-0", "9000G").await.data(), "local-lvm:vm-300-disk-0");
    assert_eq!(get(&client, "/nodes/pve1/storage/local-lvm/status").await["used"], 0);
    assert_eq!(allocate("thick", "vm-300-disk-0", "16G").await.data(), "thick:vm-300-disk-0");
    assert_eq!(get(&client, "/nodes/pve1/storage/thick/status").await["avail"], json!(4_u64 << 30));
    assert!(allocate("thick", "vm-300-disk-1", "8G").await.reason.starts_with("not enough free space ("));
    assert_eq!(
        allocate("thick", "vm-301-disk-0", "1G").await.reason,
        "illegal name 'vm-301-disk-0' - should be 'vm-300-*'"
    );
    assert_eq!(allocate("files", "vm-300-disk-0.qcow2", "1048576").await.data(), "files:300/vm-300-disk-0.qcow2");
    let listed = get(&client, "/nodes/pve1/storage/files/content?vmid=300").await;
    assert_eq!((&listed[0]["size"], &listed[0]["format"]), (&json!(1_u64 << 30), &json!("qcow2")));
    let gone =
        client.send("DELETE", "/nodes/pve1/storage/files/content/files:300/vm-300-disk-0.qcow2?delay=1", &[]).await;
    assert_eq!(gone.data(), &Value::Null);
    let other = client.get("/nodes/pve1/storage/files/content/thick:vm-300-disk-0").await;
    assert_eq!(other.body["errors"]["volume"], "storage ID mismatch (thick != files)\n");
    assert_eq!(get(&client, "/nodes/pve1/storage/files/content?vmid=300").await, json!([]));
}
