//! A small HTTP client for files: what a server says of a file, and its bytes from some byte on.

use std::io::Read;
use std::time::Duration;

use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, LOCATION, RANGE};
use ureq::http::{HeaderName, Response, StatusCode};
use ureq::{Agent, Body};

use super::{FetchOptions, SourceError};

/// Time to wait for an answer, and for each piece of it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Redirects that are followed for one file.
const REDIRECTS: usize = 8;

/// The commit that a revision stands for.
const COMMIT: HeaderName = HeaderName::from_static("x-repo-commit");
/// The tag of a large file's content, where the file itself is elsewhere.
const LINKED_ETAG: HeaderName = HeaderName::from_static("x-linked-etag");
/// The size of a large file, where the file itself is elsewhere.
const LINKED_SIZE: HeaderName = HeaderName::from_static("x-linked-size");

/// A client.
pub(super) struct Client(Agent);

/// What a server says of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Announced {
    /// The commit of the repository.
    pub(super) commit: Option<String>,
    /// The tag of the content, without quotes.
    pub(super) etag: Option<String>,
    /// Bytes.
    pub(super) size: Option<u64>,
}

/// An answer with bytes.
pub(super) struct Content {
    /// The byte that the content begins at: the one asked for, or 0 when the server sends the whole file.
    pub(super) start: u64,
    /// The bytes.
    pub(super) body: Box<dyn Read>,
}

impl Client {
    pub(super) fn new(options: &FetchOptions) -> Client {
        let config = Agent::config_builder()
            .timeout_connect(Some(options.connect_timeout))
            .timeout_resolve(Some(options.connect_timeout))
            .timeout_recv_response(Some(ANSWER_TIMEOUT))
            .timeout_per_read(Some(ANSWER_TIMEOUT))
            // Followed here, because the first answer says what the last one does not.
            .max_redirects(0)
            .http_status_as_error(false)
            .user_agent(concat!("tenfold/", env!("CARGO_PKG_VERSION")))
            // Sizes and ranges are those of the file, not of a compressed form.
            .accept_encoding("identity")
            .build();
        Client(config.into())
    }

    /// Asks what is at `url`; nothing when it does not exist.
    pub(super) fn ask(&self, url: &str) -> Result<Option<Announced>, SourceError> {
        let mut announced = Announced::default();
        let mut place = url.to_owned();
        for _ in 0..=REDIRECTS {
            let answer = self.0.head(&place).call().map_err(unreachable(&place))?;
            let plain = answer.status() == StatusCode::OK;
            announced.commit = announced.commit.or_else(|| text(&answer, COMMIT));
            announced.etag = announced.etag.or_else(|| tag(text(&answer, LINKED_ETAG)?));
            announced.size = announced.size.or_else(|| text(&answer, LINKED_SIZE)?.parse().ok());
            if plain {
                announced.etag = announced.etag.or_else(|| tag(text(&answer, ETAG)?));
                announced.size = announced.size.or_else(|| text(&answer, CONTENT_LENGTH)?.parse().ok());
                return Ok(Some(announced));
            }
            if answer.status() == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            // The place of a large file is signed for reading, often not for asking; all is known by now.
            if answer.status().is_redirection() && announced.etag.is_some() && announced.size.is_some() {
                return Ok(Some(announced));
            }
            place = next(&place, &answer)?;
        }
        Err(SourceError::BadAnswer { url: url.to_owned(), header: "location" })
    }

    /// Opens the content of `url` from byte `start` on.
    pub(super) fn open(&self, url: &str, start: u64) -> Result<Content, SourceError> {
        let mut place = url.to_owned();
        for _ in 0..=REDIRECTS {
            let mut request = self.0.get(&place);
            if start > 0 {
                request = request.header(RANGE, format!("bytes={start}-"));
            }
            let answer = request.call().map_err(unreachable(&place))?;
            match answer.status() {
                StatusCode::OK => {
                    return Ok(Content { start: 0, body: Box::new(answer.into_body().into_reader()) });
                }
                StatusCode::PARTIAL_CONTENT => {
                    let range = text(&answer, CONTENT_RANGE).unwrap_or_default();
                    if !range.starts_with(&format!("bytes {start}-")) {
                        return Err(SourceError::BadAnswer { url: place, header: "content-range" });
                    }
                    return Ok(Content { start, body: Box::new(answer.into_body().into_reader()) });
                }
                _ => place = next(&place, &answer)?,
            }
        }
        Err(SourceError::BadAnswer { url: url.to_owned(), header: "location" })
    }
}

/// Where a redirecting answer of `place` points to; any other answer is an error.
fn next(place: &str, answer: &Response<Body>) -> Result<String, SourceError> {
    let status = answer.status();
    if !status.is_redirection() {
        return Err(SourceError::Status { url: place.to_owned(), status: status.as_u16() });
    }
    let bad = || SourceError::BadAnswer { url: place.to_owned(), header: "location" };
    let location = text(answer, LOCATION).ok_or_else(bad)?;
    if location.starts_with("https://") || (location.starts_with("http://") && place.starts_with("http://")) {
        return Ok(location);
    }
    // Relative to the host; a redirect from https down to http is refused with the rest.
    let host_end = place.find("://").map(|at| at + 3).and_then(|at| Some(at + place[at..].find('/')?));
    match host_end {
        Some(end) if location.starts_with('/') => Ok(format!("{}{location}", &place[..end])),
        _ => Err(bad()),
    }
}

fn text(answer: &Response<Body>, header: HeaderName) -> Option<String> {
    Some(answer.headers().get(header)?.to_str().ok()?.to_owned())
}

/// The tag without quotes; a weak one does not stand for the bytes and counts as none.
fn tag(text: String) -> Option<String> {
    let tag = text.trim().trim_matches('"');
    (!tag.is_empty() && !tag.starts_with("W/")).then(|| tag.to_owned())
}

fn unreachable(url: &str) -> impl FnOnce(ureq::Error) -> SourceError + '_ {
    move |source| SourceError::Unreachable { url: url.to_owned(), source: Box::new(source) }
}
