//! A hub on this machine: just enough of HTTP to fetch models from, and to break off in the middle.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The commit that every revision of every repository stands for.
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A file on the server.
#[derive(Clone)]
pub(crate) struct Remote {
    pub(crate) content: Vec<u8>,
    /// The tag, without quotes.
    pub(crate) etag: String,
    /// Whether the content is elsewhere (as large files are), so that the first answer is a redirect.
    pub(crate) linked: bool,
}

/// What the server does; tests change it between fetches.
#[derive(Default)]
pub(crate) struct State {
    /// By the path after `resolve/REVISION/`.
    pub(crate) files: BTreeMap<String, Remote>,
    /// Close the connection after this many bytes of a body that are counted from the start of the file, as often as
    /// the second number says.
    pub(crate) cut: Option<(usize, usize)>,
    /// Ignore ranges.
    pub(crate) whole_only: bool,
    /// Name no commit.
    pub(crate) no_commit: bool,
    /// Answer everything with this status.
    pub(crate) status: Option<u16>,
    /// Method, path and range of every request.
    pub(crate) requests: Vec<String>,
}

/// A running server; its thread ends with the test's process.
pub(crate) struct Server {
    pub(crate) address: String,
    pub(crate) state: Arc<Mutex<State>>,
}

impl Server {
    pub(crate) fn start(state: State) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(state));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // A client that went away is no concern of the server.
                let _ = answer(&mut stream.unwrap(), &shared);
            }
        });
        Server { address, state }
    }

    /// The requests so far, which are forgotten.
    pub(crate) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }
}

fn answer(stream: &mut TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or(Ok(String::new()))?;
    let mut start = None;
    for line in lines {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            start = range.trim_end_matches('-').parse::<usize>().ok();
        }
    }
    let mut words = request.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut state = state.lock().unwrap();
    let range = start.map(|start| format!(" from {start}")).unwrap_or_default();
    state.requests.push(format!("{method} {path}{range}"));
    let commit = if state.no_commit { String::new() } else { format!("X-Repo-Commit: {COMMIT}\r\n") };
    let head =
        |status: &str, more: &str| format!("HTTP/1.1 {status}\r\nConnection: close\r\n{commit}{more}\r\n");
    if let Some(status) = state.status {
        return stream.write_all(head(&format!("{status} No"), "Content-Length: 0\r\n").as_bytes());
    }
    let (place, name) = match path.split_once("/resolve/") {
        Some((_, rest)) => ("hub", rest.split_once('/').map_or("", |(_, name)| name)),
        None => ("elsewhere", path.trim_start_matches("/elsewhere/")),
    };
    let Some(file) = state.files.get(name).cloned() else {
        return stream.write_all(head("404 Not Found", "Content-Length: 0\r\n").as_bytes());
    };
    let (size, tag) = (file.content.len(), &file.etag);
    if file.linked && place == "hub" {
        let more = format!(
            "Location: /elsewhere/{name}\r\nX-Linked-Etag: \"{tag}\"\r\nX-Linked-Size: {size}\r\nContent-Length: 0\r\n"
        );
        return stream.write_all(head("302 Found", &more).as_bytes());
    }
    let start = if state.whole_only { 0 } else { start.unwrap_or(0) };
    if start > 0 && start >= size {
        return stream.write_all(head("416 Range Not Satisfiable", "Content-Length: 0\r\n").as_bytes());
    }
    let status = if start > 0 { "206 Partial Content" } else { "200 OK" };
    let range = if start > 0 {
        format!("Content-Range: bytes {start}-{}/{size}\r\n", size - 1)
    } else {
        String::new()
    };
    let tag = if tag.is_empty() { String::new() } else { format!("ETag: \"{tag}\"\r\n") };
    stream
        .write_all(head(status, &format!("{tag}{range}Content-Length: {}\r\n", size - start)).as_bytes())?;
    if method == "HEAD" {
        return Ok(());
    }
    let mut end = size;
    if let Some((at, times)) = &mut state.cut
        && name.ends_with("safetensors")
        && *times > 0
    {
        *times -= 1;
        end = (*at).clamp(start, size);
    }
    stream.write_all(&file.content[start..end])
}
