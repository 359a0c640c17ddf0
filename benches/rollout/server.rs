//! A server that costs as little as possible: it answers every request with the same page, and keeps connections open.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

/// Serves the page in this file, until the process is killed.
pub(crate) fn serve(port: u16, page: &str) {
    let page = std::fs::read_to_string(page).unwrap();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{page}", page.len());
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    for stream in listener.incoming() {
        let (stream, answer) = (stream.unwrap(), answer.clone());
        std::thread::spawn(move || answer_all(&stream, answer.as_bytes()));
    }
}

/// Answers as long as somebody asks.
fn answer_all(stream: &TcpStream, answer: &[u8]) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let (mut reader, mut writer, mut line) = (BufReader::new(stream), stream, String::new());
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        // The end of a request without a body.
        if line == "\r\n" {
            writer.write_all(answer).ok()?;
        }
    }
}
