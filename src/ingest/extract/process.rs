//! The service's side of a reader process: start it, feed it, bound it, and say how it ended.

use std::{ops::ControlFlow, process::ExitStatus, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
    time::{Instant, timeout, timeout_at},
};

use super::{
    WorkerCommand,
    protocol::{FRAME_MARK, Frame, Job, short},
};

/// How a run of the reader ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum End {
    /// It said so itself.
    Finished,
    /// The receiver of the frames had enough.
    Stopped,
    /// The deadline of the file.
    TimedOut,
    /// It gave nothing for longer than its patience; time is left for another reader.
    Stalled,
    OutOfMemory,
    /// More bytes than the text it may give can need.
    TooMuchOutput,
    Died(String),
    NotStarted(String),
}

/// The bounds of one run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub deadline: Instant,
    /// The longest silence between two frames.
    pub patience: Duration,
}

/// Runs a reader over `bytes` and hands each frame to `receive`. The process does not outlive this
/// future, dropped or done.
pub(super) async fn run(
    worker: &WorkerCommand,
    job: &Job,
    bytes: &[u8],
    bounds: Bounds,
    mut receive: impl FnMut(Frame) -> ControlFlow<()>,
) -> End {
    let mut child = match start(worker) {
        Ok(child) => child,
        Err(error) => return End::NotStarted(error.to_string()),
    };
    let (Some(mut stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return End::NotStarted("its pipes are missing".into());
    };
    let feed = async {
        // A reader that dies before it has read everything breaks the pipe: how it ended says more.
        if let Ok(mut line) = serde_json::to_vec(job) {
            line.push(b'\n');
            let _ = stdin.write_all(&line).await;
            let _ = stdin.write_all(bytes).await;
        }
        drop(stdin);
    };
    let listen = async {
        let end = frames(stdout, job, bounds.patience, &mut receive).await;
        if end.is_some() {
            // Closes the pipes, so that feeding ends too.
            let _ = child.start_kill();
        }
        end
    };
    let work = async { tokio::join!(feed, listen, last_words(stderr)) };
    let Ok(((), end, words)) = timeout_at(bounds.deadline, work).await else {
        stop(&mut child).await;
        return End::TimedOut;
    };
    if let Some(end) = end {
        stop(&mut child).await;
        return end;
    }
    match timeout_at(bounds.deadline, child.wait()).await {
        Ok(Ok(status)) => judge(status, &words),
        Ok(Err(error)) => End::Died(error.to_string()),
        Err(_) => {
            stop(&mut child).await;
            End::TimedOut
        }
    }
}

fn start(worker: &WorkerCommand) -> std::io::Result<Child> {
    Command::new(&worker.program)
        .args(&worker.args)
        // The reader holds hostile bytes: it must not hold keys as well.
        .env_clear()
        .env("RUST_BACKTRACE", "0")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}

async fn stop(child: &mut Child) {
    let _ = child.start_kill();
    // A killed process ends at once; the bound is for one stuck in the kernel.
    let _ = timeout(Duration::from_secs(1), child.wait()).await;
}

/// Reads frames to the end of the output. `None`: the output ended, the exit status tells the rest.
async fn frames(
    stdout: impl AsyncRead + Unpin,
    job: &Job,
    patience: Duration,
    receive: &mut impl FnMut(Frame) -> ControlFlow<()>,
) -> Option<End> {
    // A character takes at most 4 bytes of JSON here: control characters, which take 6, are removed before.
    let most =
        job.max_characters.saturating_mul(4).saturating_add(u64::from(job.max_pages) * 1024 + (1 << 20));
    let mut reader = BufReader::with_capacity(1 << 16, stdout.take(most));
    let mut line = Vec::new();
    let mut done = false;
    loop {
        line.clear();
        match timeout(patience, reader.read_until(b'\n', &mut line)).await {
            Err(_) => return Some(End::Stalled),
            Ok(Err(error)) => return Some(End::Died(error.to_string())),
            Ok(Ok(0)) if reader.get_ref().limit() == 0 => return Some(End::TooMuchOutput),
            Ok(Ok(0)) => return done.then_some(End::Finished),
            Ok(Ok(_)) => {}
        }
        let frame = line.split_first().filter(|(mark, _)| **mark == FRAME_MARK);
        let Some(Ok(frame)) = frame.map(|(_, json)| serde_json::from_slice::<Frame>(json)) else { continue };
        done |= frame == Frame::Done;
        if receive(frame).is_break() {
            return Some(End::Stopped);
        }
    }
}

/// The first kilobytes of stderr; the rest is read and dropped, so that the reader never blocks on it.
async fn last_words(mut stderr: impl AsyncRead + Unpin) -> String {
    let mut words = Vec::new();
    let _ = (&mut stderr).take(4096).read_to_end(&mut words).await;
    let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&words).into_owned()
}

fn judge(status: ExitStatus, words: &str) -> End {
    use std::os::unix::process::ExitStatusExt;

    // What Rust's runtime prints before it aborts.
    if words.contains("memory allocation of") {
        return End::OutOfMemory;
    }
    if words.contains("has overflowed its stack") {
        return End::Died("its parts nest too deep".into());
    }
    const SIGKILL: i32 = 9;
    const SIGXCPU: i32 = 24;
    match (status.signal(), status.code()) {
        (Some(SIGXCPU), _) => End::Stalled,
        (Some(SIGKILL), _) => End::Died("killed by the system, probably for its memory".into()),
        (Some(signal), _) => End::Died(format!("signal {signal}")),
        (None, Some(0)) => End::Died("it stopped before the end".into()),
        (None, code) => {
            let code = code.map_or_else(String::new, |code| format!("exit code {code}: "));
            End::Died(format!("{code}{}", short(words)))
        }
    }
}
