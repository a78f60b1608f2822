//! A small HTTP server on the loopback address.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// What a path is answered with.
#[derive(Clone)]
pub(crate) enum Answer {
    Whole(Vec<u8>),
    /// Half of what Content-Length promises.
    CutShort(Vec<u8>),
    Redirect(&'static str),
    /// The head and a byte, then nothing.
    Stall,
}

pub(crate) struct Server(u16);

impl Server {
    /// Serves until the test process ends.
    pub(crate) fn start(answers: Vec<(&'static str, Answer)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let answers = answers.clone();
                std::thread::spawn(move || serve(stream.unwrap(), &answers));
            }
        });
        Self(port)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.0)
    }
}

fn serve(mut stream: TcpStream, answers: &[(&'static str, Answer)]) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let path = first.split(' ').nth(1).unwrap().to_owned();
    for line in lines {
        if line.unwrap().is_empty() {
            break;
        }
    }
    let head = |status: &str, length: usize| {
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n")
    };
    let found = answers.iter().find(|(known, _)| *known == path);
    let bytes = match found.map(|(_, answer)| answer) {
        Some(Answer::Whole(body)) => [
            head("200 OK", body.len()).as_bytes(),
            b"\r\n",
            body.as_slice(),
        ]
        .concat(),
        Some(Answer::CutShort(body)) => [
            head("200 OK", body.len() * 2).as_bytes(),
            b"\r\n",
            body.as_slice(),
        ]
        .concat(),
        Some(Answer::Redirect(to)) => {
            format!("{}Location: {to}\r\n\r\n", head("302 Found", 0)).into_bytes()
        }
        Some(Answer::Stall) => {
            let text = format!("{}\r\nx", head("200 OK", 1000));
            stream.write_all(text.as_bytes()).unwrap();
            std::thread::sleep(Duration::from_secs(60));
            return;
        }
        None => format!("{}\r\n", head("404 Not Found", 0)).into_bytes(),
    };
    // The client may have gone; then there is nobody to answer.
    let _gone = stream.write_all(&bytes);
}
