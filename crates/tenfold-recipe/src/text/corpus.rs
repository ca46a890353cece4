//! Text files of any size, in chunks that end where a text ends.
//!
//! One pass finds the chunks and checks the encoding; what is kept of it are offsets. Afterwards a chunk is read when it is asked for.

use super::{END, of_file, pattern};
use crate::error::Error;
use crate::file::unreadable;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Bytes of a chunk at least, the last of a file apart.
pub(crate) const CHUNK: u64 = 256 << 10;
/// The longest single text, in bytes: it is held as a whole.
const LONGEST: u64 = 16 << 20;
/// Bytes read at a time.
const BUFFER: usize = 1 << 20;

/// What becomes of texts that are not UTF-8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Broken {
    /// An error that names the file and the byte.
    #[default]
    Stop,
    /// Such texts are left out.
    Skip,
    /// Bytes that belong to no character become U+FFFD.
    Replace,
}

impl Broken {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Stop, Self::Skip, Self::Replace];

    /// The word of recipes.
    pub fn word(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Skip => "skip",
            Self::Replace => "replace",
        }
    }
}

/// Some text files, known by the offsets of their chunks.
#[derive(Debug)]
pub(crate) struct Corpus {
    files: Vec<TextFile>,
    chunks: Vec<Chunk>,
    broken: Broken,
}

#[derive(Debug)]
struct TextFile {
    path: PathBuf,
    /// Whether texts stand between lines that mark their ends.
    marked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Chunk {
    file: u32,
    start: u64,
    len: u64,
}

impl Corpus {
    /// The texts of a file, of all files below a folder, or of all that a pattern names, in the order of their paths.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::NoText`] where there is none, [`Error::LongText`]; [`Error::NotUtf8`] unless such texts are dealt
    /// with.
    pub(crate) fn open(path: &Path, broken: Broken) -> Result<Self, Error> {
        Self::in_chunks(path, broken, CHUNK)
    }

    /// The same, in chunks of at least so many bytes.
    pub(crate) fn in_chunks(path: &Path, broken: Broken, least: u64) -> Result<Self, Error> {
        let (mut files, mut chunks) = (Vec::new(), Vec::new());
        for path in pattern::files(path)? {
            let number = files.len() as u32;
            let (marked, found) = scan(&path, broken, least)?;
            chunks.extend(found.windows(2).map(|ends| Chunk {
                file: number,
                start: ends[0],
                len: ends[1] - ends[0],
            }));
            files.push(TextFile { path, marked });
        }
        if chunks.is_empty() {
            return Err(Error::NoText { path: path.to_owned() });
        }
        Ok(Self { files, chunks, broken })
    }

    /// Chunks.
    pub(crate) fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Bytes of all files.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.len).sum()
    }

    /// The texts of a chunk.
    ///
    /// # Errors
    /// [`Error::Read`] where the file is no longer what it was; [`Error::NotUtf8`].
    pub(crate) fn texts(&self, chunk: usize) -> Result<Vec<String>, Error> {
        let Chunk { file, start, len } = self.chunks[chunk];
        let TextFile { path, marked } = &self.files[file as usize];
        let mut bytes = vec![0; len as usize];
        let mut opened = File::open(path).map_err(unreadable(path))?;
        opened.seek(SeekFrom::Start(start)).map_err(unreadable(path))?;
        opened.read_exact(&mut bytes).map_err(unreadable(path))?;
        Ok(match self.broken {
            Broken::Stop => {
                let whole = std::str::from_utf8(&bytes).map_err(|fault| {
                    let offset = start as usize + fault.valid_up_to();
                    Error::NotUtf8 { path: path.clone(), offset }
                })?;
                of_file(whole, *marked)
            }
            Broken::Replace => of_file(&String::from_utf8_lossy(&bytes), *marked),
            Broken::Skip => {
                let sound = |text: &Vec<u8>| std::str::from_utf8(text).ok().map(str::to_owned);
                let sound: Vec<String> = split(&bytes, *marked).iter().filter_map(sound).collect();
                sound.iter().flat_map(|text| of_file(text, *marked)).collect()
            }
        })
    }
}

/// The bytes of every text, with its last line end.
fn split(bytes: &[u8], marked: bool) -> Vec<Vec<u8>> {
    let mut texts = vec![Vec::new()];
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let end = marked && is_end(line);
        if !end && let Some(text) = texts.last_mut() {
            text.extend_from_slice(line);
        }
        if end || !marked {
            texts.push(Vec::new());
        }
    }
    texts
}

fn is_end(line: &[u8]) -> bool {
    std::str::from_utf8(line).is_ok_and(|line| line.trim() == END)
}

/// Offsets at which chunks begin and end, while lines go by.
struct Cuts {
    least: u64,
    found: Vec<u64>,
    /// Where the last text ended, and the longest so far.
    last: u64,
    longest: u64,
}

impl Cuts {
    fn new(least: u64) -> Self {
        Self { least, found: vec![0], last: 0, longest: 0 }
    }

    /// A text ends here.
    fn end(&mut self, at: u64) {
        self.longest = self.longest.max(at - self.last);
        self.last = at;
        if at - self.found.last().copied().unwrap_or(0) >= self.least {
            self.found.push(at);
        }
    }

    /// The file ends here.
    fn finish(mut self, at: u64) -> (u64, Vec<u64>) {
        self.longest = self.longest.max(at - self.last);
        if self.found.last() != Some(&at) {
            self.found.push(at);
        }
        (self.longest, self.found)
    }
}

/// Whether a file's texts are marked, and where its chunks begin and end.
fn scan(path: &Path, broken: Broken, least: u64) -> Result<(bool, Vec<u64>), Error> {
    let mut reader = BufReader::with_capacity(BUFFER, File::open(path).map_err(unreadable(path))?);
    let (mut lines, mut marks, mut marked) = (Cuts::new(least), Cuts::new(least), false);
    let (mut at, mut line) = (0, Vec::new());
    loop {
        line.clear();
        let got = reader.by_ref().take(LONGEST + 1).read_until(b'\n', &mut line).map_err(unreadable(path))?;
        if got == 0 {
            break;
        }
        if let (Broken::Stop, Err(fault)) = (broken, std::str::from_utf8(&line)) {
            // A character that is cut by the limit is no fault of the file; the length is.
            if fault.error_len().is_some() || got as u64 <= LONGEST {
                let offset = at as usize + fault.valid_up_to();
                return Err(Error::NotUtf8 { path: path.to_owned(), offset });
            }
        }
        if got as u64 > LONGEST {
            return Err(Error::LongText { path: path.to_owned(), most: LONGEST });
        }
        at += got as u64;
        lines.end(at);
        if is_end(&line) {
            marked = true;
            marks.end(at);
        }
    }
    let (longest, found) = if marked { marks.finish(at) } else { lines.finish(at) };
    if longest > LONGEST {
        return Err(Error::LongText { path: path.to_owned(), most: LONGEST });
    }
    Ok((marked, found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{TextSource, Use};
    use std::fs;

    fn all(corpus: &Corpus) -> Vec<String> {
        (0..corpus.len()).flat_map(|chunk| corpus.texts(chunk).unwrap()).collect()
    }

    #[test]
    fn chunks_give_the_texts_of_the_whole_file() {
        let dir = tempfile::tempdir().unwrap();
        let line = |at: usize| format!("{}\u{e4} line {at}", "x".repeat(at * at % 37));
        let lines: Vec<String> = (0..300).map(line).collect();
        for (name, whole) in [
            ("lines", lines.join("\n") + "\n\n \n"),
            ("crlf", lines.join("\r\n")),
            ("marked", lines.chunks(4).map(|some| some.join("\n") + "\n<|endoftext|>\n").collect()),
            (
                "open end",
                lines.chunks(7).map(|some| some.join("\n")).collect::<Vec<_>>().join("\n<|endoftext|>\n"),
            ),
        ] {
            let path = dir.path().join(name);
            fs::write(&path, &whole).unwrap();
            let expected = TextSource::File(path.clone()).texts(Use::Train).unwrap();
            for least in [1, 50, 333, 1 << 20] {
                for broken in Broken::ALL {
                    let corpus = Corpus::in_chunks(&path, broken, least).unwrap();
                    assert_eq!(all(&corpus), expected, "{name}, {least}");
                    assert_eq!(corpus.bytes(), whole.len() as u64);
                    assert!((corpus.len() == 1) == (least > whole.len() as u64), "{name}, {least}");
                }
            }
        }
    }

    #[test]
    fn broken_bytes_are_named_skipped_or_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mixed.txt");
        fs::write(&path, b"good\nbad \xff here\nalso \xc3\xa4 good\ncut \xc3\n").unwrap();
        let fault = Corpus::in_chunks(&path, Broken::Stop, 1).unwrap_err();
        assert!(matches!(&fault, Error::NotUtf8 { offset: 9, path: got } if *got == path), "{fault}");
        let texts = |broken| all(&Corpus::in_chunks(&path, broken, 1).unwrap());
        assert_eq!(texts(Broken::Skip), ["good", "also \u{e4} good"]);
        assert_eq!(texts(Broken::Replace), ["good", "bad \u{fffd} here", "also \u{e4} good", "cut \u{fffd}"]);
        // A text of several lines is left out as a whole.
        fs::write(&path, b"a\nb\xff\n<|endoftext|>\nc\nd\n").unwrap();
        assert_eq!(texts(Broken::Skip), ["c\nd"]);
    }

    #[test]
    fn empty_files_and_files_that_shrink_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("text");
        fs::write(&path, "").unwrap();
        assert!(matches!(Corpus::open(&path, Broken::Stop), Err(Error::NoText { .. })));
        fs::write(&path, "one\ntwo\n").unwrap();
        let corpus = Corpus::in_chunks(&path, Broken::Stop, 1).unwrap();
        fs::write(&path, "one\n").unwrap();
        assert!(matches!(corpus.texts(1), Err(Error::Read { .. })));
    }
}
