//! A server that costs as little as possible: it answers every request with the same page, and keeps connections open.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;

/// Whether it is to end.
static ENDS: AtomicBool = AtomicBool::new(false);

/// How many connections are open.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// After how many answers [`serve_some`] ends.
const SOME: usize = 1000;

/// How many answers there were.
static ANSWERS: AtomicUsize = AtomicUsize::new(0);

/// Serves the page in this file, and ends in the middle of it.
pub(crate) fn serve_some(port: u16, page: &str) {
    std::thread::spawn(|| {
        while ANSWERS.load(Ordering::Relaxed) < SOME {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::process::exit(1);
    });
    serve(port, page);
}

/// Serves the page in this file until the process is told to end: then it says with each answer that it is the last, and goes with the last
/// connection.
pub(crate) fn serve_until_told(port: u16, page: &str) {
    let mut signals = Signals::new([SIGTERM]).unwrap();
    std::thread::spawn(move || {
        let _term = signals.forever().next();
        ENDS.store(true, Ordering::SeqCst);
        while OPEN.load(Ordering::SeqCst) > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::process::exit(0);
    });
    serve(port, page);
}

/// Serves the page in this file, until the process is killed.
pub(crate) fn serve(port: u16, page: &str) {
    let page = std::fs::read_to_string(page).unwrap();
    let answer = |more: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{more}\r\n{page}", page.len());
    let (answer, last) = (answer(""), answer("Connection: close\r\n"));
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    for stream in listener.incoming() {
        let (stream, answer, last) = (stream.unwrap(), answer.clone(), last.clone());
        OPEN.fetch_add(1, Ordering::SeqCst);
        std::thread::spawn(move || {
            let _ended = answer_all(&stream, answer.as_bytes(), last.as_bytes());
            drop(stream);
            OPEN.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

/// Answers as long as somebody asks, or once more if it is to end.
fn answer_all(stream: &TcpStream, answer: &[u8], last: &[u8]) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let (mut reader, mut writer, mut line) = (BufReader::new(stream), stream, String::new());
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        // The end of a request without a body.
        if line == "\r\n" {
            if ENDS.load(Ordering::SeqCst) {
                return writer.write_all(last).ok();
            }
            writer.write_all(answer).ok()?;
            ANSWERS.fetch_add(1, Ordering::Relaxed);
        }
    }
}
