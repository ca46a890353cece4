//! Plans of light tuning and squeezing: published counts of what trains, and what is noted.
//!
//! Source: MPOP (ACL 2021), table 3; the counts follow from its appendix's shapes.

use super::plan::{plan, tree};

/// ALBERT-base with word embedding, four attention matrices, both feed-forward ones and
/// the pooler as operators. Everything that is no operator holds 175,872 parameters.
#[test]
fn light_tuning_of_albert_trains_the_published_counts() {
    let square: &[usize] = &[768, 768];
    let weights = tree(&[
        ("embeddings.word_embeddings.weight", &[30_000, 128]),
        ("layer.query.weight", square),
        ("layer.key.weight", square),
        ("layer.value.weight", square),
        ("layer.attention_output.weight", square),
        ("layer.ffn.weight", &[3072, 768]),
        ("layer.ffn_output.weight", &[768, 3072]),
        ("pooler.weight", square),
        ("other.values", &[175_872]),
    ]);
    let plan = plan(
        "[[step]]\nmethod = \"mpop\"\nselect = \"**.weight\"\n\
         [[phase]]\nobjective = \"task\"\ntask = \"mrpc@1\"\nsteps = 5\n",
        &weights,
    );
    assert_eq!(plan.totals.parameters_before, 11_683_584);
    assert_eq!(plan.totals.parameters_after, 12_693_748);
    assert_eq!(plan.totals.trainable, 1_186_036);
    assert_eq!(plan.rows.iter().filter(|row| row.trains == "auxiliary").count(), 8);
}

/// BERT-base with query, key and value, both feed-forward matrices and the released variant of the embedding.
#[test]
fn light_tuning_of_bert_trains_the_published_auxiliaries() {
    let mut shapes: Vec<(String, Vec<usize>)> =
        vec![("embeddings.word_embeddings.weight".to_owned(), vec![30_720, 768])];
    for layer in 0..12 {
        for name in ["query", "key", "value", "output"] {
            shapes.push((format!("layer.{layer}.{name}.weight"), vec![768, 768]));
        }
        shapes.push((format!("layer.{layer}.up.weight"), vec![3072, 768]));
        shapes.push((format!("layer.{layer}.down.weight"), vec![768, 3072]));
    }
    let weights: Vec<(&str, &[usize])> =
        shapes.iter().map(|(path, shape)| (path.as_str(), shape.as_slice())).collect();
    let weights = tree(&weights);
    let trained = |select: &str| {
        let text = format!(
            "[[step]]\nmethod = \"mpop\"\nselect = {select}\n\
             [[phase]]\nobjective = \"task\"\ntask = \"mrpc@1\"\nsteps = 5\ntrain = \"#auxiliary\"\n"
        );
        plan(&text, &weights).totals.trainable
    };
    assert_eq!(trained("[\"embeddings.**\", \"layer.**.{query,key,value,up,down}.weight\"]"), 7_692_176);
    assert_eq!(trained("[\"embeddings.**\", \"layer.**.weight\"]"), 8_580_368);
}

#[test]
fn squeezing_is_announced_and_odd_gaps_are_named() {
    let weights = tree(&[("w.weight", &[64, 64])]);
    let text = |gap: &str, method: &str| {
        format!(
            "[[step]]\nmethod = \"{method}\"\nselect = \"w.weight\"\ncores = 3\n\
             [[phase]]\nobjective = \"task\"\ntask = \"mrpc@1\"\nsteps = 5\nsqueeze = {{ to = 0.5, gap = {gap} }}\n"
        )
    };
    let notes = |gap, method| plan(&text(gap, method), &weights).notes;
    assert_eq!(notes("0.01", "mpop").len(), 1);
    assert!(notes("0.01", "mpop")[0].contains("to 2048 parameters"));
    assert!(notes("0.0", "mpop")[1].contains("undoes the first round"));
    assert!(notes("1.0", "mpop")[1].contains("accepts any loss"));
    assert!(notes("0.01", "mpo")[0].contains("use method mpop"));
}
