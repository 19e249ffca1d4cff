//! Room: cli.

pub mod healthcheck;

pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
