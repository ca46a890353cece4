//! A step: a method, the weights it rewrites, its options.

use super::reader::{Entry, Reader, integer_of, kind_of, number_of};
use crate::fault::Problem;
use crate::place::{Located, Place};
use crate::recipe::Step;
use std::collections::BTreeMap;
use tenfold_method::{Error as MethodError, Info, Options, Value, registry};
use tenfold_weight::Selector;

/// One `[[step]]`; nothing when a fault leaves no step.
pub(super) fn step(table: &Reader<'_>) -> Option<Step> {
    let method = table.need("method", "the name of a method").and_then(|entry| table.text("method", entry));
    let entry = method.as_ref().and_then(|name| match registry::find(name.value) {
        Ok(entry) => Some(entry),
        Err(error) => {
            table.fault(name.place, Problem::Method(Box::new(error)));
            None
        }
    });
    let select = table
        .need("select", "a selector or a list of them")
        .and_then(|entry| selectors(table, "select", entry));
    let except = match table.get("except") {
        Some(entry) => selectors(table, "except", entry),
        None => Some(Vec::new()),
    };
    let place = method.map_or(table.place(), |name| name.place);
    let entry = entry?;
    let options = options(table, entry, place)?;
    Some(Step { method: entry.info, select: select?, except: except?, options, place })
}

/// Selectors of whole weights.
fn selectors(table: &Reader<'_>, key: &'static str, entry: Entry<'_>) -> Option<Vec<Located<Selector>>> {
    let list = table.selectors(key, entry)?;
    for one in list.iter().filter(|one| one.value.role().is_some()) {
        table.fault(one.place, Problem::RoleInStep { selector: one.value.to_string() });
    }
    Some(list)
}

/// Everything else in the table is an option of the method.
fn options(table: &Reader<'_>, entry: &registry::Entry, place: Place) -> Option<Options> {
    let mut options = Options::default();
    let mut places = BTreeMap::new();
    let mut sound = true;
    for (key, key_place, found) in table.rest() {
        // An unknown option is marked at its key, a faulty value at the value.
        let known = entry.info.options.iter().any(|option| option.name == key);
        places.insert(key.to_owned(), if known { found.place } else { key_place });
        match value(found) {
            Some(value) => _ = options.0.insert(key.to_owned(), value),
            None => {
                sound = false;
                let expected = expected(entry.info, key);
                let got = kind_of(found.value);
                table.fault(found.place, Problem::WrongType { key: key.to_owned(), expected, got });
            }
        }
    }
    let faults = options.faults(entry.info);
    sound &= faults.is_empty();
    for error in faults {
        let at = places.get(option_of(&error)).copied().unwrap_or(place);
        table.fault(at, Problem::Method(Box::new(error)));
    }
    // Faults between options show only when the method is built.
    if sound && let Err(error) = (entry.build)(&options) {
        let at = places.get(option_of(&error)).copied().unwrap_or(place);
        table.fault(at, Problem::Method(Box::new(error)));
        sound = false;
    }
    sound.then_some(options)
}

/// The option that an error is about.
fn option_of(error: &MethodError) -> &str {
    match error {
        MethodError::UnknownOption { option, .. } => option,
        MethodError::OptionValue { option, .. } => option,
        MethodError::Exclusive { second, .. } => second,
        _ => "",
    }
}

fn expected(info: &Info, key: &str) -> String {
    let option = info.options.iter().find(|option| option.name == key);
    option.map_or_else(|| "a value that options can have".to_owned(), |option| option.kind.to_string())
}

/// A TOML value as an option's value.
fn value(entry: Entry<'_>) -> Option<Value> {
    let found = entry.value;
    if let Some(list) = found.as_array() {
        return list.iter().map(|one| integer_of(one.get_ref())).collect::<Option<_>>().map(Value::Integers);
    }
    integer_of(found)
        .map(Value::Integer)
        .or_else(|| number_of(found).map(Value::Float))
        .or_else(|| found.as_bool().map(Value::Flag))
        .or_else(|| found.as_str().map(|text| Value::Text(text.to_owned())))
}
