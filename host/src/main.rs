//! The program. Everything it does is in `sluice_runtime`.

use std::process::ExitCode;

fn main() -> ExitCode {
    sluice_runtime::cli::main()
}
