//! Clients of servers that answer as they should, and as they should not.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use super::*;

const WHOLE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Release: one\r\n\r\nyes";

/// Reads a request; `None` where the client has gone.
fn request(stream: &mut TcpStream) -> Option<String> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        (stream.read(&mut byte).ok()? == 1).then(|| request.push(byte[0]))?;
    }
    Some(String::from_utf8(request).unwrap())
}

/// A server that gives each connection these answers, one for each request, and then closes it.
fn server(answers: &'static [&'static str]) -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::parse(&format!("http://{}/page?a=b", listener.local_addr().unwrap())).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                for answer in answers {
                    let Some(asked) = request(&mut stream) else { return };
                    assert!(asked.starts_with("GET /page?a=b HTTP/1.1\r\nHost: 127.0.0.1:"), "{asked}");
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// What one client counts of a server that answers so, with so many requests over a connection.
fn measured(answers: &'static [&'static str], requests: u32, header: Option<&str>) -> (Tally, Tally) {
    let load = Load::begin(&server(answers), header, &[requests]).unwrap();
    let measured = load.measure(5, || true);
    (measured, load.end())
}

#[test]
fn a_whole_answer_counts_by_what_it_says() {
    for answer in [
        &[WHOLE][..],
        &["HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length:3\r\n\r\nyes"],
        &["HTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nye\r\n1\r\ns\r\n0\r\nEnd: true\r\n\r\n"],
        &["HTTP/1.0 200 OK\r\n\r\nyes"],
    ] {
        let (measured, all) = measured(answer, 1, None);
        assert!(measured.answers.keys().eq(["yes"]) && measured.answered() >= 5, "{answer:?}: {measured:?}");
        assert_eq!(all.lost, 0, "{answer:?}: {all:?}");
    }
    assert!(measured(&[WHOLE], 1, Some("X-Release")).0.answers.keys().eq(["one"]));
    assert!(measured(&["HTTP/1.1 204 None\r\n\r\n"], 1, Some("X-Release")).0.answers.keys().eq([""]));
}

#[test]
fn whatever_is_no_whole_answer_is_lost() {
    for (answer, why) in [
        (&["HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nyes"][..], "the answer is not whole"),
        (&["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nye\r\n"], "the connection was closed before the answer"),
        (&["HTTP/1.1 200 O"], "the answer is not whole"),
        (&["HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"], "status 503"),
        (&["HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"], "status 302"),
        (&["SSH-2.0-OpenSSH\r\n"], "what it sends is not HTTP"),
        (&[""], "the connection was closed before the answer"),
    ] {
        let (measured, all) = measured(answer, 1, None);
        assert_eq!((measured.answered(), measured.why.as_deref()), (0, Some(why)), "{answer:?}");
        assert!(measured.lost >= 5 && all.lost >= measured.lost, "{answer:?}: {all:?}");
    }
    // Nobody listens.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let load = Load::begin(&Address::parse(&format!("http://{nobody}")).unwrap(), None, &[1, 1]).unwrap();
    let measured = load.measure(1000, || true);
    assert_eq!((measured.answered(), measured.why.as_deref()), (0, Some("connection refused")));
    assert!(load.end().lost >= MOST_LOST, "it ends before it has asked a thousand times");
}

#[test]
fn a_connection_that_stays_is_used_again_and_what_breaks_on_it_is_lost() {
    let (measured, all) = measured(&[WHOLE, WHOLE], 2, None);
    assert!(measured.answers["yes"] >= 5 && all.lost == 0, "{all:?}");
    assert!(all.answered() >= 2 * measured.answered() - 1, "the first of each connection is measured: {measured:?} {all:?}");
    let (measured, all) = self::measured(&[WHOLE, WHOLE], 3, None);
    assert!(measured.lost == 0 && all.lost >= 4, "the third of each connection: {all:?}");
    // One that says that it closes is not asked again.
    let (_, all) = self::measured(&["HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"], 9, None);
    assert_eq!(all.lost, 0);
}

#[test]
fn what_is_opened_later_is_measured_alone() {
    let load = Load::begin(&server(&[WHOLE; 100]), None, &[1, 100]).unwrap();
    let (first, second) = (load.measure(20, || true), load.measure(20, || true));
    let all = load.end();
    assert!([&first, &second].iter().all(|tally| tally.answered() >= 20), "{first:?} {second:?}");
    assert!(all.answered() > first.answered() + second.answered(), "{all:?}");
    let load = Load::begin(&server(&[WHOLE]), None, &[1]).unwrap();
    let mut looks = 0;
    load.measure(u64::MAX, || {
        looks += 1;
        looks < 3
    });
    assert_eq!(looks, 3, "whoever waits may stop");
}

#[test]
fn answers_beyond_a_number_count_together() {
    let mut tally = Tally::default();
    (0..100).for_each(|number| tally.count(&Ok(number.to_string())));
    assert_eq!((tally.answered(), tally.answers[OTHERS], tally.of(|answer| answer == "3")), (100, 36, 1));
}
