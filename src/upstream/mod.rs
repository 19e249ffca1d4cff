//! Manners towards services that others run: when to ask again, how long to wait, when to leave them alone.

mod body;
mod breaker;
mod entra;
mod retry;

pub use body::bounded;
pub use breaker::{Breaker, BreakerState};
pub use entra::{EntraError, Tokens};
pub use retry::Advice;
