//! Documents on their way in: a batch is read as a whole, then each action has an outcome of its own.

mod apply;
mod batch;
mod values;

pub(super) use values::single;

pub(super) use apply::{Item, apply, rebuilt};
pub(super) use batch::{Action, read};
