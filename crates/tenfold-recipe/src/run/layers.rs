//! Rewriting in the order of the layers: calibration text goes through the model once, from layer to layer, and what a layer reads
//! has been computed with the rewritten weights of those before it (Frantar et al. 2023, section 4).
//!
//! Between layers the hidden states of all calibration tokens are kept. The weights of a layer can wait in their file until its turn
//! comes; what is held then is what lies outside of layers, one layer, its evidence, the hidden states, and what has been rewritten.

use super::event::{Reporter, Stage};
use super::rewrite::{self, Rewritten};
use crate::error::Error;
use crate::plan::Resolved;
use crate::recipe::Order;
use crate::result::WeightResult;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tenfold_method::{Collector, Evidence};
use tenfold_model::{Batch, Model, Places, Waiting, Walk};
use tenfold_tensor::{Array, Var};
use tenfold_weight::{Path, Scope, Tree};

/// What is rewritten, and how.
pub(super) struct Course<'c> {
    /// The untouched model; without the weights of layers where they wait.
    pub(super) model: &'c Model,
    pub(super) waiting: Option<&'c Waiting>,
    pub(super) resolved: &'c Resolved,
    pub(super) order: Order,
}

/// A batch, and where its tokens stand.
type Placed = (Batch, Places);

/// A stretch of the way through a model.
#[derive(Clone, Copy)]
enum Part {
    /// From tokens to what the first layer reads.
    Enter,
    /// A layer, from 0.
    Layer(usize),
    /// From what the last layer gives to what the model puts out.
    Leave,
}

impl Part {
    /// What comes of a batch, of which x is what the part before gave.
    fn run(self, model: &Model, cx: &Scope<'_>, placed: &Placed, x: Option<&Array>) -> Result<Array, Error> {
        let (batch, places) = placed;
        let walk = model.network.walk()?;
        let read = || Var::constant(x.cloned().unwrap_or_else(|| Array::zeros(&[0, model.network.width()])));
        let found = match self {
            Self::Enter => walk.enter(cx, batch, places)?,
            Self::Layer(layer) => walk.layer(cx, layer, &read(), places)?,
            // An output matrix is a weight like others.
            Self::Leave if model.network.is_decoder() => {
                model.network.next_token(cx, &walk.leave(cx, read())?)?
            }
            Self::Leave => walk.leave(cx, read())?,
        };
        Ok(found.value().clone())
    }
}

impl Course<'_> {
    /// Rewrites what the plan says on the text of some batches.
    ///
    /// # Errors
    /// [`Error::NoTokens`], architectures that are no stack of layers, faults of methods and files; [`Error::Interrupted`].
    pub(super) fn run(&self, batches: Vec<Batch>, reporter: &mut Reporter<'_>) -> Result<Rewritten, Error> {
        if batches.iter().all(|batch| batch.tokens() == 0) {
            return Err(Error::NoTokens { purpose: "calibration" });
        }
        let walk = self.model.network.walk()?;
        let (mut outside, layers) = self.selected(&walk);
        let mut work = Work {
            course: self,
            tree: self.model.tree.clone(),
            weights: BTreeMap::new(),
            states: batches.iter().map(|_| None).collect(),
            batches: self.placed(batches)?,
        };
        if !outside.is_empty() {
            let evidence = work.collect(Part::Enter, Collector::new())?;
            let seen: BTreeSet<Path> =
                outside.iter().filter(|path| evidence.metric(path).is_ok()).cloned().collect();
            outside.retain(|path| !seen.contains(path));
            work.rewrite(&seen, &evidence, reporter)?;
        }
        work.go_on(Part::Enter)?;
        for (layer, own) in layers.iter().enumerate() {
            reporter.progress(Stage::Rewrite, format!("layer {layer}"), layer, Some(layers.len()))?;
            if let Some(waiting) = self.waiting {
                waiting.read(layer)?.into_iter().for_each(|(path, form)| drop(work.tree.insert(path, form)));
            }
            let part = Part::Layer(layer);
            match self.order {
                Order::Maps if !own.is_empty() => {
                    for Set { maps, chosen } in work.sets(part, own)? {
                        let evidence = work.collect(part, Collector::of(maps))?;
                        work.rewrite(&chosen, &evidence, reporter)?;
                    }
                }
                _ if !own.is_empty() => {
                    let evidence = work.collect(part, Collector::new())?;
                    work.rewrite(own, &evidence, reporter)?;
                }
                _ => {}
            }
            if layer + 1 < layers.len() || !outside.is_empty() {
                work.go_on(part)?;
            }
        }
        if !outside.is_empty() {
            let evidence = work.collect(Part::Leave, Collector::new())?;
            work.rewrite(&outside, &evidence, reporter)?;
        }
        Ok(Rewritten { tree: work.tree, weights: work.weights.into_values().collect() })
    }

    /// Batches with their places, which no rewrite changes.
    fn placed(&self, batches: Vec<Batch>) -> Result<Vec<Placed>, Error> {
        let (walk, scope) = (self.model.network.walk()?, Scope::evaluate(&self.model.tree));
        batches.into_iter().map(|batch| Ok((batch.clone(), walk.places(&scope, &batch)?))).collect()
    }

    /// The selected weights outside of layers, and those of every layer.
    fn selected(&self, walk: &Walk<'_>) -> (BTreeSet<Path>, Vec<BTreeSet<Path>>) {
        let (mut outside, mut layers) = (BTreeSet::new(), vec![BTreeSet::new(); walk.layers()]);
        for path in self.resolved.paths.iter().flatten() {
            match walk.layer_of(path) {
                Some(layer) => layers[layer].insert(path.clone()),
                None => outside.insert(path.clone()),
            };
        }
        (outside, layers)
    }
}

/// Maps that read the same inputs.
struct Set {
    /// All of them.
    maps: BTreeSet<Path>,
    /// The weights that are rewritten with them.
    chosen: BTreeSet<Path>,
}

/// What stands while the text goes through.
struct Work<'w> {
    course: &'w Course<'w>,
    batches: Vec<Placed>,
    /// What the next part reads, by batch, N x D; nothing before the first part.
    states: Vec<Option<Array>>,
    /// What has been rewritten so far, and all other weights as they were.
    tree: Tree,
    weights: BTreeMap<Path, WeightResult>,
}

impl Work<'_> {
    /// What goes into the weights of a part as they are now.
    fn collect(&self, part: Part, collector: Collector) -> Result<Evidence, Error> {
        for at in 0..self.batches.len() {
            self.observe(part, at, &collector)?;
        }
        let tree = &self.tree;
        let height = |path: &_| tree.get(path).ok().and_then(|form| form.shape().first().copied());
        let evidence = collector.finish(|path| height(path).unwrap_or(0));
        Ok(evidence.with_wiring(Arc::clone(tree.wiring())))
    }

    fn observe(&self, part: Part, at: usize, collector: &Collector) -> Result<(), Error> {
        // A scope of its own: one for all batches would keep what it builds beside the evidence.
        let scope = Scope::evaluate(&self.tree).observed(collector);
        part.run(self.course.model, &scope, &self.batches[at], self.states[at].as_ref()).map(drop)
    }

    /// Carries the text through a part.
    fn go_on(&mut self, part: Part) -> Result<(), Error> {
        let scope = Scope::evaluate(&self.tree);
        for (batch, state) in self.batches.iter().zip(&mut self.states) {
            *state = Some(part.run(self.course.model, &scope, batch, state.as_ref())?);
        }
        Ok(())
    }

    /// The maps of a part that read the same inputs, in the order in which they are applied, with what is selected of each such set.
    /// What is no map of the part (gains and biases) is rewritten with those that read through it, or with the first.
    fn sets(&self, part: Part, own: &BTreeSet<Path>) -> Result<Vec<Set>, Error> {
        let collector = Collector::new();
        self.observe(part, 0, &collector)?;
        let seen: Vec<BTreeSet<Path>> =
            collector.sets().into_iter().map(|set| set.into_iter().collect()).collect();
        let norms = || self.tree.wiring().spaces.iter().flat_map(|space| &space.norms);
        let set_of = |path: &Path| {
            let direct = seen.iter().position(|set| set.contains(path));
            direct.or_else(|| {
                let norm = norms().find(|norm| &norm.gain == path || norm.bias.as_ref() == Some(path))?;
                seen.iter().position(|set| norm.readers.iter().any(|reader| set.contains(reader)))
            })
        };
        let mut chosen = vec![BTreeSet::new(); seen.len().max(1)];
        for path in own {
            chosen[set_of(path).unwrap_or(0)].insert(path.clone());
        }
        let sets = seen.into_iter().zip(chosen).map(|(maps, chosen)| Set { maps, chosen });
        Ok(sets.filter(|set| !set.chosen.is_empty()).collect())
    }

    /// Carries out the steps of the plan on some weights, and measures what that did to them.
    fn rewrite(
        &mut self,
        weights: &BTreeSet<Path>,
        evidence: &Evidence,
        reporter: &mut Reporter<'_>,
    ) -> Result<(), Error> {
        let before = self.tree.clone();
        let resolved = self.course.resolved;
        for (method, paths) in resolved.methods.iter().zip(&resolved.paths) {
            let own: Vec<Path> = paths.iter().filter(|path| weights.contains(path)).cloned().collect();
            if own.is_empty() {
                continue;
            }
            let forms = rewrite::step(&self.tree, method, &own, evidence, reporter)?;
            own.into_iter().zip(forms).for_each(|(path, form)| drop(self.tree.insert(path, form)));
        }
        let paths: Vec<&Path> = weights.iter().collect();
        let results = rewrite::measured([&before, &before], &self.tree, &paths, evidence, reporter)?;
        self.weights.extend(weights.iter().cloned().zip(results));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Recipe;
    use crate::run::{Flow, evidence};
    use std::path::Path as FilePath;
    use tenfold_linalg::Metric;

    fn golden(name: &str) -> Model {
        let golden = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("../tenfold-model/tests/golden");
        Model::load(&golden.join(name)).unwrap()
    }

    /// What one pass sees of an untouched model is what is seen part by part, and set by set, to the bit.
    #[test]
    fn without_a_change_every_order_sees_the_same() {
        for name in ["tiny_bert", "tiny_gpt2", "tiny_llama"] {
            let model = golden(name);
            let sequences: Vec<Vec<u32>> =
                (0..40).map(|n| (0..7 + n % 5).map(|i| 5 + (3 * n + i * i) % 20).collect()).collect();
            let mut heard = |_| Flow::Continue;
            let reporter = &mut Reporter::new(&mut heard);
            let at_once = evidence::collect(&model, &model.tree, &sequences, 3, 300, reporter).unwrap();
            let text =
                "name = \"r\"\n[model]\nfrom = \"path:m\"\n[[step]]\nmethod = \"bitfit\"\nselect = \"**\"\n";
            let recipe = Recipe::parse(FilePath::new("r.toml"), text).unwrap();
            let resolved = Resolved::of(&recipe, &model.tree).unwrap();
            let course = Course { model: &model, waiting: None, resolved: &resolved, order: Order::Maps };
            let batches = course.placed(evidence::draw(&sequences, 3, 300)).unwrap();
            let states = batches.iter().map(|_| None).collect();
            let (tree, weights) = (model.tree.clone(), BTreeMap::new());
            let mut work = Work { course: &course, batches, states, tree, weights };
            let walk = model.network.walk().unwrap();
            let (outside, layers) = course.selected(&walk);
            let mut seen = BTreeSet::new();
            let mut check = |found: &Evidence, paths: &BTreeSet<Path>| {
                for path in paths {
                    let Ok(metric) = found.metric(path) else { continue };
                    assert!(seen.insert(path.clone()), "{name}: {path} twice");
                    match (metric, at_once.metric(path).unwrap()) {
                        (Metric::Inputs(one), Metric::Inputs(other)) => assert_eq!(one.data(), other.data()),
                        (Metric::Rows(one), Metric::Rows(other)) => assert_eq!(one, other),
                        _ => panic!("{name}: {path} is seen in two ways"),
                    }
                }
            };
            check(&work.collect(Part::Enter, Collector::new()).unwrap(), &outside);
            work.go_on(Part::Enter).unwrap();
            for (layer, own) in layers.iter().enumerate() {
                let part = Part::Layer(layer);
                let sets = work.sets(part, own).unwrap();
                // Query, key and value; output; what widens; what narrows.
                assert_eq!(sets.len(), 4, "{name}");
                assert_eq!(sets.iter().map(|set| set.chosen.len()).sum::<usize>(), own.len(), "{name}");
                for Set { maps, chosen } in sets {
                    check(&work.collect(part, Collector::of(maps)).unwrap(), &chosen);
                }
                work.go_on(part).unwrap();
            }
            check(&work.collect(Part::Leave, Collector::new()).unwrap(), &outside);
            let expected = model.tree.iter().filter(|(path, _)| at_once.metric(path).is_ok()).count();
            assert_eq!(seen.len(), expected, "{name}");
        }
    }
}
