//! Weights of one kind over the depth of a model: who stores what layers of a group share.

use crate::error::Error;
use std::collections::BTreeMap;
use tenfold_weight::{Form, Path};

/// What the weights of a kind have in common: the path but for its numbers, and the shape.
type Kind = (String, Vec<usize>);

/// A weight among those of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The weight that stores what its group shares, by its number among all weights: the first of the group.
    pub(crate) owner: usize,
    /// Its number among the weights of its kind, in the order of depth, from 0.
    pub(crate) layer: usize,
    /// L, how many weights its kind has.
    pub(crate) layers: usize,
}

/// The place of every weight. Weights whose paths differ in whole segments of digits only, and whose shapes are equal, are of one
/// kind; in the order of those numbers they are cut into `groups` stretches whose lengths differ by one at most.
///
/// # Errors
/// [`Error::Groups`] where a kind has fewer weights than groups. A kind of a single weight is one group.
pub(crate) fn places(weights: &[(Path, &Form)], groups: usize) -> Result<Vec<Place>, Error> {
    let mut kinds: BTreeMap<Kind, Vec<(Vec<u64>, usize)>> = BTreeMap::new();
    for (at, (path, form)) in weights.iter().enumerate() {
        let (kind, numbers) = path.kind();
        kinds.entry((kind, form.shape())).or_default().push((numbers, at));
    }
    let mut places = vec![Place { owner: 0, layer: 0, layers: 0 }; weights.len()];
    for ((kind, _), mut members) in kinds {
        members.sort();
        let layers = members.len();
        if layers > 1 && layers < groups {
            return Err(Error::Groups { kind, layers, groups });
        }
        let groups = groups.min(layers);
        for (layer, (_, at)) in members.iter().enumerate() {
            let group = layer * groups / layers;
            // The first layer of the group: the least whose number times the groups reaches it.
            let first = (group * layers).div_ceil(groups);
            places[*at] = Place { owner: members[first].1, layer, layers };
        }
    }
    Ok(places)
}

/// The form that a weight has or shares, where that is a whole weight among those given.
///
/// # Errors
/// [`Error::NotDense`] where it is stored elsewhere.
pub(crate) fn stored<'f>(weights: &[(Path, &'f Form)], at: usize) -> Result<&'f Form, Error> {
    let (path, mut form) = (&weights[at].0, weights[at].1);
    // A chain of owners that returns to itself does not end; no honest one is longer than the list.
    for _ in 0..=weights.len() {
        let Some(owner) = form.owner() else { return Ok(form) };
        let found = weights.iter().find(|(path, _)| owner.inner.is_empty() && *path == owner.path);
        let Some((_, next)) = found else { break };
        form = next;
    }
    Err(Error::NotDense { path: path.clone(), got: form.describe() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenfold_tensor::Array;
    use tenfold_weight::Address;

    fn owners(paths: &[&str], groups: usize) -> Vec<usize> {
        let form = Form::dense(Array::zeros(&[2, 2]));
        let weights: Vec<_> = paths.iter().map(|path| (Path::new(path), &form)).collect();
        places(&weights, groups).unwrap().iter().map(|place| place.owner).collect()
    }

    #[test]
    fn layers_are_ordered_by_number_and_cut_into_stretches() {
        let paths: Vec<String> = (0..12).map(|layer| format!("layer.{layer}.up.weight")).collect();
        // In the order of text, 10 and 11 come before 2.
        let mut sorted: Vec<&str> = paths.iter().map(String::as_str).collect();
        sorted.sort_unstable();
        let at = |layer: usize| sorted.iter().position(|path| *path == paths[layer]).unwrap();
        for (groups, firsts) in [(1, vec![0]), (3, vec![0, 4, 8]), (5, vec![0, 3, 5, 8, 10])] {
            let found = owners(&sorted, groups);
            let expected: Vec<usize> = firsts.iter().map(|layer| at(*layer)).collect();
            let mut each: Vec<usize> = (0..12).map(|layer| found[at(layer)]).collect();
            each.dedup();
            assert_eq!(each, expected, "{groups} groups");
        }
    }

    #[test]
    fn kinds_stay_apart_and_lone_weights_are_groups_of_their_own() {
        assert_eq!(owners(&["a.0.x", "a.1.x", "a.0.y", "a.1.y", "b2.x"], 1), [0, 0, 2, 2, 4]);
        assert_eq!(owners(&["a.0.x", "a.1.x", "pooler"], 2), [0, 1, 2]);
        let form = Form::dense(Array::zeros(&[2, 2]));
        let weights: Vec<_> = ["a.0.x", "a.1.x"].map(|path| (Path::new(path), &form)).into();
        let error = places(&weights, 3).unwrap_err();
        assert!(error.to_string().contains("a.*.x has 2 layers"), "{error}");
        // Of one name and another shape: another kind.
        let wide = Form::dense(Array::zeros(&[2, 3]));
        let weights = [(Path::new("a.0.x"), &form), (Path::new("a.1.x"), &wide)];
        assert_eq!(places(&weights, 1).unwrap()[1], Place { owner: 1, layer: 0, layers: 1 });
    }

    #[test]
    fn shared_weights_are_followed_to_where_they_are_stored() {
        let form = Form::dense(Array::zeros(&[2, 2]));
        let share = |owner: &str| Form::shared(Address::parse(owner), vec![2, 2]);
        let (first, second, lost, inner) = (share("a"), share("b"), share("elsewhere"), share("a#core.1"));
        let named = [("a", &form), ("b", &first), ("c", &second), ("d", &lost), ("e", &inner)];
        let weights = named.map(|(path, form)| (Path::new(path), form));
        assert!(stored(&weights, 2).unwrap().as_array().is_some());
        assert!((3..5).all(|at| matches!(stored(&weights, at), Err(Error::NotDense { .. }))));
        let (one, other) = (share("b"), share("a"));
        let circle = [(Path::new("a"), &one), (Path::new("b"), &other)];
        assert!(stored(&circle, 0).is_err());
    }
}
