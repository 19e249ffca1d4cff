//! `healthcheck`: asks the running server's `/health`, for containers without curl.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// Replies of `/health` are a tenth of this.
const MAX_REPLY: u64 = 16 << 10;

/// Succeeds if the server at `host` and `port` says it is alive within `patience`.
///
/// Plain blocking HTTP/1.1: a probe runs every few seconds and should not start a runtime.
pub fn ask(host: IpAddr, port: u16, patience: Duration) -> Result<()> {
    let address = SocketAddr::new(reachable(host), port);
    let deadline = Instant::now() + patience;
    let mut stream = TcpStream::connect_timeout(&address, patience)
        .with_context(|| format!("nothing listens on {address}"))?;
    stream.set_write_timeout(Some(patience))?;
    write!(stream, "GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut reply = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        // A server that trickles must not stretch the time by answering in time again and again.
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            bail!("{address} did not answer within {} seconds", patience.as_secs_f64());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => reply.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(error).with_context(|| {
                    format!("{address} did not answer within {} seconds", patience.as_secs_f64())
                });
            }
        }
        if reply.len() as u64 > MAX_REPLY {
            bail!("{address} answers, but not as this service does");
        }
    }
    judge(&String::from_utf8_lossy(&reply)).with_context(|| format!("{address} is not healthy"))
}

/// A server that listens on every address is asked on the loopback.
fn reachable(host: IpAddr) -> IpAddr {
    match host {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}

fn judge(reply: &str) -> Result<()> {
    let (head, body) = reply.split_once("\r\n\r\n").context("the reply is no HTTP")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        bail!("/health was answered with status {status:?}");
    }
    let body: serde_json::Value = serde_json::from_str(body).context("the reply is no JSON")?;
    if body["status"] != "ok" {
        bail!("/health did not say ok");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn only_an_ok_from_health_is_healthy() {
        assert!(judge("HTTP/1.1 200 OK\r\nx: y\r\n\r\n{\"status\":\"ok\"}").is_ok());
        assert!(judge("HTTP/1.1 200 OK\r\n\r\n{\"status\":\"bad\"}").is_err());
        assert!(judge("HTTP/1.1 503 Busy\r\n\r\n{\"status\":\"ok\"}").is_err());
        assert!(judge("SSH-2.0-x\r\n").is_err());
    }

    #[test]
    fn silence_is_unhealthy_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let started = Instant::now();
        let port = listener.local_addr().unwrap().port();
        let error = ask("0.0.0.0".parse().unwrap(), port, Duration::from_millis(200)).unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(2));
        assert!(error.to_string().contains("did not answer"), "{error}");
        drop(listener);
        assert!(ask("0.0.0.0".parse().unwrap(), port, Duration::from_millis(200)).is_err());
    }
}
