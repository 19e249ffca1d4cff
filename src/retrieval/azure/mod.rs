//! An index of Azure AI Search, or of a server that speaks its dialect, by plain HTTP.

mod actions;
mod admin;
mod body;
mod call;
mod documents;
mod error;
mod flush;
mod marker;
mod odata;
mod reader;
mod schema;
mod search;
mod simple_syntax;
mod transport;
mod writer;

pub use admin::{AzureAdmin, IndexStatus};
pub use reader::AzureIndex;
pub use writer::AzureWriter;
