//! What a recipe means where it says nothing: every default and every limit, in one place. `recipes/reference.toml`
//! shows them beside their keys, and a test compares the two.

use crate::recipe::Order;
use tenfold_tensor::Precision;
use tenfold_train::Decay;

/// `seed`: of batches and of the choice of calibration text.
pub const SEED: u64 = 17;
/// `model.new.hidden`: this many times the width.
pub const NEW_HIDDEN: usize = 4;
/// `model.new.hidden` of a llama, whose feed-forward part has three matrices.
pub const NEW_GATED_HIDDEN: usize = 3;
/// `model.new.gated`: the first T5 has no gates.
pub const NEW_GATED: bool = false;
/// `model.new.lower-case` of word pieces, as in the published model without capitals.
pub const NEW_LOWER_PIECES: bool = true;
/// `model.new.lower-case` of byte pairs, which give texts back as they were.
pub const NEW_LOWER_PAIRS: bool = false;
/// Parts of a large text that a vocabulary is learned from, at most: 256 MiB, spread over it.
pub const NEW_SAMPLE: usize = 1024;
/// `model.new.positions`.
pub const NEW_POSITIONS: usize = 256;
/// `model.new.tied`: a small vocabulary is no place for two tables.
pub const NEW_TIED: bool = true;
/// `calibration.tokens`: enough for second moments of a few thousand inputs, seconds to run.
pub const CALIBRATION_TOKENS: usize = 20_000;
/// `calibration.order`: one pass serves every method and every variant.
pub const ORDER: Order = Order::AtOnce;
/// `calibration.streamed`: models that fit are measured before and after.
pub const STREAMED: bool = false;
/// `phase.tokens`: tokens in the batch of one step.
pub const BATCH_TOKENS: usize = 2048;
/// `phase.batch`: examples in the batch of one step, as in most published fine-tuning of encoders.
pub const BATCH_EXAMPLES: usize = 32;
/// `phase.dropout` under the objective `task`, the share that BERT was published with.
pub const TASK_DROPOUT: f64 = 0.1;
/// `phase.dropout` under the objectives `distill`, where a student should repeat its teacher and not itself, and `language` and
/// `masked`, which see most texts few times.
pub const DISTILL_DROPOUT: f64 = 0.0;
/// `phase.packed`: texts of their own, as older recipes have them.
pub const PACKED: bool = false;
/// `phase.shuffle`, in MiB: some ten million tokens, which take as much memory as the text.
pub const SHUFFLE: u64 = 64;
/// The most MiB of text that are shuffled together.
pub const SHUFFLE_LIMIT: u64 = 1 << 20;
/// `phase.order`: no second segment.
pub const ORDER_WEIGHT: f64 = 0.0;
/// `phase.watch.tokens`: seconds to measure, a standard error of about 2 % of the loss.
pub const WATCH_TOKENS: usize = 20_000;
/// `phase.precision`.
pub const PRECISION: Precision = Precision::F32;
/// `phase.gradient-checkpointing`: most models that fit here train with everything kept.
pub const GRADIENT_CHECKPOINTING: bool = false;
/// `phase.squeeze.to`.
pub const SQUEEZE_TO: f64 = 0.7;
/// `phase.squeeze.round`.
pub const SQUEEZE_ROUND: f64 = 0.02;
/// `phase.squeeze.gap`.
pub const SQUEEZE_GAP: f64 = 0.01;
/// `phase.squeeze.held-out`.
pub const HELD_OUT: f64 = 0.1;
/// `phase.grow.each`.
pub const GROW_EACH: u64 = 2;
/// `phase.grow.until`: the last selection leaves half of the steps for the larger forms.
pub const GROW_UNTIL: f64 = 0.5;
/// `phase.grow.rows`.
pub const GROW_ROWS: u64 = 128;
/// `phase.hidden`: weight of the token-level term of distillation beside the embedding term.
pub const HIDDEN: f64 = 1.0;
/// `phase.train`: every leaf.
pub const TRAIN: &str = "**";
/// `phase.calibrate.light`: everything that the phase trains, as far as light methods let it.
pub const LIGHT: &str = "**";
/// `phase.optimizer.lr`: peak rate.
pub const RATE: f64 = 3e-4;
/// `phase.optimizer.weight-decay`.
pub const WEIGHT_DECAY: f64 = 0.0;
/// `phase.optimizer.beta1`. Source: Kingma and Ba 2015, algorithm 1.
pub const BETA1: f64 = 0.9;
/// `phase.optimizer.beta2`. Source: Kingma and Ba 2015, algorithm 1.
pub const BETA2: f64 = 0.999;
/// `phase.optimizer.eps`. Source: Kingma and Ba 2015, algorithm 1.
pub const EPS: f64 = 1e-8;
/// The same under `lamb`. Source: You et al. 2020, appendix.
pub const LAMB_EPS: f64 = 1e-6;
/// `phase.optimizer.bias-correction`. Source: You et al. 2020, algorithm 2.
pub const BIAS_CORRECTION: bool = true;
/// `phase.optimizer.least-norm`. Source: the first version of You et al. 2020.
pub const LEAST_NORM: f64 = 0.0;
/// `phase.optimizer.most-norm`. Source: the first version of You et al. 2020.
pub const MOST_NORM: f64 = 10.0;
/// `phase.schedule.warmup`: steps over which the rate rises from 0; all of them where there are fewer.
pub const WARMUP: u64 = 10;
/// `phase.schedule.decay`: how the rate falls after the warm-up.
pub const DECAY: Decay = Decay::Linear;
/// `phase.schedule.floor`: share of the peak rate that is left at the last step.
pub const FLOOR: f64 = 0.0;
/// `phase.clip`: the largest norm of all gradients together; 0 switches clipping off.
pub const CLIP: f64 = 1.0;
/// `phase.checkpoint-every`: steps between checkpoints.
pub const CHECKPOINT_EVERY: u64 = 50;
/// `phase.group.rate`: multiple of the phase's rate.
pub const GROUP_RATE: f64 = 1.0;
/// `eval.tasks`.
pub const TASKS: &[&str] = &["fidelity@1"];
/// `eval.questions`: a standard error of 2 to 3 points.
pub const QUESTIONS: usize = 400;

/// Lines generated beside the shipped training passages: about as many as those.
pub const GENERATED_LINES: usize = 2000;
/// The seed of those lines; theirs alone, so that they are the same text under every recipe.
pub const GENERATED_SEED: u64 = 1;

/// The seed of lines of the laboratory to train on; theirs alone, as above.
pub const LAB_SEED: u64 = 2;
/// The most lines of held-out rules to measure on.
pub const LAB_HELD_OUT: usize = 500;
/// The most lines of the laboratory.
pub const LAB_LIMIT: usize = 100_000_000;

/// What the layers of a model of another depth begin as.
pub const COPIES: tenfold_model::Copies = tenfold_model::Copies::Stack;

/// How many times a phase measures the updates of layers.
pub const GAUGE: u64 = 0;
/// The most times.
pub const GAUGE_LIMIT: u64 = 1000;

/// The longest recipe that is read, in bytes.
pub const RECIPE_LIMIT: u64 = 4 << 20;
/// The most bytes of text that are read as a whole: all but what a phase learns from.
pub const TEXT_LIMIT: u64 = 1 << 30;
/// The longest name, in characters: it becomes a folder's name.
pub const NAME_LIMIT: usize = 100;
/// The longest selector, in bytes.
pub const SELECTOR_LIMIT: usize = 1000;
/// The most steps of a phase.
pub const STEPS_LIMIT: u64 = 100_000_000;
/// The most examples of a batch, and the most training rows.
pub const EXAMPLES_LIMIT: u64 = 1 << 32;
/// The most tokens of a batch, or of calibration text.
pub const TOKENS_LIMIT: u64 = 1 << 32;
/// The largest share that `budget.parameters` may name: full-rank operators are larger than what they replace.
pub const BUDGET_LIMIT: f64 = 100.0;
/// Bytes of the untouched model's answers that are kept in memory between variants.
pub const TEACHER_BYTES: usize = 512 << 20;
