//! Memory that several threads fill together: stage after stage, each in units that one thread claims.
//!
//! A stage's output is written by nobody else and read by nobody before all its units are done, so that the
//! units need no locks; this is checked here, and the rest of the program has only the safe face.

use std::{
    cell::UnsafeCell,
    marker::PhantomData,
    ops::Range,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

/// Rows of words.
struct Plane {
    words: Box<[UnsafeCell<u32>]>,
    width: usize,
}

// SAFETY: words are touched only through `Board`, whose stages keep writers apart from everybody else.
unsafe impl Sync for Plane {}

/// What one stage writes, cut into units of about equal work.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The planes it writes, one or two.
    pub to: (usize, Option<usize>),
    /// Pieces that the rows and the columns of each plane are cut into.
    pub pieces: (usize, usize),
}

impl Stage {
    fn units(&self) -> usize {
        self.pieces.0 * self.pieces.1
    }

    fn writes(&self, plane: usize) -> bool {
        self.to.0 == plane || self.to.1 == Some(plane)
    }
}

/// The planes of one computation and how far it is.
pub struct Board {
    planes: Vec<Plane>,
    rows: usize,
    stages: Vec<Stage>,
    /// The stage in the upper half, how many of its units are claimed in the lower; more claims than units
    /// are made by those who look for work.
    claims: AtomicU64,
    done: Vec<AtomicUsize>,
}

/// Stands for the stage of a board that [`Board::branch_off`] has left: beyond all stages, so that nobody finds work.
const ABANDONED: usize = u32::MAX as usize;

/// What [`Board::claim`] found.
pub enum Claim<'b> {
    Unit(Unit<'b>),
    /// Others work on the last units of this stage.
    Wait(usize),
    Over,
}

/// The right to compute one unit. Dropped without [`Unit::finish`], its stage never ends.
pub struct Unit<'b> {
    board: &'b Board,
    pub stage: usize,
    pub rows: Range<usize>,
    /// Which of the pieces the columns are cut into.
    pub column: usize,
}

/// Reads what is complete while a unit is computed.
#[derive(Clone, Copy)]
pub struct Reader<'u> {
    board: &'u Board,
    stage: usize,
}

/// The part of a plane that belongs to one unit: some columns of some rows.
pub struct Window<'u> {
    pub(super) start: *mut u32,
    pub(super) rows: usize,
    /// Words of each row.
    pub(super) width: usize,
    /// Words from row to row.
    pub(super) stride: usize,
    unit: PhantomData<&'u mut u32>,
}

impl Board {
    /// `widths`: the words in a row of each plane; the columns of a written plane are a multiple of its pieces.
    pub fn new(rows: usize, widths: &[usize], stages: Vec<Stage>) -> Self {
        let plane = |&width: &usize| Plane { words: cells(rows * width), width };
        let done = stages.iter().map(|_| AtomicUsize::new(0)).collect();
        let planes = widths.iter().map(plane).collect();
        let mut board = Self { planes, rows: 0, stages: Vec::new(), claims: AtomicU64::new(0), done };
        board.restart(rows, stages);
        board
    }

    /// Begins again with other rows; what the planes hold is undefined, but no longer than it was.
    pub fn restart(&mut self, rows: usize, stages: Vec<Stage>) {
        for plane in &mut self.planes {
            if plane.words.len() < rows * plane.width {
                plane.words = cells(rows * plane.width);
            }
        }
        for stage in &stages {
            let fits = |plane: usize| self.planes[plane].width.is_multiple_of(stage.pieces.1);
            assert!(stage.units() > 0 && fits(stage.to.0) && stage.to.1.is_none_or(fits), "uneven pieces");
            assert_ne!(Some(stage.to.0), stage.to.1, "a plane would be written twice");
        }
        self.done = stages.iter().map(|_| AtomicUsize::new(0)).collect();
        self.claims = AtomicU64::new(0);
        (self.rows, self.stages) = (rows, stages);
    }

    /// A plane, while nobody else has the board.
    fn plane_mut(&mut self, plane: usize) -> &mut [u32] {
        let Plane { words, width } = &mut self.planes[plane];
        let words = &mut words[..self.rows * *width];
        // SAFETY: `UnsafeCell<u32>` is laid out as `u32`, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), words.len()) }
    }

    /// A plane after the last stage. `None`: the stages are not over.
    pub fn result(&self, plane: usize) -> Option<&[u32]> {
        let over = (self.claims.load(Ordering::Acquire) >> 32) as usize == self.stages.len();
        // SAFETY: no unit exists after the last stage, and none can come as long as the board is shared.
        over.then(|| unsafe { self.slice(plane) })
    }

    /// The next unit, if there is one now.
    pub fn claim(&self) -> Claim<'_> {
        // Looking first keeps those who wait from writing to a cache line that the others need.
        let seen = self.claims.load(Ordering::Acquire);
        let left = |claims: u64| {
            let stage = (claims >> 32) as usize;
            self.stages.get(stage).map(|shape| (stage, (claims as u32 as usize) < shape.units()))
        };
        match left(seen) {
            None => return Claim::Over,
            Some((stage, false)) => return Claim::Wait(stage),
            Some(_) => {}
        }
        let claims = self.claims.fetch_add(1, Ordering::AcqRel);
        match left(claims) {
            None => Claim::Over,
            Some((stage, false)) => Claim::Wait(stage),
            Some((stage, true)) => {
                let (row_pieces, _) = self.stages[stage].pieces;
                let (column, piece) =
                    (claims as u32 as usize / row_pieces, claims as u32 as usize % row_pieces);
                let rows = self.rows * piece / row_pieces..self.rows * (piece + 1) / row_pieces;
                Claim::Unit(Unit { board: self, stage, rows, column })
            }
        }
    }

    /// Whether the stage is over.
    pub fn is_past(&self, stage: usize) -> bool {
        (self.claims.load(Ordering::Acquire) >> 32) as usize > stage
    }

    /// The same computation at the start of `stage`, which must be under way, for one thread that no longer
    /// waits for the others; what they still write goes into the old board.
    pub fn branch_off(&self, stage: usize) -> Option<Self> {
        if stage >= self.stages.len() || !self.move_on(stage, ABANDONED) {
            return None;
        }
        let widths: Vec<usize> = self.planes.iter().map(|plane| plane.width).collect();
        let mut other = Self::new(self.rows, &widths, self.stages.clone());
        for plane in 0..widths.len() {
            if !self.stages[stage].writes(plane) {
                // SAFETY: what units are left are of this stage and write other planes only; there will be
                // no others, as the stage never ends.
                other.plane_mut(plane).copy_from_slice(unsafe { self.slice(plane) });
            }
        }
        other.claims = AtomicU64::new((stage as u64) << 32);
        Some(other)
    }

    /// Opens another stage if `stage` is under way.
    fn move_on(&self, stage: usize, to: usize) -> bool {
        let next = |claims: u64| ((claims >> 32) as usize == stage).then_some((to as u64) << 32);
        self.claims.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).is_ok()
    }

    /// # Safety
    ///
    /// Nobody may write the plane as long as the slice lives.
    unsafe fn slice(&self, plane: usize) -> &[u32] {
        let Plane { words, width } = &self.planes[plane];
        let words = &words[..self.rows * width];
        // SAFETY: `UnsafeCell<u32>` is laid out as `u32`; no writer, says the caller.
        unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), words.len()) }
    }

    fn window(&self, plane: usize, unit: &Unit<'_>) -> Window<'_> {
        let Plane { words, width } = &self.planes[plane];
        let columns = width / self.stages[unit.stage].pieces.1;
        let cells = &words[unit.rows.start * width..unit.rows.end * width];
        let start = UnsafeCell::raw_get(cells.as_ptr()).wrapping_add(unit.column * columns);
        Window { start, rows: unit.rows.len(), width: columns, stride: *width, unit: PhantomData }
    }
}

impl<'b> Unit<'b> {
    /// Everything that is complete, and the places to write to.
    pub fn open(&mut self) -> (Reader<'_>, Window<'_>, Option<Window<'_>>) {
        let (first, second) = self.board.stages[self.stage].to;
        let window = |plane| self.board.window(plane, self);
        (Reader { board: self.board, stage: self.stage }, window(first), second.map(window))
    }

    /// Opens the next stage if this was the last unit of its own; tells whether.
    pub fn finish(self) -> bool {
        let units = self.board.stages[self.stage].units();
        let last = self.board.done[self.stage].fetch_add(1, Ordering::AcqRel) + 1 == units;
        last && self.board.move_on(self.stage, self.stage + 1)
    }
}

impl<'u> Reader<'u> {
    /// A plane that the present stage does not write.
    pub fn plane(self, plane: usize) -> &'u [u32] {
        assert!(!self.board.stages[self.stage].writes(plane), "a plane is read while it is written");
        // SAFETY: while a unit of this stage is not finished, which the lifetime sees to, the stage goes on,
        // and it writes other planes.
        unsafe { self.board.slice(plane) }
    }
}

impl<'u> Window<'u> {
    /// As one piece, for units of whole rows.
    pub fn into_rows(self) -> &'u mut [u32] {
        assert_eq!(self.width, self.stride, "the unit has no whole rows");
        // SAFETY: the rows are neighbours, within their plane and of this unit alone.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.rows * self.width) }
    }

    /// All of a slice of rows of `width` words.
    pub fn of(words: &'u mut [u32], width: usize) -> Self {
        assert!(width > 0, "no columns");
        Self { start: words.as_mut_ptr(), rows: words.len() / width, width, stride: width, unit: PhantomData }
    }
}

fn cells(length: usize) -> Box<[UnsafeCell<u32>]> {
    (0..length).map(|_| UnsafeCell::new(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two stages over 5 rows of 6: numbers, then the sums of each row and the one before.
    fn board() -> Board {
        let stages =
            vec![Stage { to: (0, None), pieces: (2, 3) }, Stage { to: (1, Some(2)), pieces: (4, 1) }];
        Board::new(5, &[6, 6, 1], stages)
    }

    fn compute(mut unit: Unit<'_>) -> bool {
        let (rows, column) = (unit.rows.clone(), unit.column);
        let stage = unit.stage;
        let (reader, window, also) = unit.open();
        if stage == 0 {
            for (at, row) in rows.enumerate() {
                for word in 0..window.width {
                    let value = (row * 6 + column * 2 + word) as u32;
                    // SAFETY: within the window.
                    unsafe { window.start.add(at * window.stride + word).write(value) };
                }
            }
        } else {
            let from = reader.plane(0);
            window.into_rows().copy_from_slice(&from[rows.start * 6..rows.end * 6]);
            let firsts = also.unwrap().into_rows();
            rows.zip(firsts).for_each(|(row, to)| *to = from[row * 6] + from[row.saturating_sub(1) * 6]);
        }
        unit.finish()
    }

    /// Whatever there is to do, to the end.
    fn work(board: &Board) {
        loop {
            match board.claim() {
                Claim::Unit(unit) => drop(compute(unit)),
                Claim::Wait(_) => std::thread::yield_now(),
                Claim::Over => break,
            }
        }
    }

    fn check(board: &Board) {
        assert_eq!(board.result(0).unwrap(), (0..30).collect::<Vec<u32>>());
        assert_eq!(board.result(1), board.result(0));
        assert_eq!(board.result(2).unwrap(), [0, 6, 18, 30, 42]);
    }

    #[test]
    fn any_number_of_threads_fills_the_planes_in_order() {
        let mut board = board();
        for threads in [1, 2, 5] {
            for _ in 0..200 {
                board.plane_mut(0).fill(u32::MAX);
                board.restart(5, board.stages.clone());
                std::thread::scope(|scope| {
                    for _ in 0..threads {
                        scope.spawn(|| work(&board));
                    }
                });
                check(&board);
            }
        }
    }

    /// Threads that claim their units see what others did before; these do not, so that a checker of races
    /// (scripts/checks/kernels.sh) has only the board's own order to go by.
    #[test]
    fn every_unit_may_have_a_thread_of_its_own() {
        for _ in 0..20 {
            let board = board();
            let claimed = || match board.claim() {
                Claim::Unit(unit) => Some(unit),
                _ => None,
            };
            let units: Vec<Unit<'_>> = std::iter::from_fn(claimed).collect();
            assert_eq!(units.len(), 6);
            let start = std::sync::Barrier::new(units.len());
            std::thread::scope(|scope| {
                scope.spawn(|| work(&board));
                for unit in units {
                    scope.spawn(|| {
                        start.wait();
                        compute(unit)
                    });
                }
            });
            check(&board);
        }
    }

    #[test]
    fn a_stage_waits_for_a_unit_that_is_not_finished() {
        let board = board();
        let Claim::Unit(held) = board.claim() else { panic!("nothing to do") };
        while let Claim::Unit(unit) = board.claim() {
            assert!(!compute(unit));
        }
        assert!(matches!(board.claim(), Claim::Wait(0)) && !board.is_past(0));
        assert!(board.result(1).is_none(), "unfinished planes are nobody's to read");
        assert!(compute(held) && board.is_past(0));
    }

    #[test]
    fn a_board_left_behind_hands_out_nothing_more() {
        let board = board();
        while !board.is_past(0) {
            let Claim::Unit(unit) = board.claim() else { panic!("nothing to do") };
            compute(unit);
        }
        let Claim::Unit(held) = board.claim() else { panic!("nothing to do") };
        assert!(board.branch_off(0).is_none(), "that stage is over");
        let other = board.branch_off(1).unwrap();
        while let Claim::Unit(unit) = other.claim() {
            compute(unit);
        }
        check(&other);
        assert!(!compute(held), "its stage never ends");
        assert!(matches!(board.claim(), Claim::Over) && board.result(1).is_none());
        assert!(board.branch_off(1).is_none(), "once");
    }

    #[test]
    #[should_panic(expected = "read while it is written")]
    fn a_stage_cannot_read_what_it_writes() {
        let board = board();
        if let Claim::Unit(mut unit) = board.claim() {
            unit.open().0.plane(0);
        }
    }

    #[test]
    #[should_panic(expected = "no whole rows")]
    fn columns_are_not_mistaken_for_rows() {
        let board = board();
        if let Claim::Unit(mut unit) = board.claim() {
            unit.open().1.into_rows();
        }
    }
}
