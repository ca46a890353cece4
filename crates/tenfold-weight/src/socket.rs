//! Sockets: places where an architecture lets a tree hold modules that it works without.
//!
//! A method puts a [`Module`] into a [`Socket`]; the weights of the module are weights of the tree like others, under paths that
//! begin with the socket's. What a module computes is said by those paths alone, so files need nothing else.

use crate::error::Error;
use crate::path::Path;
use crate::tree::Tree;
use tenfold_tensor::Activation;

/// The word for an activation in paths.
const WORDS: [(Activation, &str); 5] = [
    (Activation::Gelu, "gelu"),
    (Activation::GeluTanh, "gelu-tanh"),
    (Activation::Relu, "relu"),
    (Activation::Silu, "silu"),
    (Activation::Tanh, "tanh"),
];

/// What a socket takes, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A bottleneck on what an attention block adds to the stream.
    AfterAttention,
    /// A bottleneck on what a feed-forward block adds to the stream.
    AfterFeedForward,
    /// A prefix before the keys and values of every sequence.
    BeforeKeys,
    /// A router before a feed-forward block whose matrices are those of experts.
    BeforeFeedForward,
}

/// A place for a module. Its architecture says that it is there; it is empty unless the tree has weights under its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// What the paths of the module's weights begin with.
    pub path: Path,
    /// What it takes.
    pub place: Place,
    /// Numbers per token of what passes here: D, or D' for keys and values.
    pub width: usize,
    /// Indices of spaces of the wiring: that of a bottleneck's input and output first; those of keys and of values.
    pub spaces: [Option<usize>; 2],
    /// The weights of which a router here chooses experts.
    pub experts: Vec<Path>,
}

/// What can be in a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Module {
    /// `h + up(act(down h + b)) + c` with so many units between.
    Bottleneck {
        /// r.
        units: usize,
        /// act.
        activation: Activation,
    },
    /// So many rows of keys and of values.
    Prefix {
        /// P.
        rows: usize,
    },
    /// A choice among experts.
    Router {
        /// E.
        experts: usize,
        /// How it chooses.
        gate: Gate,
    },
}

/// How a router chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// k, how many experts see a row. One of them speaks with its probability among all experts (Switch), several with theirs among
    /// themselves.
    pub chosen: usize,
    /// Whether training adds noise of a size that is learned to the logits (Shazeer et al. 2017, equation 4).
    pub noisy: bool,
}

/// What a weight is in its module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The map into the bottleneck, r x D.
    Down,
    /// Its bias, r.
    DownBias,
    /// The map out of the bottleneck, D x r.
    Up,
    /// Its bias, D.
    UpBias,
    /// The keys of a prefix, P x D'.
    Keys,
    /// The values of a prefix, P x D'.
    Values,
    /// What a router tells experts apart by, E x D.
    Router,
    /// What the size of its noise depends on, E x D.
    Noise,
}

/// One weight of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleWeight {
    /// Where it is in the tree.
    pub path: Path,
    /// What it is.
    pub part: Part,
    /// Its shape.
    pub shape: Vec<usize>,
}

/// The activation that a word in paths names.
pub fn activation_of(word: &str) -> Option<Activation> {
    WORDS.iter().find(|(_, known)| *known == word).map(|(activation, _)| *activation)
}

/// The path, without `.down` or `.up`, of the bottleneck in the socket at `socket`, and its activation; nothing where the socket
/// is empty.
pub(crate) fn bottleneck(tree: &Tree, socket: &str) -> Option<(String, Activation)> {
    let word = first_word(tree, socket)?;
    Some((format!("{socket}.{word}"), activation_of(word)?))
}

/// The path of a prefix's keys.
pub(crate) fn keys(socket: &str) -> Path {
    Path::new(format!("{socket}.keys.weight"))
}

/// The path of a prefix's values.
pub(crate) fn values(socket: &str) -> Path {
    Path::new(format!("{socket}.values.weight"))
}

/// The path, without `.weight`, of the router in the socket at `socket`, and how it chooses; nothing where the socket is empty.
pub(crate) fn router(tree: &Tree, socket: &str) -> Option<(String, Gate)> {
    let word = first_word(tree, socket)?;
    let stem = format!("{socket}.{word}");
    let noisy = tree.contains(&noise(&stem));
    Some((stem, Gate { chosen: chosen(word)?, noisy }))
}

/// The k of a word `top1`, `top2` and so on.
fn chosen(word: &str) -> Option<usize> {
    word.strip_prefix("top")?.parse().ok().filter(|k| *k > 0 && format!("top{k}") == word)
}

/// The path of the noise of the router with this stem.
fn noise(stem: &str) -> Path {
    Path::new(format!("{stem}.noise.weight"))
}

/// The segment that follows a socket's path in the tree.
fn first_word<'t>(tree: &'t Tree, socket: &str) -> Option<&'t str> {
    tree.under(socket).next()?.0.as_str()[socket.len() + 1..].split('.').next()
}

impl Socket {
    /// A socket for a bottleneck in the space with this index.
    pub fn bottleneck(path: impl AsRef<str>, place: Place, width: usize, space: usize) -> Self {
        Self { path: Path::new(path), place, width, spaces: [Some(space), None], experts: Vec::new() }
    }

    /// A socket for a prefix whose keys and values live in the spaces with these indices.
    pub fn prefix(path: impl AsRef<str>, width: usize, spaces: [Option<usize>; 2]) -> Self {
        Self { path: Path::new(path), place: Place::BeforeKeys, width, spaces, experts: Vec::new() }
    }

    /// A socket for a router of inputs of this width, which chooses among experts of these weights.
    pub fn router(path: impl AsRef<str>, width: usize, experts: Vec<Path>) -> Self {
        Self { path: Path::new(path), place: Place::BeforeFeedForward, width, spaces: [None, None], experts }
    }

    /// The weights of a module in this socket, in the order in which they are applied.
    pub fn weights(&self, module: Module) -> Vec<ModuleWeight> {
        let one = |path: Path, part, shape: &[usize]| ModuleWeight { path, part, shape: shape.to_vec() };
        match module {
            Module::Bottleneck { units, activation } => {
                let word =
                    WORDS.iter().find(|(known, _)| *known == activation).map_or("gelu", |(_, word)| word);
                let at = |name: &str| Path::new(format!("{}.{word}.{name}", self.path));
                vec![
                    one(at("down.weight"), Part::Down, &[units, self.width]),
                    one(at("down.bias"), Part::DownBias, &[units]),
                    one(at("up.weight"), Part::Up, &[self.width, units]),
                    one(at("up.bias"), Part::UpBias, &[self.width]),
                ]
            }
            Module::Prefix { rows } => vec![
                one(keys(self.path.as_str()), Part::Keys, &[rows, self.width]),
                one(values(self.path.as_str()), Part::Values, &[rows, self.width]),
            ],
            Module::Router { experts, gate } => {
                let stem = format!("{}.top{}", self.path, gate.chosen);
                let shape = [experts, self.width];
                let mut weights = vec![one(Path::new(format!("{stem}.weight")), Part::Router, &shape)];
                weights.extend(gate.noisy.then(|| one(noise(&stem), Part::Noise, &shape)));
                weights
            }
        }
    }

    /// The module that a tree has in this socket; nothing where it is empty.
    ///
    /// # Errors
    /// [`Error::Missing`] for a weight of the module that is not there, [`Error::Shape`] for one that does not fit, and
    /// [`Error::NoModule`] for weights under the socket's path that are none of a module.
    pub fn module(&self, tree: &Tree) -> Result<Option<Module>, Error> {
        let socket = self.path.as_str();
        let Some((path, _)) = tree.under(socket).next() else { return Ok(None) };
        let none = || Error::NoModule { path: path.clone(), socket: self.path.clone() };
        let rows = |path: &Path| Ok::<_, Error>(tree.get(path)?.shape().first().copied().unwrap_or(0));
        let module = match self.place {
            Place::BeforeKeys => Module::Prefix { rows: rows(&keys(socket))? },
            Place::BeforeFeedForward => {
                let (stem, gate) = router(tree, socket).ok_or_else(none)?;
                let experts = rows(&Path::new(format!("{stem}.weight")))?;
                if gate.chosen > experts {
                    return Err(none());
                }
                Module::Router { experts, gate }
            }
            Place::AfterAttention | Place::AfterFeedForward => {
                let (stem, activation) = bottleneck(tree, socket).ok_or_else(none)?;
                Module::Bottleneck { units: rows(&Path::new(format!("{stem}.down.weight")))?, activation }
            }
        };
        let weights = self.weights(module);
        for ModuleWeight { path, shape, .. } in &weights {
            let got = tree.get(path)?.shape();
            if got != *shape {
                return Err(Error::Shape { path: path.clone(), expected: format!("{shape:?}"), got });
            }
        }
        match tree.under(socket).find(|(path, _)| weights.iter().all(|one| one.path != **path)) {
            Some((path, _)) => Err(Error::NoModule { path: path.clone(), socket: self.path.clone() }),
            None => Ok(Some(module)),
        }
    }

    /// What a weight is in this socket's module; nothing where it belongs elsewhere.
    pub fn part_of(&self, path: &Path) -> Option<Part> {
        let rest = path.as_str().strip_prefix(self.path.as_str())?.strip_prefix('.')?;
        match (self.place, rest) {
            (Place::BeforeKeys, "keys.weight") => Some(Part::Keys),
            (Place::BeforeKeys, "values.weight") => Some(Part::Values),
            (Place::BeforeKeys, _) => None,
            (Place::BeforeFeedForward, rest) => {
                let (word, name) = rest.split_once('.')?;
                chosen(word)?;
                match name {
                    "weight" => Some(Part::Router),
                    "noise.weight" => Some(Part::Noise),
                    _ => None,
                }
            }
            (_, rest) => {
                let (word, name) = rest.split_once('.')?;
                activation_of(word)?;
                match name {
                    "down.weight" => Some(Part::Down),
                    "down.bias" => Some(Part::DownBias),
                    "up.weight" => Some(Part::Up),
                    "up.bias" => Some(Part::UpBias),
                    _ => None,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::form::Form;
    use tenfold_tensor::Array;

    fn tree_of(weights: &[ModuleWeight]) -> Tree {
        weights.iter().map(|one| (one.path.clone(), Form::dense(Array::zeros(&one.shape)))).collect()
    }

    #[test]
    fn a_module_is_told_from_its_paths_and_shapes() {
        let after = Socket::bottleneck("a.bottleneck", Place::AfterAttention, 6, 0);
        let before = Socket::prefix("a.prefix", 4, [None, None]);
        let modules = WORDS.map(|(activation, _)| (&after, Module::Bottleneck { units: 2, activation }));
        for (socket, module) in modules.into_iter().chain([(&before, Module::Prefix { rows: 3 })]) {
            let weights = socket.weights(module);
            assert_eq!(socket.module(&tree_of(&weights)).unwrap(), Some(module));
            assert!(weights.iter().all(|one| socket.part_of(&one.path) == Some(one.part)));
            for left_out in 0..weights.len() {
                let mut fewer = weights.clone();
                let gone = fewer.remove(left_out);
                let error = socket.module(&tree_of(&fewer)).unwrap_err();
                assert!(matches!(&error, Error::Missing { path, .. } if *path == gone.path), "{error}");
                let mut wider = weights.clone();
                if let Some(last) = wider[left_out].shape.last_mut() {
                    *last += 1;
                }
                assert!(matches!(socket.module(&tree_of(&wider)), Err(Error::Shape { .. })));
            }
            let mut more = tree_of(&weights);
            more.insert(socket.path.join("zero.weight"), Form::dense(Array::zeros(&[1])));
            assert!(matches!(socket.module(&more), Err(Error::NoModule { .. })));
        }
        assert_eq!(after.module(&Tree::new()).unwrap(), None);
        let other: Tree = [(Path::new("a.bottleneck.sine.down.weight"), Form::dense(Array::zeros(&[2, 6])))]
            .into_iter()
            .collect();
        assert!(matches!(after.module(&other), Err(Error::NoModule { .. })));
        // A neighbor whose name begins alike is somebody else.
        let near: Tree =
            [(Path::new("a.bottleneck2.weight"), Form::dense(Array::zeros(&[2])))].into_iter().collect();
        assert_eq!(after.module(&near).unwrap(), None);
    }
}
