//! No file is larger than 2 MiB: every clone carries it for ever.

use super::Finding;
use crate::repository::Repository;

/// Bytes.
const LIMIT: u64 = 2 << 20;

pub(super) fn findings(repository: &Repository) -> Vec<Finding> {
    let large = repository.files.iter().filter(|file| file.size > LIMIT);
    large
        .map(|file| {
            let message = format!(
                "has {} KiB, the limit is {}; generate it or shrink it",
                file.size >> 10,
                LIMIT >> 10
            );
            Finding::of(file, 0, message)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::File;

    #[test]
    fn the_limit_itself_passes() {
        let file = |path: &str, size| File::new(path, size, String::new());
        let found =
            findings(&Repository { files: vec![file("fits.bin", LIMIT), file("large.bin", LIMIT + 1)] });
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, "large.bin");
    }
}
