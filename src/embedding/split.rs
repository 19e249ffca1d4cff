//! One text on several threads: every step of the forward pass in units that whoever is free claims.
//!
//! Nothing waits for a thread that does not come: the others claim what it would have done. Who has
//! claimed a unit and is then kept from the CPU is waited for some microseconds and left behind.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::Thread,
    time::{Duration, Instant},
};

use super::{
    EmbeddingError,
    bert::{Bert, HEAD, HEADS, INNER, LAYERS, OwnedNorm},
    kernels::{AttentionScratch, Board, Claim, Form, Stage, Unit, Window},
};
use crate::domain::EMBEDDING_DIMENSION as HIDDEN;

/// Planes of the board. The residual stream alternates, as no step may read what it writes.
const NUMBERS: [usize; 2] = [0, 1];
const SUMS: usize = 2;
const ELEMENTS: usize = 3;
const QKV: usize = 4;
const MIXED: usize = 5;
const INNERS: usize = 6;

/// Steps of a layer, each of which needs all of the one before. Another one, of what the first layer gets, precedes them.
const STEPS: usize = 7;
/// How long a thread looks for the end of a step before it gives its core away or leaves.
const SPIN: Duration = Duration::from_micros(10);
/// How long the thread that wants the result then sleeps before it goes on without the others.
const PATIENCE: Duration = Duration::from_micros(50);

/// One text under way.
pub(super) struct Split {
    bert: Arc<Bert>,
    ids: Vec<u32>,
    board: Board,
    leader: Thread,
    leader_sleeps: AtomicBool,
    /// Pieces of the columns are this much larger than one panel or head: see [`coarseness`].
    coarse: usize,
    /// Threads that were sent here and have not left.
    pub helpers: AtomicUsize,
    /// A helper has computed something of this text.
    pub helped: AtomicBool,
}

/// How a leader's work ended.
pub(super) struct Led {
    pub mean: Vec<f32>,
    /// A helper did not finish its unit in time.
    pub late: bool,
}

impl Split {
    pub fn new(bert: &Arc<Bert>, ids: &[u32]) -> Result<Self, EmbeddingError> {
        bert.check(ids)?;
        let kernel = bert.kernel();
        let mut widths = [HIDDEN; 7];
        widths[ELEMENTS] = kernel.words(HIDDEN);
        widths[QKV] = kernel.words(3 * HIDDEN);
        widths[MIXED] = kernel.words(HIDDEN);
        widths[INNERS] = kernel.words(INNER);
        Ok(Self {
            bert: Arc::clone(bert),
            ids: ids.to_vec(),
            board: Board::new(ids.len(), &widths, stages(ids.len())),
            leader: std::thread::current(),
            leader_sleeps: AtomicBool::new(false),
            coarse: coarseness(ids.len()),
            helpers: AtomicUsize::new(0),
            helped: AtomicBool::new(false),
        })
    }

    /// Another text in the same memory.
    pub fn restart(&mut self, ids: &[u32]) -> Result<(), EmbeddingError> {
        self.bert.check(ids)?;
        self.ids.clear();
        self.ids.extend_from_slice(ids);
        self.board.restart(ids.len(), stages(ids.len()));
        self.leader = std::thread::current();
        self.coarse = coarseness(ids.len());
        *self.leader_sleeps.get_mut() = false;
        *self.helped.get_mut() = false;
        Ok(())
    }

    /// Works until the text is done. `invite` is called now and then while no helper is here.
    pub fn lead(&self, scratch: &mut AttentionScratch, mut invite: impl FnMut()) -> Led {
        let mut layer = None;
        loop {
            match self.board.claim() {
                Claim::Over => return self.led(&self.board, false),
                Claim::Unit(unit) => {
                    let this = Some(unit.stage.saturating_sub(1) / STEPS);
                    if layer != this && self.helpers.load(Ordering::Relaxed) == 0 {
                        invite();
                    }
                    layer = this;
                    self.compute(unit, scratch);
                }
                Claim::Wait(stage) => {
                    if self.spin(stage) || self.sleep(stage) {
                        continue;
                    }
                    if let Some(board) = self.board.branch_off(stage) {
                        while let Claim::Unit(unit) = board.claim() {
                            self.compute(unit, scratch);
                        }
                        return self.led(&board, true);
                    }
                }
            }
        }
    }

    /// Works as long as there is something to do and `stay` holds.
    pub fn help(&self, scratch: &mut AttentionScratch, stay: impl Fn() -> bool) {
        while stay() {
            match self.board.claim() {
                Claim::Over => break,
                Claim::Unit(unit) => {
                    self.helped.store(true, Ordering::Relaxed);
                    if self.compute(unit, scratch) && self.leader_sleeps.load(Ordering::SeqCst) {
                        self.leader.unpark();
                    }
                }
                // The leader is kept from its core; it asks again when it is back.
                Claim::Wait(stage) if !self.spin(stage) => break,
                Claim::Wait(_) => {}
            }
        }
    }

    fn spin(&self, stage: usize) -> bool {
        let start = Instant::now();
        loop {
            for _ in 0..16 {
                if self.board.is_past(stage) {
                    return true;
                }
                std::hint::spin_loop();
            }
            if start.elapsed() > SPIN {
                return false;
            }
        }
    }

    fn sleep(&self, stage: usize) -> bool {
        self.leader_sleeps.store(true, Ordering::SeqCst);
        if !self.board.is_past(stage) {
            std::thread::park_timeout(PATIENCE);
        }
        self.leader_sleeps.store(false, Ordering::SeqCst);
        self.board.is_past(stage)
    }

    fn led(&self, board: &Board, late: bool) -> Led {
        let numbers = board.result(NUMBERS[0]).unwrap_or_default();
        Led { mean: super::bert::mean(bytemuck::cast_slice(numbers)), late }
    }

    /// Computes one unit; tells whether it ended its stage.
    fn compute(&self, mut unit: Unit<'_>, scratch: &mut AttentionScratch) -> bool {
        let (bert, kernel) = (&*self.bert, self.bert.kernel());
        let place = unit.stage.checked_sub(1).map(|at| (&bert.layers[at / STEPS], at % STEPS));
        let (rows, column) = (unit.rows.clone(), unit.column);
        let (reader, window, elements) = unit.open();
        let linear = |matrix, from, form, columns: usize, window| {
            let layer = bert.view(matrix);
            let width = kernel.words(layer.inputs);
            let panels = columns / kernel.panel();
            let part = kernel.panels(layer, column * panels..(column + 1) * panels);
            let activations = &reader.plane(from)[rows.start * width..rows.end * width];
            kernel.linear_into(part, activations, form, window);
        };
        let normalize = |from, norm: &OwnedNorm, (numbers, elements)| {
            let part = rows.start * HIDDEN..rows.end * HIDDEN;
            let plane = |plane| bytemuck::cast_slice(&reader.plane(plane)[part.clone()]);
            kernel.normalize(norm.view(), (Some(plane(from)), plane(SUMS)), numbers, elements);
        };
        match place {
            None => {
                let (numbers, elements) = whole(window, elements);
                bert.start(&self.ids[rows.clone()], rows.start, numbers, elements);
            }
            Some((layer, 0)) => {
                linear(&layer.qkv, ELEMENTS, Form::Elements, self.coarse * 3 * HIDDEN / QKV_PIECES, window);
            }
            Some((layer, 1)) => {
                let (shape, first) = ((HIDDEN, HEAD, layer.heads.as_slice()), column * self.coarse);
                kernel.attend_into(reader.plane(QKV), shape, first, scratch, window);
            }
            Some((layer, 2)) => {
                linear(&layer.mixed, MIXED, Form::Numbers, HIDDEN / HIDDEN_PIECES, window);
            }
            Some((layer, 3)) => normalize(NUMBERS[0], &layer.mixed_norm, whole(window, elements)),
            Some((layer, 4)) => {
                linear(&layer.up, ELEMENTS, Form::Gelu, self.coarse * INNER / INNER_PIECES, window);
            }
            Some((layer, 5)) => linear(&layer.down, INNERS, Form::Numbers, HIDDEN / HIDDEN_PIECES, window),
            Some((layer, _)) => normalize(NUMBERS[1], &layer.down_norm, whole(window, elements)),
        }
        unit.finish()
    }
}

/// The rows of numbers and of elements that one unit writes.
fn whole<'u>(numbers: Window<'u>, elements: Option<Window<'u>>) -> (&'u mut [f32], &'u mut [u32]) {
    let elements = elements.map_or_else(Default::default, Window::into_rows);
    (bytemuck::cast_slice_mut(numbers.into_rows()), elements)
}

/// Pieces of the columns, one panel of the widest kernel each or two.
const QKV_PIECES: usize = 24;
const HIDDEN_PIECES: usize = 8;
const INNER_PIECES: usize = 32;

/// Units of few rows are so short that claiming them costs too much. Measured on two cores, in microseconds with
/// 1, 2 and 4: 8 tokens 312, 304 and 278; 16 tokens 480, 470 and 456; 128 tokens 3454, 3464 and 5501.
fn coarseness(rows: usize) -> usize {
    match rows {
        ..=16 => 4,
        17..=48 => 2,
        _ => 1,
    }
}

/// The steps of all layers over `rows` tokens. Units of 128 rows take about as long as a thread may spin; 64 are 1 %
/// slower with 256 tokens.
fn stages(rows: usize) -> Vec<Stage> {
    let step = |to: usize, pieces| Stage { to: (to, None), pieces };
    let norm = |to: usize| Stage { to: (to, Some(ELEMENTS)), pieces: (rows.div_ceil(8), 1) };
    let blocks = rows.div_ceil(128);
    let coarse = coarseness(rows);
    let layer = [
        step(QKV, (blocks, QKV_PIECES / coarse)),
        step(MIXED, (1, HEADS / coarse)),
        step(SUMS, (blocks, HIDDEN_PIECES)),
        norm(NUMBERS[1]),
        step(INNERS, (blocks, INNER_PIECES / coarse)),
        step(SUMS, (rows.div_ceil(64), HIDDEN_PIECES)),
        norm(NUMBERS[0]),
    ];
    let first = std::iter::once(norm(NUMBERS[0]));
    first.chain((0..LAYERS).flat_map(|_| layer.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::{bert::Scratch, kernels::Kernel, weights},
        *,
    };

    /// The real weights, for each kernel of this CPU.
    #[allow(clippy::print_stderr, reason = "a test that is left out says so")]
    fn berts() -> Vec<Arc<Bert>> {
        let dir = std::env::var_os("MODEL_DIR").map_or_else(
            || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("model"),
            std::path::PathBuf::from,
        );
        let Ok(file) = weights::map(dir.join("model.safetensors")) else {
            eprintln!("SKIPPED: there is no model; run `rag-api model fetch`");
            return Vec::new();
        };
        let pack = |kernel| Arc::new(Bert::pack(file.again().unwrap(), kernel, 1).unwrap());
        Kernel::all().into_iter().map(pack).collect()
    }

    fn ids(length: usize) -> Vec<u32> {
        (0..length as u32).map(|at| 1000 + at * 37).collect()
    }

    /// One below, at and above where tiles, units and blocks of rows end.
    const LENGTHS: [usize; 12] = [1, 2, 7, 8, 9, 33, 35, 64, 65, 129, 255, 256];

    #[test]
    fn shared_work_gives_the_same_numbers_bit_for_bit() {
        for bert in berts() {
            let (mut first, mut second) = Default::default();
            let mut split = Split::new(&bert, &ids(3)).unwrap();
            for length in LENGTHS {
                let alone = bert.forward(&ids(length), &mut Scratch::default()).unwrap();
                split.restart(&ids(length)).unwrap();
                // A helper that is there from the first unit on, whenever the system lets it run.
                let led = std::thread::scope(|scope| {
                    let Claim::Unit(unit) = split.board.claim() else { panic!("nothing to do") };
                    split.compute(unit, &mut second);
                    scope.spawn(|| split.help(&mut second, || true));
                    split.lead(&mut first, || {})
                });
                assert_eq!(led.mean, alone, "{}: {length} tokens", bert.kernel().name());
            }
        }
    }

    #[test]
    fn a_helper_that_never_finishes_is_left_behind() {
        for bert in berts() {
            for length in [8, 100] {
                let alone = bert.forward(&ids(length), &mut Scratch::default()).unwrap();
                for skipped in [0, 30, 200] {
                    let split = Split::new(&bert, &ids(length)).unwrap();
                    let mut scratch = AttentionScratch::default();
                    for _ in 0..skipped {
                        let Claim::Unit(unit) = split.board.claim() else { panic!("nothing to do") };
                        split.compute(unit, &mut scratch);
                    }
                    let Claim::Unit(held) = split.board.claim() else { panic!("nothing to do") };
                    let led = split.lead(&mut scratch, || {});
                    assert!(led.late);
                    assert_eq!(led.mean, alone, "{}: {length} tokens", bert.kernel().name());
                    split.compute(held, &mut scratch);
                    split.help(&mut scratch, || true);
                }
            }
        }
    }

    #[test]
    fn without_a_helper_the_leader_does_everything_and_keeps_inviting() {
        for bert in berts().into_iter().take(1) {
            let split = Split::new(&bert, &ids(20)).unwrap();
            let mut invitations = 0;
            let led = split.lead(&mut AttentionScratch::default(), || invitations += 1);
            assert!(!led.late && invitations == LAYERS);
            assert_eq!(led.mean, bert.forward(&ids(20), &mut Scratch::default()).unwrap());
        }
    }

    #[test]
    fn tokens_that_do_not_exist_are_refused() {
        for bert in berts().into_iter().take(1) {
            assert!(Split::new(&bert, &[u32::MAX]).is_err());
            assert!(Split::new(&bert, &[]).is_err());
        }
    }
}
