//! `tenfold explain`: a method, a form, the recipe language.

use super::{Verdict, print_json};
use crate::cli;
use crate::screen;
use crate::table::Table;
use anyhow::{Result, anyhow};
use serde_json::json;
use tenfold_method::registry::REGISTRY;
use tenfold_method::{Info, nearest};

/// The recipe language: every key with its default.
const RECIPE: &str = include_str!("../../../../recipes/reference.toml");

/// Forms, and the selector language, by name.
const TOPICS: &[(&str, &str)] = &[
    ("dense", "form: the values themselves, O x I.\nleaves: value"),
    (
        "lowrank",
        "form: W = up down, O x r times r x I; applied as two thin products where r (O + I) < O I.\nleaves: down, up",
    ),
    (
        "mpo-form",
        "form: n cores of shape d(k-1) x ik x jk x dk joined by bonds. Applied by rebuilding the matrix once (per step \
         in training, once in evaluation), or core by core where that is cheaper.\nleaves: central, auxiliary",
    ),
    (
        "scaled",
        "form: W = inner diag(columns), a matrix whose columns are stretched by I stored numbers; or diag(rows) inner, whose \
         rows are by O; or diag(norms / |inner|) inner, whose rows have O stored norms (the backward pass takes |inner|, the \
         norms of the inner rows, for constant).\nleaves: scale, or magnitude for norms, and those of the inner form",
    ),
    ("sum", "form: W = left + right, both O x I.\nleaves: those of both sides"),
    (
        "shared",
        "form: what another weight, or a part of it, holds; stored and counted once.\nleaves: none of its own",
    ),
    (
        "selector",
        "A pattern over dotted paths:\n  *            one segment, or a run of characters inside one\n  **           any number \
         of segments\n  {a,b}        either\n  [0-5,8]      a number in a range\n  ...#role     only leaves of that role: \
         value, central, auxiliary, down, up, scale, shift, magnitude",
    ),
    ("recipe", RECIPE),
];

/// Explains a name, or lists what can be explained.
///
/// # Errors
/// An unknown name, with the nearest known one.
pub(crate) fn run(args: &cli::Explain) -> Result<Verdict> {
    let Some(name) = args.name.as_deref() else { return list(args) };
    if let Some(entry) = REGISTRY.iter().find(|entry| entry.info.name == name) {
        if args.output.json {
            print_json(&as_json(entry.info))?;
        } else {
            screen::print(&method(entry.info))?;
        }
        return Ok(Verdict::Done);
    }
    let Some((_, text)) = TOPICS.iter().find(|(topic, _)| *topic == name) else {
        let suggestion =
            nearest(name, names()).map(|near| format!(", did you mean {near:?}?")).unwrap_or_default();
        let known: Vec<&str> = names().collect();
        return Err(anyhow!("nothing is called {name:?}{suggestion}; there is {}", known.join(", ")));
    };
    if args.output.json {
        print_json(&json!({ "name": name, "text": text }))?;
    } else {
        screen::print(&format!("{name}\n\n{text}\n"))?;
    }
    Ok(Verdict::Done)
}

fn names() -> impl Iterator<Item = &'static str> {
    REGISTRY.iter().map(|entry| entry.info.name).chain(TOPICS.iter().map(|(name, _)| *name))
}

fn list(args: &cli::Explain) -> Result<Verdict> {
    if args.output.json {
        print_json(&names().collect::<Vec<_>>())?;
        return Ok(Verdict::Done);
    }
    let mut table = Table::new(&["name", "what it is"]);
    for entry in REGISTRY {
        table.row([entry.info.name, &format!("method: {}", entry.info.summary)]);
    }
    for (name, text) in TOPICS {
        let first = text.lines().next().unwrap_or_default().trim_start_matches("# ");
        table.row([*name, first]);
    }
    screen::print(&table.render())?;
    Ok(Verdict::Done)
}

fn as_json(info: &Info) -> serde_json::Value {
    let option = |option: &tenfold_method::OptionInfo| json!({ "name": option.name, "accepts": option.kind.to_string(), "default": option.default, "doc": option.doc });
    json!({
        "name": info.name, "summary": info.summary, "equation": info.equation, "when": info.when,
        "when-not": info.when_not, "trains": info.trains, "sources": info.sources,
        "options": info.options.iter().map(option).collect::<Vec<_>>(),
    })
}

fn method(info: &Info) -> String {
    let mut out = format!("{}\n\n{}\n\n", info.name, info.summary);
    let parts = [
        ("equation", info.equation),
        ("when to use", info.when),
        ("when not", info.when_not),
        ("what trains", info.trains),
    ];
    for (head, text) in parts {
        out += &format!("{head}\n  {text}\n\n");
    }
    let mut table = Table::new(&["option", "default", "accepts", "what it does"]);
    for option in info.options {
        table.row([option.name, option.default, &option.kind.to_string(), option.doc]);
    }
    out += &table.render();
    out += "\nsources\n";
    for source in info.sources {
        out += &format!("  {source}\n");
    }
    out
}
