//! Prints its arguments in Roman digits.

use std::process::ExitCode;

fn main() -> ExitCode {
    for word in std::env::args().skip(1) {
        match word.parse().ok().and_then(roman::roman) {
            Some(text) => println!("{text}"),
            None => {
                eprintln!("roman: `{word}` is not a number from 1 to 3999");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
