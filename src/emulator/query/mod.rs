//! One search: read, ranked, and written as the service writes it.

mod facets;
mod highlight;
mod page;
mod parameters;
mod project;
mod rank;
mod request;
mod vectors;

pub(super) use page::{Page, page};
pub(super) use parameters::from_url;
pub(super) use project::{Selection, project};
pub(super) use request::SearchRequest;
