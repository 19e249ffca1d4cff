//! The command line: one file a command, results on stdout, everything else on stderr.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this room is the one that prints")]

/// `println!` for results, at the end of a command: a reader that has seen enough, as in
/// `rag-api query … | head -1`, is no error; a full disk is.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::{ErrorKind, Write};
        if let Err(error) = writeln!(std::io::stdout(), $($text)*) {
            std::process::exit(i32::from(error.kind() != ErrorKind::BrokenPipe));
        }
    }};
}

/// As `say!`, without an end of line and shown at once.
macro_rules! say_on {
    ($($text:tt)*) => {{
        use std::io::{ErrorKind, Write};
        let mut out = std::io::stdout();
        if let Err(error) = write!(out, $($text)*).and_then(|()| out.flush()) {
            std::process::exit(i32::from(error.kind() != ErrorKind::BrokenPipe));
        }
    }};
}

mod check;
mod embed;
mod emulate;
mod evaluate;
pub mod healthcheck;
mod index;
mod ingest;
mod model;
mod options;
mod production;
mod query;
mod rebuild;
mod search;
mod serve;
mod threads;

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{
    config::{Config, ConfigError},
    domain::InvalidInput,
    evaluation::DatasetError,
    generation::OpenAiSetupError,
    ingest::{IngestError, extract},
    telemetry::{self, LogTarget, LogsError},
};

/// Answers questions from your own documents, with citations. One binary, no account needed.
#[derive(Debug, Parser)]
#[command(
    name = "rag-api",
    version,
    after_help = "First steps:\n  rag-api model fetch          fetch the embedding model, once\n  rag-api ingest docs/         index a folder of documents\n  \
                  rag-api query \"How do I …?\"  ask it\n  rag-api serve                answer over HTTP on port 8000\n\n\
                  Settings come from the environment and .env; .env.example lists them all.\n\
                  Exit codes: 0 done, 1 the work failed, 2 wrong usage or configuration."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Ingest(ingest::Ingest),
    #[command(subcommand)]
    Index(index::Index),
    Query(query::Query),
    Search(search::Search),
    Evaluate(evaluate::Evaluate),
    Embed(embed::Embed),
    #[command(subcommand)]
    Model(model::Model),
    Check(check::Check),
    Emulate(emulate::Emulate),
    Healthcheck(Healthcheck),
}

/// Ask the running server whether it is alive
///
/// For containers without curl: exits with 0 when GET /health on HOST and PORT says ok, with 1 otherwise.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, in a Dockerfile:\n  HEALTHCHECK CMD [\"rag-api\", \"healthcheck\"]")]
struct Healthcheck {
    /// Wait at most this long for the reply
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    timeout: f64,
}

impl Healthcheck {
    fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let patience = std::time::Duration::try_from_secs_f64(self.timeout)?;
        healthcheck::ask(config.server.host, config.server.port, patience)?;
        say!("ok");
        Ok(ExitCode::SUCCESS)
    }
}

/// The exit code of a command that did its work but found something wrong.
pub(crate) const FAILED: ExitCode = ExitCode::FAILURE;

/// Runs the command of the process's arguments.
pub fn main() -> ExitCode {
    // A reader process sees hostile bytes: it must start fast and know nothing else of the program.
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if arguments.first().is_some_and(|first| first == extract::WORKER_ARGUMENT) {
        return extract::run_worker();
    }
    threads::one_per_product();
    let Arguments { command } = Arguments::parse();
    match run(command) {
        Ok(code) => code,
        Err(error) if is_wrong_usage(&error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            FAILED
        }
    }
}

/// Mistakes of whoever typed the command or wrote the configuration, as against work that failed.
fn is_wrong_usage(error: &anyhow::Error) -> bool {
    error.is::<ConfigError>()
        || error.is::<LogsError>()
        || error.is::<OpenAiSetupError>()
        || error.is::<InvalidInput>()
        || error.is::<DatasetError>()
        || matches!(error.downcast_ref(), Some(IngestError::Path(_) | IngestError::NothingToKeep))
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let config = Config::load()?;
    let target = match command {
        Command::Serve(_) => LogTarget::Stdout,
        _ => LogTarget::Stderr,
    };
    // A health check or an embedding on the command line is nothing to trace.
    let traced =
        matches!(command, Command::Serve(_) | Command::Ingest(_) | Command::Query(_) | Command::Search(_));
    let telemetry = telemetry::start(&config.telemetry, &config.service, target, traced)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(async move {
        match command {
            Command::Serve(command) => command.run(&config).await,
            Command::Ingest(command) => command.run(&config).await,
            Command::Index(command) => command.run(&config).await,
            Command::Query(command) => command.run(&config).await,
            Command::Search(command) => command.run(&config).await,
            Command::Evaluate(command) => command.run(&config).await,
            Command::Embed(command) => tokio::task::block_in_place(|| command.run(&config)),
            Command::Model(command) => command.run(&config).await,
            Command::Check(command) => command.run(&config).await,
            Command::Emulate(command) => command.run(&config).await,
            Command::Healthcheck(command) => command.run(&config),
        }
    });
    telemetry.shutdown();
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }
}
