//! Texts to unit vectors: tokenizer, forward pass, mean pooling, L2 norm.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    EmbeddingError, LoadError, PORTABLE, Tokenizer, WEIGHTS_SHA256,
    bert::{Bert, Scratch},
    kernels::{Format, Kernel},
    portable::Portable,
    team::Team,
    weights,
};
use crate::{
    config::{EmbeddingConfig, Precision},
    domain::Embedding,
};

/// all-MiniLM-L6-v2 with its tokenizer: six layers, twelve heads, 384 dimensions.
pub struct MiniLm {
    tokenizer: Tokenizer,
    engine: Engine,
    threads: usize,
    /// `None`: each text is computed by one thread.
    team: Option<Team>,
    /// One for each thread that ever computed at the same time as others.
    scratches: Mutex<Vec<Scratch>>,
    times: LoadTimes,
}

/// How long the phases of loading took. They overlap, and `load` is all of it.
#[derive(Debug, Clone, Copy)]
pub struct LoadTimes {
    pub tokenizer: Duration,
    pub verify: Duration,
    pub pack: Duration,
    pub load: Duration,
}

enum Engine {
    Packed(Arc<Bert>),
    Portable(Box<Portable>),
}

/// How to compute; the default is the fastest way this CPU has, on all its cores.
#[derive(Debug, Clone, Default)]
pub struct ModelOptions {
    pub precision: Precision,
    /// Texts computed at once; `None`: one a core.
    pub threads: Option<usize>,
    /// One of [`kernel_names`], for comparisons; `None`: the first that has the precision.
    pub kernel: Option<String>,
}

impl From<&EmbeddingConfig> for ModelOptions {
    fn from(config: &EmbeddingConfig) -> Self {
        Self { precision: config.precision, threads: config.threads, kernel: None }
    }
}

/// The kernels this CPU can run, the fastest first; `portable` is always there.
pub fn kernel_names() -> Vec<&'static str> {
    Kernel::all().into_iter().map(Kernel::name).chain([PORTABLE]).collect()
}

/// The kernel that would run.
pub fn kernel_for(options: &ModelOptions) -> Result<&'static str, LoadError> {
    Ok(choose(options)?.map_or(PORTABLE, Kernel::name))
}

/// `None`: the portable one.
fn choose(options: &ModelOptions) -> Result<Option<Kernel>, LoadError> {
    if let Some(name) = &options.kernel {
        let kernel = Kernel::all().into_iter().find(|kernel| kernel.name() == name);
        return match kernel {
            None if name != PORTABLE => {
                Err(LoadError::NoKernel { wanted: name.clone(), available: kernel_names().join(", ") })
            }
            kernel => Ok(kernel),
        };
    }
    let mut kernels = Kernel::all().into_iter();
    let mut first = |format| kernels.find(|kernel| kernel.format() == format);
    let missing = |precision| Err(LoadError::NoPrecision { precision });
    match options.precision {
        Precision::Auto => Ok(Kernel::all().into_iter().next()),
        Precision::F32 => Ok(first(Format::F32)),
        Precision::Bf16 => first(Format::Bf16).map_or(missing("bf16"), |kernel| Ok(Some(kernel))),
        Precision::Int16 => first(Format::Int16).map_or(missing("int16"), |kernel| Ok(Some(kernel))),
    }
}

impl MiniLm {
    /// Loads and verifies the files in `model_dir` for the fastest kernel.
    pub fn load(model_dir: &Path) -> Result<Self, LoadError> {
        Self::load_with(model_dir, &ModelOptions::default())
    }

    /// Tokenizer, check of the hash and packing run side by side; nothing is computed unless all agree.
    pub fn load_with(model_dir: &Path, options: &ModelOptions) -> Result<Self, LoadError> {
        let start = Instant::now();
        let kernel = choose(options)?;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = options.threads.unwrap_or(cores).max(1);
        let file = weights::map(model_dir.join("model.safetensors"))?;
        let (tokenizer, verified, engine) = std::thread::scope(|scope| {
            let tokenizer = scope.spawn(|| timed(|| Tokenizer::load(model_dir)));
            let verified = scope.spawn(|| timed(|| file.verify(WEIGHTS_SHA256)));
            let engine = timed(|| -> Result<_, LoadError> {
                Ok(match kernel {
                    Some(kernel) => Engine::Packed(Arc::new(Bert::pack(file.again()?, kernel, cores)?)),
                    None => Engine::Portable(Box::new(Portable::new(&file)?)),
                })
            });
            (tokenizer.join(), verified.join(), engine)
        });
        let gone = |_| LoadError::Model("a loading thread panicked".into());
        // Wrong bytes first: they are what makes the packing fail.
        let ((), verify) = verified.map_err(gone)??;
        let (tokenizer, tokenizer_time) = tokenizer.map_err(gone)??;
        let (engine, pack) = engine?;
        let times = LoadTimes { tokenizer: tokenizer_time, verify, pack, load: start.elapsed() };
        let team = if kernel.is_some() { Team::start(threads)? } else { None };
        Ok(Self { tokenizer, engine, threads, team, scratches: Mutex::default(), times })
    }

    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    pub fn kernel_name(&self) -> &'static str {
        match &self.engine {
            Engine::Packed(bert) => bert.kernel().name(),
            Engine::Portable(_) => PORTABLE,
        }
    }

    /// Texts computed at once.
    pub fn threads(&self) -> usize {
        self.threads
    }

    pub fn load_times(&self) -> LoadTimes {
        self.times
    }

    /// One unit vector a text, in the order given; what lies behind 256 tokens is not read.
    ///
    /// A single text is shared with an idle thread, if there is one. Several go one by one to as many threads as there
    /// are, the longest first, so that nothing is padded and nobody waits for long at the end.
    pub fn embed(&self, texts: &[String]) -> Result<Vec<Embedding>, EmbeddingError> {
        let lanes = self.threads.min(texts.len());
        if lanes <= 1 {
            return texts.iter().map(|text| self.embed_one(text)).collect();
        }
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|&index| std::cmp::Reverse(texts[index].len()));
        let next = AtomicUsize::new(0);
        let work = || -> Result<Vec<(usize, Embedding)>, EmbeddingError> {
            std::iter::from_fn(|| order.get(next.fetch_add(1, Ordering::Relaxed)))
                .map(|&index| Ok((index, self.embed_one(&texts[index])?)))
                .collect()
        };
        let done = std::thread::scope(|scope| {
            let others: Vec<_> = (1..lanes).map(|_| scope.spawn(work)).collect();
            let mut done = work()?;
            for lane in others {
                done.extend(
                    lane.join().map_err(|_| EmbeddingError::Model("the forward pass panicked".into()))??,
                );
            }
            Ok::<_, EmbeddingError>(done)
        })?;
        let mut vectors = vec![None; texts.len()];
        for (index, vector) in done {
            vectors[index] = Some(vector);
        }
        vectors
            .into_iter()
            .map(|vector| vector.ok_or_else(|| EmbeddingError::Model("a text was not computed".into())))
            .collect()
    }

    /// The unit vector of one text, computed on the calling thread and one more if a core is free.
    pub fn embed_one(&self, text: &str) -> Result<Embedding, EmbeddingError> {
        let _computing = self.team.as_ref().map(Team::enter);
        let ids = self.tokenizer.encode(text)?;
        let helped = |bert| self.team.as_ref().and_then(|team| team.forward(bert, &ids));
        let mean = match &self.engine {
            Engine::Portable(portable) => portable.forward(&ids)?,
            Engine::Packed(bert) => {
                if let Some(mean) = helped(bert) {
                    mean?
                } else {
                    let mut scratch = self.scratches().pop().unwrap_or_default();
                    let mean = bert.forward(&ids, &mut scratch);
                    self.scratches().push(scratch);
                    mean?
                }
            }
        };
        let length = mean.iter().map(|x| x * x).sum::<f32>().sqrt();
        Embedding::new(mean.into_iter().map(|x| x / length).collect())
            .ok_or_else(|| EmbeddingError::Model("a vector is not of unit length".into()))
    }

    fn scratches(&self) -> std::sync::MutexGuard<'_, Vec<Scratch>> {
        self.scratches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn timed<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<(T, Duration), E> {
    let start = Instant::now();
    Ok((work()?, start.elapsed()))
}
