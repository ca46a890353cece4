//! `tenfold inspect`: a model as a tree with forms and sizes, or the contents of a weights file.

mod spectrum;

use super::{Verdict, print_json};
use crate::cli;
use crate::table::{Table, bytes, count};
use crate::{model, screen};
use anyhow::Result;
use serde::Serialize;
use spectrum::{SHARES, Spectrum};
use std::path::Path as FilePath;
use tenfold_format::checkpoint::Checkpoint;
use tenfold_format::gguf::Gguf;
use tenfold_format::llama2c::Llama2c;
use tenfold_format::sniff::{self, FileKind};
use tenfold_linalg::parallel;
use tenfold_model::Model;
use tenfold_weight::{Form, Path};

/// Metadata entries of a GGUF file that are shown in the table.
const SHOWN_METADATA: usize = 24;
/// Characters of a metadata value that are shown.
const SHOWN_VALUE: usize = 60;

/// Everything that is shown of a model or file.
#[derive(Serialize)]
struct View {
    source: String,
    kind: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    metadata: Vec<(String, String)>,
    weights: Vec<Weight>,
    parameters: usize,
    bytes: usize,
}

#[derive(Serialize)]
struct Weight {
    path: String,
    form: String,
    shape: Vec<usize>,
    parameters: usize,
    bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    macs_per_row: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spectrum: Option<Spectrum>,
    /// The first entry that is NaN or infinite, row-major.
    #[serde(skip_serializing_if = "Option::is_none")]
    non_finite_at: Option<usize>,
}

/// Shows a source.
///
/// # Errors
/// Sources that cannot be reached and files that are not what they claim to be.
pub(crate) fn run(args: &cli::Inspect) -> Result<Verdict> {
    let fetched = model::fetch(&args.source, &args.fetching)?;
    let view = match &fetched.file {
        Some(file) => match sniff::kind(file)? {
            FileKind::Gguf => of_gguf(file)?,
            FileKind::Llama2c => of_llama2c(file)?,
            _ => of_checkpoint(file)?,
        },
        None => of_model(&fetched.dir, &fetched.origin, args.spectra)?,
    };
    if args.output.json {
        print_json(&view)?;
    } else {
        screen::print(&text(&view))?;
    }
    Ok(Verdict::Done)
}

fn of_model(dir: &FilePath, origin: &str, spectra: bool) -> Result<View> {
    let model = Model::load(dir)?;
    let tree = &model.tree;
    let forms: Vec<(&Path, &Form)> = tree.iter().collect();
    let work = |(_, form): &(&Path, &Form)| form.shape().iter().product::<usize>() as u64;
    let found = if spectra {
        parallel::map(&forms, work, |(path, form)| spectrum::of(tree, path, form))
    } else {
        forms.iter().map(|_| Ok(None)).collect()
    };
    let weights = forms.iter().zip(found).map(|((path, form), spectrum)| {
        let cost = form.cost();
        Ok(Weight {
            path: path.to_string(),
            form: form.describe(),
            shape: form.shape(),
            parameters: cost.parameters,
            bytes: cost.bytes,
            macs_per_row: (form.shape().len() == 2).then_some(cost.macs_per_row),
            spectrum: spectrum?,
            non_finite_at: None,
        })
    });
    let weights = weights.collect::<Result<_>>()?;
    let (parameters, bytes) = (tree.parameters(), tree.bytes());
    Ok(View { source: origin.to_owned(), kind: "model", metadata: Vec::new(), weights, parameters, bytes })
}

fn of_checkpoint(file: &FilePath) -> Result<View> {
    let checkpoint = Checkpoint::open(file)?;
    let weights = checkpoint.tensors().map(|info| {
        Ok(Weight {
            path: info.name.clone(),
            form: format!("{:?}", info.dtype).to_lowercase(),
            shape: info.shape.clone(),
            parameters: info.elements(),
            bytes: info.bytes,
            macs_per_row: None,
            spectrum: None,
            non_finite_at: checkpoint.non_finite(&info.name)?,
        })
    });
    let weights: Vec<Weight> = weights.collect::<Result<_>>()?;
    let metadata = checkpoint.metadata().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    Ok(total(file, "safetensors", metadata, weights))
}

fn of_llama2c(file: &FilePath) -> Result<View> {
    let model = Llama2c::open(file)?;
    let weights = model.tensors().map(|(name, shape)| {
        let (form, bytes) = model.stored(name).unwrap_or_default();
        let values = model.read_f32(name)?;
        Ok(Weight {
            path: name.to_owned(),
            form: form.to_owned(),
            shape: shape.to_vec(),
            parameters: values.len(),
            bytes,
            macs_per_row: None,
            spectrum: None,
            non_finite_at: values.iter().position(|value| !value.is_finite()),
        })
    });
    let weights: Vec<Weight> = weights.collect::<Result<_>>()?;
    Ok(total(file, "llama2.c", Vec::new(), weights))
}

fn of_gguf(file: &FilePath) -> Result<View> {
    let gguf = Gguf::open(file)?;
    let weights = gguf.tensors.iter().map(|info| {
        let shape: Vec<usize> = info.shape.iter().map(|size| *size as usize).collect();
        Weight {
            path: info.name.clone(),
            form: info.type_name.map_or_else(|| format!("type {}", info.type_id), str::to_lowercase),
            parameters: shape.iter().product(),
            shape,
            bytes: info.bytes.unwrap_or(0) as usize,
            macs_per_row: None,
            spectrum: None,
            non_finite_at: None,
        }
    });
    let metadata =
        gguf.metadata.iter().map(|(key, value)| (key.clone(), short(&format!("{value:?}")))).collect();
    Ok(total(file, "gguf", metadata, weights.collect()))
}

fn total(file: &FilePath, kind: &'static str, metadata: Vec<(String, String)>, weights: Vec<Weight>) -> View {
    View {
        source: format!("path:{}", file.display()),
        kind,
        metadata,
        parameters: weights.iter().map(|weight| weight.parameters).sum(),
        bytes: weights.iter().map(|weight| weight.bytes).sum(),
        weights,
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN_VALUE) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn text(view: &View) -> String {
    let mut out = String::new();
    if !view.metadata.is_empty() {
        let mut table = Table::new(&["metadata", "value"]);
        for (key, value) in view.metadata.iter().take(SHOWN_METADATA) {
            table.row([key.clone(), short(value)]);
        }
        out += &table.render();
        let more = view.metadata.len().saturating_sub(SHOWN_METADATA);
        out += &if more > 0 { format!("and {more} more entries\n\n") } else { "\n".to_owned() };
    }
    let spectra = view.weights.iter().any(|weight| weight.spectrum.is_some());
    let mut columns: Vec<String> = ["weight", "form", "shape", ">parameters"].map(str::to_owned).to_vec();
    if spectra {
        columns
            .extend([">stable rank", ">entropy", ">rank for 99 %", ">entropy per bond"].map(str::to_owned));
        columns.extend(SHARES.map(|share| format!(">lost at {:.0} %", 100.0 * share)));
    } else {
        columns.push(">bytes".to_owned());
    }
    let mut table = Table::new(&columns.iter().map(String::as_str).collect::<Vec<_>>());
    // Vectors have no spectrum; among many matrices they would only be in the way.
    for weight in view.weights.iter().filter(|weight| !spectra || weight.spectrum.is_some()) {
        let shape: Vec<String> = weight.shape.iter().map(usize::to_string).collect();
        let mut cells =
            vec![weight.path.clone(), weight.form.clone(), shape.join(" x "), count(weight.parameters)];
        match &weight.spectrum {
            Some(spectrum) => cells.extend(spectrum_cells(spectrum)),
            None => cells.push(bytes(weight.bytes)),
        }
        table.row(cells);
    }
    out += &table.render();
    let damaged = view.weights.iter().filter_map(|weight| Some((&weight.path, weight.non_finite_at?)));
    for (path, index) in damaged {
        out += &format!("warning: {path} is not finite at index {index}\n");
    }
    if spectra {
        out += "entropy per bond: of the five-core operator; lost: relative error of low rank / published operator of that size\n";
    }
    let (weights, parameters) = (view.weights.len(), count(view.parameters));
    out + &format!(
        "\n{} ({}): {weights} weights, {parameters} parameters, {}\n",
        view.source,
        view.kind,
        bytes(view.bytes)
    )
}

fn spectrum_cells(spectrum: &Spectrum) -> Vec<String> {
    let bonds: Vec<String> = spectrum.bond_entropy.iter().map(|bond| format!("{bond:.1}")).collect();
    let mut cells = vec![
        format!("{:.1}", spectrum.stable_rank),
        format!("{:.2}", spectrum.entropy),
        format!("{} of {}", spectrum.rank_99, spectrum.full_rank),
        bonds.join(" "),
    ];
    cells.extend(spectrum.losses.iter().map(|loss| {
        let mpo = loss.mpo.map_or("–".to_owned(), |mpo| format!("{mpo:.2}"));
        format!("{:.2} / {mpo}", loss.low_rank)
    }));
    cells
}
