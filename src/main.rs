//! The one binary: parse arguments, run, turn the error into an exit code.

use std::process::ExitCode;

use mimalloc::MiMalloc;

// Requests are freed on another thread than they were made on, which the system's allocator is
// slow at; see the commit for what it gives.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    tongban::cli::run()
}
