//! The program: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == shipway::exec::guard::COMMAND) {
        shipway::exec::guard::stand();
        return ExitCode::SUCCESS;
    }
    shipway::cli::main()
}
