//! File names that hide what is inside, or announce a second copy of a model.

use super::Finding;
use crate::repository::Repository;

pub(super) fn findings(repository: &Repository) -> Vec<Finding> {
    repository.rust().filter_map(|file| Some(Finding::of(file, 0, fault(file.name())?))).collect()
}

fn fault(name: &str) -> Option<&'static str> {
    match name {
        "mod.rs" => Some("write `foo.rs` beside `foo/` in place of `foo/mod.rs`"),
        "util.rs" | "utils.rs" | "helpers.rs" | "misc.rs" => Some("name the file for the one thing it does"),
        _ if name.starts_with("quantized_") => {
            Some("a model is written once; quantization is a form of its weights")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_alone() {
        let paths = [
            "src/mod.rs",
            "src/utils.rs",
            "src/quantized_bert.rs",
            "src/model.rs",
            "src/quantized/scheme.rs",
        ];
        let repository = Repository::of(&paths.map(|path| (path, "")));
        let found: Vec<_> = findings(&repository).into_iter().map(|found| found.path).collect();
        assert_eq!(found, paths[..3]);
    }
}
