//! The owner of the model: a thread a core, behind bounded queues.
//!
//! Threads take single texts, so that nothing is padded and no thread waits for another. Texts somebody
//! waits for overtake passages of an ingestion, so that a question waits for one passage at most; they
//! are shed when too many wait, while passages wait for room instead.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{Semaphore, oneshot};
use tracing::Span;

use super::{EmbeddingError, LoadTimes, MiniLm, Tokenizer};
use crate::{
    domain::Embedding,
    telemetry::{Metrics, spans},
};

/// Jobs of passages that may wait; the next one waits for room.
const PASSAGE_JOBS: usize = 64;

/// A handle to the threads that own the model. Cheap to clone; they end with the last handle.
#[derive(Clone)]
pub struct Embedder {
    shared: Arc<Shared>,
    tokenizer: Tokenizer,
    load_times: LoadTimes,
    _last: Arc<StopOnDrop>,
}

struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
    capacity: usize,
    passage_room: Semaphore,
    metrics: OnceLock<Metrics>,
}

#[derive(Default)]
struct Queue {
    urgent: VecDeque<Waiting>,
    passages: VecDeque<Waiting>,
    stopped: bool,
}

/// A job of which some texts have not been taken.
struct Waiting {
    job: Arc<Job>,
    next: usize,
}

struct Job {
    texts: Vec<String>,
    progress: Mutex<Progress>,
}

struct Progress {
    vectors: Vec<Option<Embedding>>,
    missing: usize,
    /// `None`: answered.
    reply: Option<oneshot::Sender<Vectors>>,
    /// The caller's; given up before the answer is, so that it ends no later than the caller's own.
    span: Span,
    queued: Instant,
    /// When its first text was taken.
    taken: Option<Instant>,
}

type Vectors = Result<Vec<Embedding>, EmbeddingError>;

struct StopOnDrop(Arc<Shared>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.lock().stopped = true;
        self.0.filled.notify_all();
    }
}

impl Embedder {
    /// Starts the threads. `capacity`: jobs of [`Embedder::embed_now`] that may wait.
    pub fn start(model: MiniLm, capacity: usize) -> Result<Self, EmbeddingError> {
        let tokenizer = model.tokenizer().clone();
        let model = Arc::new(model);
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            filled: Condvar::new(),
            capacity,
            passage_room: Semaphore::new(PASSAGE_JOBS),
            metrics: OnceLock::new(),
        });
        // Made first, so that the threads started so far end if one cannot be.
        let load_times = model.load_times();
        let embedder =
            Self { _last: Arc::new(StopOnDrop(Arc::clone(&shared))), shared, tokenizer, load_times };
        for number in 0..model.threads() {
            let (owner, model) = (Arc::clone(&embedder.shared), Arc::clone(&model));
            std::thread::Builder::new()
                .name(format!("embedder-{number}"))
                .spawn(move || owner.run(&model))
                .map_err(|error| EmbeddingError::Model(format!("no thread for it: {error}")))?;
        }
        Ok(embedder)
    }

    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// How long the model took to load.
    pub fn load_times(&self) -> LoadTimes {
        self.load_times
    }

    /// From now on, how long texts wait goes to these metrics; the first ones given count.
    pub fn report_waits(&self, metrics: Metrics) {
        let _ = self.shared.metrics.set(metrics);
    }

    /// Embeds texts somebody waits for: they overtake passages, and are shed when the queue is full.
    pub async fn embed_now(&self, texts: Vec<String>) -> Result<Vec<Embedding>, EmbeddingError> {
        let Some((job, answer)) = Waiting::new(texts) else { return Ok(Vec::new()) };
        {
            let mut queue = self.shared.lock();
            if queue.urgent.len() >= self.shared.capacity {
                // Callers that went away take no place.
                queue.urgent.retain(Waiting::is_wanted);
            }
            if queue.urgent.len() >= self.shared.capacity {
                return Err(EmbeddingError::Overloaded);
            }
            self.shared.wake(&job);
            queue.urgent.push_back(job);
        }
        answer.await.map_err(|_| EmbeddingError::Stopped)?
    }

    /// Embeds passages in the background; waits for room in the queue.
    pub async fn embed_passages(&self, texts: Vec<String>) -> Result<Vec<Embedding>, EmbeddingError> {
        let Some((job, answer)) = Waiting::new(texts) else { return Ok(Vec::new()) };
        let _room = self.shared.passage_room.acquire().await.map_err(|_| EmbeddingError::Stopped)?;
        {
            let mut queue = self.shared.lock();
            // Their callers' room is free again, so that nothing else bounds them.
            queue.passages.retain(Waiting::is_wanted);
            self.shared.wake(&job);
            queue.passages.push_back(job);
        }
        answer.await.map_err(|_| EmbeddingError::Stopped)?
    }

    /// Jobs waiting now.
    pub fn queue_depth(&self) -> usize {
        let queue = self.shared.lock();
        queue.urgent.len() + queue.passages.len()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // The queue is changed by single pushes and pops, which leave it whole even if one panicked.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, job: &Waiting) {
        match job.job.texts.len() {
            1 => self.filled.notify_one(),
            _ => self.filled.notify_all(),
        }
    }

    fn run(&self, model: &MiniLm) {
        while let Some((job, index)) = self.next_text() {
            // The threads must outlive a panic of the libraries below: nobody starts new ones.
            let result = catch_unwind(AssertUnwindSafe(|| model.embed_one(&job.texts[index])))
                .unwrap_or_else(|_| Err(EmbeddingError::Model("the forward pass panicked".into())));
            if let (Some(waited), Some(metrics)) = (job.done(index, result), self.metrics.get()) {
                metrics.observe_queue(waited);
            }
        }
    }

    /// Waits for a text, urgent ones first. `None`: no handle is left.
    fn next_text(&self) -> Option<(Arc<Job>, usize)> {
        let mut queue = self.lock();
        loop {
            let Queue { urgent, passages, stopped } = &mut *queue;
            if let Some(text) = take(urgent).or_else(|| take(passages)) {
                return Some(text);
            }
            if *stopped {
                return None;
            }
            queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The next text of the first job that somebody still waits for.
fn take(queue: &mut VecDeque<Waiting>) -> Option<(Arc<Job>, usize)> {
    while let Some(waiting) = queue.front_mut() {
        // A caller that went away while it waited is not computed for.
        if !waiting.is_wanted() {
            queue.pop_front();
            continue;
        }
        let index = waiting.next;
        waiting.job.progress().taken.get_or_insert_with(Instant::now);
        waiting.next += 1;
        let job = Arc::clone(&waiting.job);
        if waiting.next == job.texts.len() {
            queue.pop_front();
        }
        return Some((job, index));
    }
    None
}

impl Waiting {
    /// `None`: there are no texts.
    fn new(texts: Vec<String>) -> Option<(Self, oneshot::Receiver<Vectors>)> {
        if texts.is_empty() {
            return None;
        }
        let (reply, answer) = oneshot::channel();
        let progress = Progress {
            vectors: vec![None; texts.len()],
            missing: texts.len(),
            reply: Some(reply),
            span: Span::current(),
            queued: Instant::now(),
            taken: None,
        };
        Some((Self { job: Arc::new(Job { texts, progress: Mutex::new(progress) }), next: 0 }, answer))
    }

    /// Neither failed nor left by its caller.
    fn is_wanted(&self) -> bool {
        self.job.progress().reply.as_ref().is_some_and(|reply| !reply.is_closed())
    }
}

impl Job {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the result of one text; the last one, or a failure, answers the job, and gives how long
    /// the job waited.
    fn done(&self, index: usize, result: Result<Embedding, EmbeddingError>) -> Option<Duration> {
        let mut progress = self.progress();
        let answer = match result {
            Err(error) => Err(error),
            Ok(vector) => {
                progress.vectors[index] = Some(vector);
                progress.missing -= 1;
                if progress.missing > 0 {
                    return None;
                }
                Ok(std::mem::take(&mut progress.vectors).into_iter().flatten().collect())
            }
        };
        let reply = progress.reply.take()?;
        let taken = progress.taken.unwrap_or(progress.queued);
        let waited = taken - progress.queued;
        spans::embedded(&progress.span, waited, taken.elapsed());
        progress.span = Span::none();
        // A failed send means that the caller went away; nobody is left to tell.
        let _ = reply.send(answer);
        Some(waited)
    }
}
