//! Recipes: TOML to plan to run to receipt to report.
