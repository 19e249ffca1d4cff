//! One binary for all integration tests, so that they link once: one module a subject.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "helpers outside of test functions fail tests too, and skips are told on stderr"
)]

mod abstention;
mod azure_cli;
mod azure_faults;
mod azure_identity;
mod azure_recorded;
mod azure_server;
mod azure_wire;
mod azure_writes;
mod backends;
mod chunking;
mod citations;
mod conversation;
mod embedding;
mod embedding_command;
mod embedding_kernels;
mod emulated;
mod emulator_conformance;
mod emulator_http;
mod emulator_official;
mod emulator_server;
mod hostile;
mod house;
mod http_app;
mod http_hostile;
mod http_routes;
mod ingest_process;
mod local_index;
mod local_llm;
mod model_fetch;
mod monitoring;
mod openai_dialects;
mod openai_front;
mod openai_server;
mod openai_wire;
mod panics;
mod passages;
mod programs;
mod proxy;
mod rewrite;
mod same_order;
mod sample_app;
mod streams;
mod support;
mod telemetry_agent;
mod telemetry_away;
mod telemetry_failures;
mod tokenizer;
mod truth;
mod ugly_extract;
mod whole_app;
