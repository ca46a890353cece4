//! How weights meet: the spaces in which activations live, who writes each, who reads it and what is stored in it.
//!
//! What is computed does not depend on the coordinates of a space, as far as its [`Structure`] goes: turn the rows
//! of all writers, the columns of all readers and tables, and all stored vectors alike, and the model is the same
//! function. An architecture says how it is wired; methods that change coordinates need nothing else of it.

use crate::path::Path;
use crate::socket::{Part, Socket};

/// Which changes of coordinates leave the function as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Structure {
    /// A stream that is added to and normalized with a gain of its own: any permutation.
    Stream,
    /// The units of a hidden layer behind an activation function: any permutation.
    Hidden,
    /// Heads of equal width whose coordinates meet in dot products (query and key): one orthogonal matrix per head, the
    /// same on both sides.
    Matched {
        /// Number of heads.
        heads: usize,
    },
    /// Heads of equal width whose coordinates are mixed over tokens and read again (value and output): one orthogonal
    /// matrix per head.
    Carried {
        /// Number of heads that are written.
        heads: usize,
        /// How often each head is read, next to each other: readers have `group` times the columns (grouped-query attention).
        group: usize,
    },
}

/// A norm between a stream and those who read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Norm {
    /// Its gain, a vector of the stream.
    pub gain: Path,
    /// Its bias, a vector of the stream, where it has one.
    pub bias: Option<Path>,
    /// Whether it takes the mean away: then only changes that keep the vector of ones pass through it.
    pub centered: bool,
    /// The readers that see the stream through this norm, and nothing else.
    pub readers: Vec<Path>,
}

/// One space of activations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Space {
    /// A name for messages, such as `residual stream` or `layer 3, hidden units`.
    pub name: String,
    /// Numbers per token.
    pub width: usize,
    /// What may be changed.
    pub structure: Structure,
    /// Matrices whose rows live here.
    pub writers: Vec<Path>,
    /// Matrices whose columns live here and are multiplied with activations.
    pub readers: Vec<Path>,
    /// Tables whose rows are vectors of the space.
    pub tables: Vec<Path>,
    /// Stored vectors of the space: biases of the writers, gains and biases of norms.
    pub vectors: Vec<Path>,
    /// The norms through which all readers see a stream, where no gain lies on the stream itself: what makes rotations of it
    /// possible (Ashkboos et al. 2024, section 3.1). Empty elsewhere.
    pub norms: Vec<Norm>,
    /// Whether the model's own output is read here: then the coordinates mean something to others and must stay.
    pub exposed: bool,
}

impl Space {
    /// A space in which nothing lives yet.
    pub fn new(name: impl Into<String>, width: usize, structure: Structure) -> Self {
        Self {
            name: name.into(),
            width,
            structure,
            writers: Vec::new(),
            readers: Vec::new(),
            tables: Vec::new(),
            vectors: Vec::new(),
            norms: Vec::new(),
            exposed: false,
        }
    }

    /// Takes readers and stored vectors of a stream from its norms, in addition to those that are there.
    pub fn read_through_norms(&mut self) {
        for norm in &self.norms {
            self.readers.extend(norm.readers.iter().cloned());
            self.vectors.push(norm.gain.clone());
            self.vectors.extend(norm.bias.clone());
        }
    }

    /// The columns that a reader has.
    pub fn read_width(&self) -> usize {
        match self.structure {
            Structure::Carried { group, .. } => self.width * group,
            _ => self.width,
        }
    }

    /// Every weight that must change together with the others.
    pub fn members(&self) -> impl Iterator<Item = &Path> {
        self.writers.iter().chain(&self.readers).chain(&self.tables).chain(&self.vectors)
    }
}

/// All spaces of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wiring {
    /// In the order of the computation.
    pub spaces: Vec<Space>,
    /// Where modules can be, in the order of the computation.
    pub sockets: Vec<Socket>,
}

impl Wiring {
    /// The space that the columns of a matrix live in, where it reads one.
    pub fn read_by(&self, path: &Path) -> Option<&Space> {
        self.spaces.iter().find(|space| space.readers.contains(path))
    }

    /// Lets weights of modules join the spaces that their sockets lie in; others are passed over.
    pub fn admit<'p>(&mut self, paths: impl IntoIterator<Item = &'p Path>) {
        let Self { spaces, sockets } = self;
        for path in paths {
            let Some((socket, part)) = sockets.iter().find_map(|one| Some((one, one.part_of(path)?))) else {
                continue;
            };
            let [first, second] = socket.spaces;
            let at = if part == Part::Values { second } else { first };
            let Some(space) = at.and_then(|at| spaces.get_mut(at)) else { continue };
            let list = match part {
                Part::Down => &mut space.readers,
                Part::Up => &mut space.writers,
                Part::UpBias => &mut space.vectors,
                Part::Keys | Part::Values => &mut space.tables,
                // The units of a bottleneck are no space that others share.
                Part::DownBias => continue,
                // A router has no space of its own, and reads one that turns for all of its experts or not at all.
                Part::Router | Part::Noise => continue,
            };
            if !list.contains(path) {
                list.push(path.clone());
            }
        }
    }

    /// The same without weights that `known` does not hold for, such as optional ones.
    pub fn only(mut self, known: impl Fn(&Path) -> bool) -> Self {
        for space in &mut self.spaces {
            for list in [&mut space.writers, &mut space.readers, &mut space.tables, &mut space.vectors] {
                list.retain(&known);
            }
            space.norms.iter_mut().for_each(|norm| norm.readers.retain(&known));
        }
        self
    }
}
