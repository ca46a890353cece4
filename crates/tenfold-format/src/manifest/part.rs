//! Parts of records by their names.

use super::FormRecord;

/// The part of `form` that `inner` names: `value`, `core.N`, `down`, `up`, `left.PART`, `right.PART`,
/// `inner.PART`, `value.PART`, `rest.PART`, `expert.N`, `columns`, `rows`, `norms`, `scale`, `shift`.
pub(super) fn part<'a>(form: &'a FormRecord, inner: &str) -> Option<&'a FormRecord> {
    let (head, rest) = inner.split_once('.').map_or((inner, None), |(head, rest)| (head, Some(rest)));
    let deeper = |form: &'a FormRecord, rest: Option<&str>| match rest {
        Some(rest) => part(form, rest),
        None => Some(form),
    };
    match (form, head) {
        (FormRecord::Dense { .. }, "value") if rest.is_none() => Some(form),
        (FormRecord::Lowrank { down, .. }, "down") => deeper(down, rest),
        (FormRecord::Lowrank { up, .. }, "up") => deeper(up, rest),
        (
            FormRecord::Scaled { inner, .. }
            | FormRecord::RowScaled { inner, .. }
            | FormRecord::RowNormed { inner, .. }
            | FormRecord::Rotated { inner, .. },
            "inner",
        ) => deeper(inner, rest),
        (FormRecord::RowScaled { rows, .. }, "rows") => deeper(rows, rest),
        (FormRecord::RowNormed { norms, .. }, "norms") => deeper(norms, rest),
        (FormRecord::Scaled { columns, .. }, "columns") => deeper(columns, rest),
        (FormRecord::Grouped { scale, .. }, "scale") => deeper(scale, rest),
        (FormRecord::Grouped { shift, .. }, "shift") => deeper(shift.as_deref()?, rest),
        (FormRecord::Columns { value, .. }, "value") => deeper(value, rest),
        (FormRecord::Columns { rest: others, .. }, "rest") => deeper(others, rest),
        (FormRecord::Sum { left, .. }, "left") => deeper(left, rest),
        (FormRecord::Sum { right, .. }, "right") => deeper(right, rest),
        (FormRecord::Stack { experts }, "expert") => {
            let rest = rest?;
            let (number, rest) =
                rest.split_once('.').map_or((rest, None), |(number, rest)| (number, Some(rest)));
            deeper(experts.get(number.parse::<usize>().ok()?)?, rest)
        }
        (FormRecord::Mpo { cores, .. }, "core") => {
            let rest = rest?;
            let (number, rest) =
                rest.split_once('.').map_or((rest, None), |(number, rest)| (number, Some(rest)));
            let index = number.parse::<usize>().ok()?.checked_sub(1)?;
            deeper(cores.get(index)?, rest)
        }
        _ => None,
    }
}
