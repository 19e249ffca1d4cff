//! Keeps the matrix library from starting threads of its own.

use crate::embedding::{ModelOptions, PORTABLE, kernel_for};

/// The variable that candle and rayon read at every matrix product; there is no call for it.
const THREADS: &str = "RAYON_NUM_THREADS";

/// Starts this program again with `RAYON_NUM_THREADS` set to 1, unless the user set it or candle will not be used;
/// returns if that fails.
///
/// Only the portable kernel is candle's. The embedder gives each core texts of its own; candle's default,
/// threads inside each product, halves bulk throughput and makes a short question slower. The process
/// keeps its id, and a millisecond is all it costs.
pub fn one_per_product() {
    let portable = kernel_for(&ModelOptions::default()).is_ok_and(|name| name == PORTABLE);
    if !portable || std::env::var_os(THREADS).is_some() {
        return;
    }
    #[cfg(unix)]
    if let Ok(program) = std::env::current_exe() {
        use std::os::unix::process::CommandExt;
        // Comes back only with an error, and then a slower program is better than none.
        let _ =
            std::process::Command::new(program).args(std::env::args_os().skip(1)).env(THREADS, "1").exec();
    }
}
