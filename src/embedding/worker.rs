//! The one owner of the model: a thread behind a bounded queue.
//!
//! Jobs waiting together run as one length-sorted batch. Texts somebody waits for overtake passages
//! of an ingestion, and are shed when too many wait; passages wait for room instead.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Semaphore, oneshot};

use super::{EmbeddingError, MiniLm, Tokenizer};
use crate::domain::Embedding;

/// Texts of passages computed in one go, so that a question waits for a small batch at most.
const PASSAGES_AT_ONCE: usize = 8;
/// Texts of questions computed in one go.
const URGENT_AT_ONCE: usize = 32;
/// Jobs of passages that may wait; the next one waits for room.
const PASSAGE_JOBS: usize = 64;

/// A handle to the worker that owns the model. Cheap to clone; the worker ends with the last handle.
#[derive(Clone)]
pub struct Embedder {
    shared: Arc<Shared>,
    tokenizer: Tokenizer,
    _last: Arc<StopOnDrop>,
}

struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
    capacity: usize,
    passage_room: Semaphore,
}

#[derive(Default)]
struct Queue {
    urgent: VecDeque<Job>,
    passages: VecDeque<Job>,
    stopped: bool,
}

struct Job {
    texts: Vec<String>,
    reply: oneshot::Sender<Result<Vec<Embedding>, EmbeddingError>>,
}

struct StopOnDrop(Arc<Shared>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.lock().stopped = true;
        self.0.filled.notify_all();
    }
}

impl Embedder {
    /// Starts the worker. `capacity`: jobs of [`Embedder::embed_now`] that may wait.
    pub fn start(model: MiniLm, capacity: usize) -> Result<Self, EmbeddingError> {
        let tokenizer = model.tokenizer().clone();
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            filled: Condvar::new(),
            capacity,
            passage_room: Semaphore::new(PASSAGE_JOBS),
        });
        let owner = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("embedder".into())
            .spawn(move || owner.run(&model))
            .map_err(|error| EmbeddingError::Model(format!("no thread for it: {error}")))?;
        Ok(Self { _last: Arc::new(StopOnDrop(Arc::clone(&shared))), shared, tokenizer })
    }

    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Embeds texts somebody waits for: they overtake passages, and are shed when the queue is full.
    pub async fn embed_now(&self, texts: Vec<String>) -> Result<Vec<Embedding>, EmbeddingError> {
        let (reply, answer) = oneshot::channel();
        {
            let mut queue = self.shared.lock();
            if queue.urgent.len() >= self.shared.capacity {
                // Callers that went away take no place.
                queue.urgent.retain(|job| !job.reply.is_closed());
            }
            if queue.urgent.len() >= self.shared.capacity {
                return Err(EmbeddingError::Overloaded);
            }
            queue.urgent.push_back(Job { texts, reply });
        }
        self.shared.filled.notify_one();
        answer.await.map_err(|_| EmbeddingError::Stopped)?
    }

    /// Embeds passages in the background; waits for room in the queue.
    pub async fn embed_passages(&self, texts: Vec<String>) -> Result<Vec<Embedding>, EmbeddingError> {
        let mut vectors = Vec::with_capacity(texts.len());
        let mut texts = texts.into_iter().peekable();
        while texts.peek().is_some() {
            let _room = self.shared.passage_room.acquire().await.map_err(|_| EmbeddingError::Stopped)?;
            let (reply, answer) = oneshot::channel();
            let texts = texts.by_ref().take(PASSAGES_AT_ONCE).collect();
            self.shared.lock().passages.push_back(Job { texts, reply });
            self.shared.filled.notify_one();
            vectors.append(&mut answer.await.map_err(|_| EmbeddingError::Stopped)??);
        }
        Ok(vectors)
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

    fn run(&self, model: &MiniLm) {
        while let Some(jobs) = self.next_jobs() {
            compute(model, jobs);
        }
    }

    /// Waits for work: urgent jobs first, as many as fit one go. `None`: no handle is left.
    fn next_jobs(&self) -> Option<Vec<Job>> {
        let mut queue = self.lock();
        loop {
            // A caller that went away while it waited is not computed for.
            queue.urgent.retain(|job| !job.reply.is_closed());
            queue.passages.retain(|job| !job.reply.is_closed());
            let Queue { urgent, passages, stopped } = &mut *queue;
            if !urgent.is_empty() {
                return Some(take(urgent, URGENT_AT_ONCE));
            }
            if !passages.is_empty() {
                return Some(take(passages, PASSAGES_AT_ONCE));
            }
            if *stopped {
                return None;
            }
            queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Takes jobs from the front while their texts fit `limit`; one job at least.
fn take(queue: &mut VecDeque<Job>, limit: usize) -> Vec<Job> {
    let mut jobs: Vec<Job> = Vec::new();
    let mut texts = 0;
    while let Some(job) = queue.pop_front_if(|job| texts == 0 || texts + job.texts.len() <= limit) {
        texts += job.texts.len();
        jobs.push(job);
    }
    jobs
}

fn compute(model: &MiniLm, mut jobs: Vec<Job>) {
    let lengths: Vec<usize> = jobs.iter().map(|job| job.texts.len()).collect();
    let texts: Vec<String> = jobs.iter_mut().flat_map(|job| std::mem::take(&mut job.texts)).collect();
    // The owner must outlive a panic of the libraries below: it is the only one.
    let result = catch_unwind(AssertUnwindSafe(|| model.embed(&texts)))
        .unwrap_or_else(|_| Err(EmbeddingError::Model("the forward pass panicked".into())));
    // A failed send means that the caller went away; nobody is left to tell.
    match result {
        Ok(vectors) => {
            let mut vectors = vectors.into_iter();
            for (job, length) in jobs.into_iter().zip(lengths) {
                let _ = job.reply.send(Ok(vectors.by_ref().take(length).collect()));
            }
        }
        Err(error) => {
            for job in jobs {
                let _ = job.reply.send(Err(error.clone()));
            }
        }
    }
}
