//! Who speaks HTTP without TLS is sent to the same address with it, and the connection ends.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// First byte of a TLS handshake.
const TLS_HANDSHAKE: u8 = 0x16;
/// Bytes of a request's head that are read for its first line and its host.
const HEAD_MAX: usize = 8 * 1024;

/// Does the client begin with anything but a TLS handshake?
pub(super) async fn speaks_plain(stream: &TcpStream) -> std::io::Result<bool> {
    let mut first = [0];
    Ok(stream.peek(&mut first).await? == 1 && first[0] != TLS_HANDSHAKE)
}

/// Answers 301 to GET and HEAD, 308 to everything else.
pub(super) async fn redirect(mut stream: TcpStream) -> anyhow::Result<()> {
    let mut head = Vec::new();
    let mut part = [0; 1024];
    while head.len() < HEAD_MAX && !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut part).await? {
            0 => break,
            read => head.extend_from_slice(&part[..read]),
        }
    }
    let head = String::from_utf8_lossy(&head);
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (method, path) = (first.next().unwrap_or_default(), first.next().unwrap_or("/"));
    let host = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("host").then(|| value.trim().to_owned())
    });
    let host = match host {
        Some(host) => host,
        None => stream.local_addr()?.to_string(),
    };
    let status = if matches!(method, "GET" | "HEAD") { "301 Moved Permanently" } else { "308 Permanent Redirect" };
    let answer = format!(
        "HTTP/1.1 {status}\r\nLocation: https://{host}{path}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    Ok(())
}
