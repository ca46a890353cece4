//! What the program shows while it works: progress bars on a terminal, plain lines elsewhere, on stderr; results go to
//! stdout.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tenfold_recipe::{Event, Flow, Stage};
use tenfold_train::Event as Training;

/// How often a bar redraws while nothing happens.
const TICK: Duration = Duration::from_millis(200);
/// Steps between the plain lines of a training phase.
const PLAIN_STEPS: u64 = 20;

/// Prints an error with its causes, each on a line of its own; `whose` stands before it.
pub(crate) fn print_error(whose: &str, error: &anyhow::Error) {
    let mut lines = vec![format!("{whose}error: {error}")];
    let mut last = error.to_string();
    for cause in error.chain().skip(1) {
        let text = cause.to_string();
        // Transparent errors repeat what they wrap.
        if text != last && !last.ends_with(&text) {
            lines.push(format!("  because: {text}"));
        }
        last = text;
    }
    line(&lines.join("\n"));
}

/// One line of plain text on stderr. A closed stderr is nobody's loss.
pub(crate) fn line(text: &str) {
    let _ = writeln!(stderr(), "{text}");
}

/// Results on stdout.
///
/// # Errors
/// When stdout cannot be written; a closed pipe is not an error.
pub(crate) fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Shows the events of runs, one bar at a time.
pub(crate) struct Screen {
    label: String,
    bar: Option<ProgressBar>,
    shown: Option<Stage>,
    terminal: bool,
    interrupted: Arc<AtomicBool>,
}

impl Screen {
    /// A screen that asks the work to stop once `interrupted` is set.
    pub(crate) fn new(interrupted: Arc<AtomicBool>) -> Self {
        Self { label: String::new(), bar: None, shown: None, terminal: stderr().is_terminal(), interrupted }
    }

    /// A word in front of every line, to tell variants apart.
    pub(crate) fn label(&mut self, label: &str) {
        self.label = if label.is_empty() { String::new() } else { format!("{label}: ") };
    }

    /// Shows an event; the answer says whether to go on.
    pub(crate) fn show(&mut self, event: &Event) -> Flow {
        match event {
            Event::Started { stage } => self.begin(*stage),
            Event::Progress { stage, item, done, total } => self.progress(*stage, item, *done, *total),
            Event::Training { stage, event } => self.training(*stage, event),
            Event::Watched { stage, step, loss } => self.watched(*stage, *step, *loss),
            Event::Finished { stage, seconds, before } => self.end(*stage, *seconds, *before),
            _ => {}
        }
        if self.interrupted.load(Ordering::Relaxed) { Flow::Stop } else { Flow::Continue }
    }

    fn begin(&mut self, stage: Stage) {
        self.clear();
        self.shown = Some(stage);
        if self.terminal {
            let bar = ProgressBar::new_spinner().with_style(spinner());
            bar.set_prefix(format!("{}{stage}", self.label));
            bar.enable_steady_tick(TICK);
            self.bar = Some(bar);
        }
    }

    fn progress(&mut self, stage: Stage, item: &str, done: u64, total: Option<u64>) {
        if self.shown != Some(stage) {
            self.begin(stage);
        }
        let Some(bar) = &self.bar else { return };
        if let Some(total) = total.filter(|total| bar.length() != Some(*total)) {
            bar.set_style(if stage == Stage::Fetch { bytes_bar() } else { count_bar() });
            bar.set_length(total);
        }
        bar.set_position(done);
        bar.set_message(item.to_owned());
    }

    fn training(&mut self, stage: Stage, event: &Training) {
        match event {
            Training::Started { done, steps, .. } => self.progress(stage, "", *done, Some(*steps)),
            Training::Step { step, loss, .. } => {
                if let Some(bar) = &self.bar {
                    bar.set_position(step + 1);
                    bar.set_message(format!("loss {loss:.4}"));
                } else if (step + 1) % PLAIN_STEPS == 0 {
                    line(&format!("{}{stage}: step {}, loss {loss:.4}", self.label, step + 1));
                }
            }
            _ => {}
        }
    }

    fn watched(&mut self, stage: Stage, step: u64, loss: f64) {
        let told = format!("{}{stage}: step {step}, held-out loss {loss:.4}", self.label);
        match &self.bar {
            Some(bar) => bar.println(told),
            None => line(&told),
        }
    }

    fn end(&mut self, stage: Stage, seconds: f64, before: bool) {
        self.clear();
        let when = if before { "done before".to_owned() } else { format!("{seconds:.1} s") };
        line(&format!("{}{stage}: {when}", self.label));
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        self.shown = None;
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants of this file; a bad one would only cost its looks.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}

fn spinner() -> ProgressStyle {
    style("{prefix} {spinner} {msg}")
}

fn count_bar() -> ProgressStyle {
    style("{prefix} {bar:30} {pos}/{len}  {per_sec}  {eta} left  {msg}")
}

fn bytes_bar() -> ProgressStyle {
    style("{prefix} {bar:30} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left  {msg}")
}
