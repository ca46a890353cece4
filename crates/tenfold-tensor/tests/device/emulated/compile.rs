//! Kernels as a library of the processor's.

use std::collections::hash_map::DefaultHasher;
use std::ffi::OsString;
use std::fmt::Write;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs};

const HEADER: &str = include_str!("../emulated.hpp");
const ENGINE: [(&str, &str); 3] = [
    ("engine.cpp", include_str!("engine.cpp")),
    ("fiber.hpp", include_str!("fiber.hpp")),
    ("memory.hpp", include_str!("memory.hpp")),
];
/// What errors and lines of the source are said to be in.
const UNIT: &str = "kernels.cu";

const COMMON: [&str; 6] = ["-std=c++20", "-fPIC", "-fvisibility=hidden", "-fno-exceptions", "-w", "-c"];
/// Calls before every access, and traps for what a processor does otherwise than a device, or silently. Numbers are
/// neither contracted nor reordered.
const KERNELS: [&str; 8] = [
    "-O1",
    "-g1",
    "-ffp-contract=off",
    "-fno-strict-aliasing",
    "-fsanitize=thread",
    "-fsanitize=bounds,null,alignment,shift-exponent,integer-divide-by-zero,float-cast-overflow",
    "-fno-sanitize-recover=all",
    "-DTENFOLD_EMULATED",
];

/// A C++ compiler, where this system has one that the engine was written for.
pub(crate) fn compiler() -> Option<OsString> {
    let works = |name: &OsString| {
        Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
    };
    let named = env::var_os("CXX").into_iter();
    let linux = cfg!(all(target_os = "linux", target_endian = "little"));
    named.chain(["c++".into(), "g++".into()]).find(works).filter(|_| linux)
}

/// The library of a source, compiled unless that was done before.
pub(super) fn library(source: &str) -> PathBuf {
    let compiler = compiler().expect("kernels are compiled by a C++ compiler");
    let mut hasher = DefaultHasher::new();
    (source, HEADER, ENGINE, COMMON, KERNELS, &compiler).hash(&mut hasher);
    let name = format!("emulated-{:016x}", hasher.finish());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let library = folder.join(format!("{name}.so"));
    if !library.exists() {
        // Made apart and then moved, because other tests may make the same one.
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let own = format!("{name}-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let scratch = folder.join(own);
        fs::create_dir_all(&scratch).unwrap();
        compile(&compiler, &scratch, source);
        fs::rename(scratch.join("library.so"), &library).unwrap();
        fs::remove_dir_all(&scratch).unwrap();
    }
    library
}

fn compile(compiler: &OsString, scratch: &Path, source: &str) {
    let run = |arguments: &[&str]| -> String {
        let output = Command::new(compiler).current_dir(scratch).args(arguments).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} {}\n{errors}", compiler.display(), arguments.join(" "));
        String::from_utf8(output.stdout).unwrap()
    };
    let write = |name: &str, text: &str| fs::write(scratch.join(name), text).unwrap();
    write("emulated.hpp", HEADER);
    ENGINE.iter().for_each(|(name, text)| write(name, text));
    write(UNIT, source);
    // Kernels that macros make are found only after these were expanded.
    let expanded = run(&["-E", "-P", "-DTENFOLD_EMULATED", "-x", "c++", UNIT]);
    write("kernels.cpp", &unit(source, &kernels(&expanded)));
    run(&[&COMMON[..], &["-O2", "engine.cpp", "-o", "engine.o"]].concat());
    run(&[&COMMON[..], &KERNELS[..], &["kernels.cpp", "-o", "kernels.o"]].concat());
    // The linker is not told of the checks, so it adds no library that would answer them in the engine's place.
    run(&["-shared", "engine.o", "kernels.o", "-o", "library.so"]);
}

/// The source with all it needs. It is in a namespace without a name, so that no name in it means a function of the system.
fn unit(source: &str, kernels: &[(String, String)]) -> String {
    let mut table = String::new();
    for (name, bounds) in kernels {
        let comma = if bounds.is_empty() { "" } else { ", " };
        writeln!(table, "    emulated::entry<&{name}>(\"{name}\"{comma}{bounds}),").unwrap();
    }
    format!(
        "#include \"emulated.hpp\"\nnamespace {{\n#line 1 \"{UNIT}\"\n{source}\n#line 1 \"table\"\n\
         const emulated::Kernel table[] = {{\n{table}    {{nullptr, nullptr, nullptr, 0}}}};\n}}\n\
         extern \"C\" const emulated::Kernel* emulated_kernels() {{ return table; }}\n"
    )
}

/// Names of kernels, and what stands between the parentheses of their launch bounds.
pub(crate) fn kernels(expanded: &str) -> Vec<(String, String)> {
    const BOUNDS: &str = "__launch_bounds__";
    let mut found = Vec::new();
    for part in expanded.split("__global__").skip(1) {
        let (mut bounds, mut rest, mut name) = (String::new(), part, "");
        loop {
            let word = |c: char| c.is_alphanumeric() || c == '_';
            rest = rest.trim_start();
            let length = rest.find(|c| !word(c)).unwrap_or(rest.len());
            let (token, after) = rest.split_at(length);
            if token == BOUNDS {
                let end = closing(after);
                bounds = after.trim_start()[1..].split_at(end - 1).0.trim().to_owned();
                rest = &after.trim_start()[end + 1..];
            } else if token.is_empty() {
                // A kernel's name is the last word before its parameters; a declaration repeats it, and means the same.
                if rest.starts_with('(') && !found.iter().any(|(known, _)| known == name) {
                    found.push((name.to_owned(), bounds));
                }
                break;
            } else {
                (name, rest) = (token, after);
            }
        }
    }
    found
}

/// Where the parenthesis closes that a text begins with, white space apart.
fn closing(text: &str) -> usize {
    let mut depth = 0;
    for (at, c) in text.trim_start().char_indices() {
        depth += i32::from(c == '(') - i32::from(c == ')');
        if depth == 0 {
            return at;
        }
    }
    panic!("a parenthesis stays open: {text}");
}

/// What the library said, with the lines of the source that it means.
pub(super) fn with_lines(reason: &str, library: &Path, places: [usize; 2], source: &str) -> String {
    let mut text = reason.to_owned();
    let named = reason.split(" line ").skip(1).filter_map(leading_number);
    let placed = places.into_iter().flat_map(|place| lines_of(library, place));
    for number in named.chain(placed) {
        if let Some(line) = source.lines().nth(number.wrapping_sub(1)) {
            write!(text, "\n  line {number}: {}", line.trim()).unwrap();
        }
    }
    text
}

/// The line of the source that a place in the library was compiled from, and the lines of what called it where calls were
/// written out; none where that cannot be found.
fn lines_of(library: &Path, place: usize) -> Vec<usize> {
    // A return address is behind its call.
    let Some(place) = place.checked_sub(1).map(|place| format!("{place:#x}")) else { return Vec::new() };
    let tool = Command::new("addr2line").arg("-ie").args([library.as_os_str(), place.as_ref()]).output();
    let Ok(output) = tool else { return Vec::new() };
    let frames = String::from_utf8_lossy(&output.stdout);
    let in_unit = frames.lines().filter_map(|frame| Some(frame.split_once(&format!("{UNIT}:"))?.1));
    in_unit.filter_map(leading_number).collect()
}

fn leading_number(text: &str) -> Option<usize> {
    text.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
