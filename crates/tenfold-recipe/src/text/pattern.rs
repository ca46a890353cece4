//! The files that a path means: itself, all below a folder, or those that a pattern names.

use crate::error::Error;
use crate::file::unreadable;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// The files of a path, in order: the file, the files below the folder, or those that match where segments have `*` (any
/// characters) or `?` (one), and `**` is any number of folders. Names that begin with a dot are left out of folders and patterns.
///
/// # Errors
/// [`Error::Read`], [`Error::NoText`] where a folder or pattern has no file.
pub(super) fn files(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let named = |segment: &Component<'_>| segment.as_os_str().to_string_lossy().contains(['*', '?']);
    let segments: Vec<Component<'_>> = path.components().collect();
    let mut found = Vec::new();
    match segments.iter().position(named) {
        // A file may have such a name itself.
        Some(first) if !path.exists() => {
            let fixed: PathBuf = segments[..first].iter().collect();
            let rest: Vec<String> =
                segments[first..].iter().map(|one| one.as_os_str().to_string_lossy().into_owned()).collect();
            let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
            let start = if fixed.as_os_str().is_empty() { Path::new(".") } else { fixed.as_path() };
            walk(start, &rest, &mut found)?;
        }
        _ if path.is_dir() => walk(path, &["**", "*"], &mut found)?,
        _ => return Ok(vec![path.to_owned()]),
    }
    found.sort();
    found.dedup();
    if found.is_empty() { Err(Error::NoText { path: path.to_owned() }) } else { Ok(found) }
}

fn walk(dir: &Path, rest: &[&str], found: &mut Vec<PathBuf>) -> Result<(), Error> {
    let Some((segment, after)) = rest.split_first() else { return Ok(()) };
    if *segment == "**" {
        walk(dir, after, found)?;
    }
    for entry in fs::read_dir(dir).map_err(unreadable(dir))? {
        let path = entry.map_err(unreadable(dir))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with('.') {
            continue;
        }
        if *segment == "**" {
            if path.is_dir() {
                walk(&path, rest, found)?;
            }
        } else if matches(segment, &name) {
            match after.is_empty() {
                true if path.is_file() => found.push(path),
                false if path.is_dir() => walk(&path, after, found)?,
                _ => {}
            }
        }
    }
    Ok(())
}

/// Whether a name fits a segment with `*` and `?`.
fn matches(segment: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (segment.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // The last star, and what it has taken.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, n));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == '?' || pattern[p] == name[n]) {
            (p, n) = (p + 1, n + 1);
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            (p, n) = (at + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|left| *left == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_take_any_characters_and_marks_one() {
        for (segment, name, fits) in [
            ("*.txt", "a.txt", true),
            ("*.txt", "a.txt.gz", false),
            ("part-??.txt", "part-01.txt", true),
            ("part-??.txt", "part-1.txt", false),
            ("a*b*c", "aXbXbc", true),
            ("a*b*c", "aXc", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(segment, name), fits, "{segment} {name}");
        }
    }

    #[test]
    fn paths_name_files_folders_and_patterns() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.txt", "a.txt", "deep/er/c.txt", "deep/d.md", ".hidden", "deep/.git/x.txt"] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        let names = |path: &str| -> Vec<String> {
            let found = files(&dir.path().join(path)).unwrap();
            let short = |one: &PathBuf| one.strip_prefix(dir.path()).unwrap().display().to_string();
            found.iter().map(short).collect()
        };
        assert_eq!(names("a.txt"), ["a.txt"]);
        assert_eq!(names(""), ["a.txt", "b.txt", "deep/d.md", "deep/er/c.txt"]);
        assert_eq!(names("*.txt"), ["a.txt", "b.txt"]);
        assert_eq!(names("**/*.txt"), ["a.txt", "b.txt", "deep/er/c.txt"]);
        assert_eq!(names("d*/?.md"), ["deep/d.md"]);
        assert!(matches!(files(&dir.path().join("*.csv")), Err(Error::NoText { .. })));
        assert_eq!(files(Path::new("missing.txt")).unwrap(), [Path::new("missing.txt")]);
    }
}
