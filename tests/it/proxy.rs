//! Streams through nginx with its buffering on, and read with curl.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    local_llm::free_port,
    openai_server::{Reply, Server},
    programs::{Running, system},
    sample_app::{App, QUESTION, names, read, text},
};

/// nginx in front of `upstream`, as its defaults are; its address.
fn nginx(upstream: &str, dir: &Path) -> Option<(Running, String)> {
    let program = system("nginx", "nginx-light")?;
    let port = free_port();
    let folder = dir.display();
    let config = format!(
        "daemon off; pid {folder}/pid; error_log {folder}/error.log;\nevents {{}}\nhttp {{\n\
         access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n\
         fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n\
         gzip on; gzip_types text/event-stream application/json; gzip_min_length 1;\n\
         server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {upstream}; proxy_buffering on; }} }}\n}}\n"
    );
    let file = dir.join("nginx.conf");
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new(program);
    command.arg("-c").arg(&file).arg("-p").arg(dir).stdout(Stdio::null()).stderr(Stdio::null());
    let running = Running(command.spawn().unwrap());
    let deadline = Instant::now() + Duration::from_secs(10);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "nginx does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    Some((running, format!("http://127.0.0.1:{port}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buffering_proxy_passes_each_event_on_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let pause = Duration::from_millis(200);
    let llm =
        Server::start([Reply { pause, ..Reply::stream(&["One", " two", " three", " four [1]."]) }]).await;
    let app = App::start(Some(&llm), &[]).await;
    let Some((_running, url)) = nginx(&app.url, dir.path()) else { return };
    let body = json!({"question": QUESTION, "stream": true});
    let client = reqwest::Client::builder().no_gzip().build().unwrap();
    let reply = client.post(format!("{url}/query")).json(&body).send().await.unwrap();
    let seen: Vec<_> = {
        // nginx keeps X-Accel-Buffering to itself.
        assert!(reply.headers().get("x-accel-buffering").is_none());
        read(reply).await
    };
    assert_eq!(names(&seen), ["contexts", "delta", "done"]);
    assert_eq!(text(&seen), "One two three four [1].");
    let gaps: Vec<Duration> = seen.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    assert!(gaps[..4].iter().all(|gap| *gap >= pause / 2), "{gaps:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_shows_each_event_as_it_comes() {
    let Some(curl) = system("curl", "curl") else { return };
    let pause = Duration::from_millis(300);
    let llm = Server::start([Reply { pause, ..Reply::stream(&["One", " two", " three"]) }]).await;
    let app = App::start(Some(&llm), &[]).await;
    let (url, body) =
        (format!("{}/query", app.url), json!({"question": QUESTION, "stream": true}).to_string());
    let read = move || {
        use std::io::{BufRead, BufReader};
        let json = "Content-Type: application/json";
        let mut process = Command::new(curl)
            .args(["-sN", "-H", json, "-d", &body, &url])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let deltas = lines.map_while(Result::ok).filter(|line| line.contains("\"text\""));
        let seen: Vec<Instant> = deltas.map(|_| Instant::now()).collect();
        assert!(process.wait().unwrap().success());
        seen
    };
    let seen = tokio::task::spawn_blocking(read).await.unwrap();
    assert_eq!(seen.len(), 3);
    assert!(seen.windows(2).all(|pair| pair[1] - pair[0] >= pause / 2), "{seen:?}");
}
