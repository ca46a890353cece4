//! Options of every registered method are checked by name and range.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use tenfold_method::{Error, Kind, Options, Value, registry};

#[test]
fn options_out_of_range_are_refused_by_name() {
    for entry in registry::REGISTRY {
        for option in entry.info.options {
            for wrong in wrong_values(option.kind) {
                let options = Options::from([(option.name, wrong.clone())]);
                match (entry.build)(&options).err() {
                    Some(Error::OptionValue { method, option: named, .. }) => {
                        assert_eq!((method, named), (entry.info.name, option.name));
                    }
                    other => panic!("{} with {} = {wrong}: {other:?}", entry.info.name, option.name),
                }
            }
            for right in right_values(option.kind) {
                let options = Options::from([(option.name, right.clone())]);
                assert!(
                    (entry.build)(&options).is_ok(),
                    "{} with {} = {right}",
                    entry.info.name,
                    option.name
                );
            }
        }
    }
}

fn wrong_values(kind: Kind) -> Vec<Value> {
    let mut wrong = vec![Value::Text("many".to_owned())];
    if kind != Kind::Flag {
        wrong.push(Value::Flag(true));
    }
    match kind {
        Kind::Integer(low, high) => {
            wrong.push(Value::Integer(low - 1));
            wrong.push(Value::Float(low as f64 + 0.5));
            wrong.extend(high.checked_add(1).map(Value::Integer));
        }
        Kind::Share => wrong.extend([0.0, -0.5, 1.5, f64::NAN].map(Value::Float)),
        Kind::Number(low, high) => wrong.extend([low - 0.5, high + 0.5, f64::NAN].map(Value::Float)),
        Kind::Choice(_) => wrong.push(Value::Integer(0)),
        Kind::Factors => wrong.extend([Value::Integers(vec![]), Value::Integers(vec![4, 0])]),
        Kind::Flag => wrong.extend([Value::Integer(1), Value::Text("true".to_owned())]),
    }
    wrong
}

/// Values that are right by themselves; factor lists come in pairs.
fn right_values(kind: Kind) -> Vec<Value> {
    match kind {
        Kind::Integer(low, high) => vec![Value::Integer(low), Value::Integer(high)],
        Kind::Share => vec![Value::Float(1e-9), Value::Float(1.0), Value::Integer(1)],
        Kind::Number(low, high) => [low, high].map(Value::Float).to_vec(),
        Kind::Choice(words) => words.iter().map(|word| Value::Text((*word).to_owned())).collect(),
        Kind::Factors => vec![],
        Kind::Flag => [true, false].map(Value::Flag).to_vec(),
    }
}

#[test]
fn misspelt_names_get_a_suggestion() {
    // One letter short, unless that is another known name.
    let known = |name: &str| registry::REGISTRY.iter().any(|entry| entry.info.name == name);
    let misspelt = |name: &str| {
        let short = name[..name.len() - 1].to_owned();
        if known(&short) { format!("{name}x") } else { short }
    };
    for entry in registry::REGISTRY {
        for option in entry.info.options {
            let options = Options::from([(misspelt(option.name).as_str(), Value::Integer(1))]);
            match (entry.build)(&options).err() {
                Some(Error::UnknownOption { nearest, .. }) => {
                    assert_eq!(nearest.as_deref(), Some(option.name));
                }
                other => panic!("{}: {other:?}", option.name),
            }
        }
        match registry::find(&misspelt(entry.info.name)).err() {
            Some(Error::UnknownMethod { nearest, known, .. }) => {
                assert_eq!(nearest.as_deref(), Some(entry.info.name));
                assert_eq!(known.len(), registry::REGISTRY.len());
            }
            other => panic!("{}: {other:?}", entry.info.name),
        }
    }
}
