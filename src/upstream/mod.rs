//! Manners towards services that others run: when to ask again, how long to wait, when to leave them alone.

mod retry;

pub use retry::Advice;
