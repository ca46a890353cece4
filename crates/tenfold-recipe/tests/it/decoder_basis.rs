//! Changes of basis on decoders: the logits stay, norms hand their gains to their readers, and what is tied stays tied where it
//! can.

use std::path::Path as FilePath;
use std::sync::Arc;
use tenfold_linalg::Matrix;
use tenfold_method::{Collector, Error, Evidence, Method, Options, Value, registry};
use tenfold_model::{Batch, Model};
use tenfold_tensor::Array;
use tenfold_testkit::random::Splitmix;
use tenfold_testkit::tolerance::{Tolerance, assert_close, widen};
use tenfold_weight::{Form, Path, Scope, Tree, Wiring};

/// f32 weights that were turned in f64 and rounded once more, through two layers, against logits of size 1 to 10.
const SAME: Tolerance = Tolerance { relative: 1e-5, absolute: 3e-5 };

const MODELS: [&str; 4] = ["tiny_gpt2", "tiny_llama", "tiny_t5", "tiny_t5_gated"];

fn model(name: &str) -> Model {
    Model::load(&FilePath::new(env!("CARGO_MANIFEST_DIR")).join("../tenfold-model/tests/golden").join(name))
        .unwrap()
}

fn basis(options: &[(&str, &str)]) -> Arc<dyn Method> {
    let value = |text: &str| Value::Text(text.to_owned());
    let options = options.iter().map(|(name, text)| ((*name).to_owned(), value(text)));
    (registry::find("basis").unwrap().build)(&Options(options.collect())).unwrap()
}

fn batch() -> Batch {
    let mut random = Splitmix::named("decoder texts");
    let sequences: Vec<Vec<u32>> =
        (1..=16).map(|len| (0..len).map(|_| random.below(40) as u32).collect()).collect();
    Batch::from_sequences(&sequences)
}

fn logits(model: &Model, scope: &Scope<'_>) -> Array {
    let hidden = model.network.hidden(scope, &batch()).unwrap();
    model.network.next_token(scope, &hidden).unwrap().value().clone()
}

fn evidence(model: &Model, tree: &Tree) -> Evidence {
    let collector = Collector::new();
    logits(model, &Scope::evaluate(tree).observed(&collector));
    let height = |path: &Path| tree.get(path).unwrap().shape()[0];
    collector.finish(height).with_wiring(Arc::clone(tree.wiring()))
}

fn rewritten(method: &Arc<dyn Method>, tree: &Tree, evidence: &Evidence) -> Result<Tree, Error> {
    let weights: Vec<(Path, &Form)> = tree.iter().map(|(path, form)| (path.clone(), form)).collect();
    let settled = method.settle(&weights, evidence)?.unwrap();
    let mut fresh = tree.clone();
    for ((path, form), one) in weights.into_iter().zip(settled) {
        fresh.insert(path.clone(), one.rewrite(&path, form, evidence)?);
    }
    Ok(fresh)
}

fn changed<'t>(before: &'t Tree, after: &'t Tree) -> impl Fn(&str) -> bool + 't {
    |path| {
        let of = |tree: &Tree| tree.get(&Path::new(path)).unwrap().as_array().cloned();
        of(before) != of(after)
    }
}

#[test]
fn every_change_leaves_the_logits() {
    for name in MODELS {
        let model = model(name);
        let evidence = evidence(&model, &model.tree);
        let before = logits(&model, &Scope::evaluate(&model.tree));
        for options in [
            &[][..],
            &[("residual", "rotate")],
            &[("residual", "rotate"), ("heads", "off"), ("hidden", "off")],
            &[("residual", "off"), ("hidden", "off")],
            &[("residual", "off"), ("heads", "off")],
        ] {
            let method = basis(options);
            let tree = rewritten(&method, &model.tree, &evidence).unwrap();
            let what = format!("{name} with {options:?}");
            let after = logits(&model, &Scope::evaluate(&tree));
            assert_close(&what, after.data(), &widen(before.data()), SAME);
            // A plan knows what is stored.
            let weights: Vec<(Path, &Form)> =
                model.tree.iter().map(|(path, form)| (path.clone(), form)).collect();
            let planned = method.plan_together(&weights, model.tree.wiring()).unwrap();
            let counts: Vec<usize> = planned.iter().map(|one| one.parameters).collect();
            assert_eq!(counts, tree.iter().map(|(_, form)| form.parameters()).collect::<Vec<_>>(), "{what}");
        }
    }
}

#[test]
fn an_order_moves_gains_and_keeps_what_is_tied() {
    let model = model("tiny_gpt2");
    let evidence = evidence(&model, &model.tree);
    let tree = rewritten(&basis(&[]), &model.tree, &evidence).unwrap();
    let changed = changed(&model.tree, &tree);
    let moved =
        ["wte.weight", "wpe.weight", "ln_f.weight", "ln_f.bias", "h.0.ln_1.bias", "h.1.attn.key.bias"];
    assert!(moved.iter().all(|path| changed(path)));
    assert!(matches!(tree.get(&Path::new("lm_head.weight")), Ok(Form::Shared(_))));
    let sorted = |tree: &Tree| {
        let mut values = tree.get(&Path::new("ln_f.weight")).unwrap().as_array().unwrap().data().to_vec();
        values.sort_by(f32::total_cmp);
        values
    };
    assert_eq!(sorted(&tree), sorted(&model.tree), "gains are put in another order and are no others");
}

#[test]
fn a_rotation_gathers_energy_and_takes_gains_into_readers() {
    for name in MODELS {
        let model = model(name);
        let before = evidence(&model, &model.tree);
        let tree = rewritten(&basis(&[("residual", "rotate")]), &model.tree, &before).unwrap();
        assert!(matches!(tree.get(&Path::new("lm_head.weight")), Ok(Form::Dense(_))));
        let stream = &model.tree.wiring().spaces[0];
        let mut moment = Matrix::zeros(stream.width, stream.width);
        let after = evidence(&model, &tree);
        for norm in &stream.norms {
            let gain = tree.get(&norm.gain).unwrap().as_array().unwrap();
            assert!(gain.data().iter().all(|gain| *gain == 1.0), "{}", norm.gain);
            let seen = after.moment(&norm.readers[0]).unwrap();
            moment.data_mut().iter_mut().zip(seen.data()).for_each(|(sum, one)| *sum += one);
        }
        let total: f64 = moment.data().iter().map(|value| value * value).sum();
        let diagonal: f64 = (0..stream.width).map(|k| moment.get(k, k).powi(2)).sum();
        let falls =
            (2..stream.width).filter(|k| moment.get(*k, *k) <= moment.get(k - 1, k - 1) * 1.0001).count();
        match name {
            // All but the direction of ones can be gathered.
            "tiny_gpt2" => assert!(diagonal > 0.7 * total, "{diagonal} of {total}"),
            // No mean to keep: the axes are the principal ones.
            _ => {
                assert!(diagonal > 0.999_999 * total && falls == stream.width - 2, "{diagonal} of {total}");
            }
        }
    }
}

/// Keys and values in groups: one rotation for the value and every query head that reads it.
#[test]
fn grouped_heads_turn_together() {
    let model = model("tiny_llama");
    let evidence = evidence(&model, &model.tree);
    let tree = rewritten(&basis(&[("residual", "off"), ("hidden", "off")]), &model.tree, &evidence).unwrap();
    let changed = changed(&model.tree, &tree);
    assert!(changed("layers.0.self_attn.v_proj.weight") && changed("layers.0.self_attn.o_proj.weight"));
    assert!(!changed("layers.0.self_attn.q_proj.weight") && !changed("layers.0.self_attn.k_proj.weight"));
}

#[test]
fn a_rotation_that_is_not_possible_says_why() {
    let decoder = model("tiny_gpt2");
    let seen = evidence(&decoder, &decoder.tree);
    let mut tree = decoder.tree.clone();
    let mut gains = tree.get(&Path::new("h.1.ln_2.weight")).unwrap().as_array().unwrap().clone();
    gains.data_mut()[5] = 0.0;
    tree.insert(Path::new("h.1.ln_2.weight"), Form::dense(gains));
    let rotate = basis(&[("residual", "rotate")]);
    let message = rewritten(&rotate, &tree, &seen).unwrap_err().to_string();
    assert!(message.starts_with("h.1.ln_2.weight is 0 at 5"), "{message}");

    let bert = model("tiny_bert");
    let mut wiring = Wiring::clone(bert.tree.wiring());
    wiring.spaces[0].exposed = false;
    let weights: Vec<(Path, &Form)> = bert.tree.iter().map(|(path, form)| (path.clone(), form)).collect();
    let message = rotate.plan_together(&weights, &wiring).unwrap_err().to_string();
    assert!(message.starts_with("the residual stream cannot be rotated"), "{message}");
}
