//! Room: cli.

mod extract_worker;

pub fn main() -> std::process::ExitCode {
    if std::env::args_os().nth(1).is_some_and(|word| word == crate::ingest::extract::WORKER_ARGUMENT) {
        return extract_worker::main();
    }
    std::process::ExitCode::SUCCESS
}
