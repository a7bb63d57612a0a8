//! Shows how far a run is: a spinner on a terminal, lines elsewhere.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// The progress of one run, on standard error. The spinner vanishes when this value is dropped.
#[derive(Debug)]
pub struct Progress {
    begin: Instant,
    spinner: Option<ProgressBar>,
}

impl Progress {
    /// Shows a spinner if standard error is a terminal.
    pub fn new() -> Self {
        Self { begin: Instant::now(), spinner: spinner() }
    }

    /// Prints lines, without a spinner even on a terminal. For tests.
    pub fn plain() -> Self {
        Self { begin: Instant::now(), spinner: None }
    }

    /// Prints a line that stays, with the seconds since the run began.
    pub fn line(&self, text: &str) {
        let line = format!("{:>6.1} s  {text}", self.begin.elapsed().as_secs_f64());
        match &self.spinner {
            Some(spinner) => spinner.println(line),
            None => eprintln!("{line}"),
        }
    }

    /// Begins a step: the text of the spinner, or a line.
    pub fn step(&self, text: &str) {
        match &self.spinner {
            Some(spinner) => spinner.set_message(text.to_owned()),
            None => self.line(text),
        }
    }

    /// Sets the text of the spinner. Prints nothing without one, so that it may be called often.
    pub fn status(&self, text: impl FnOnce() -> String) {
        if let Some(spinner) = &self.spinner {
            spinner.set_message(text());
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }
}

/// Returns a spinner if standard error is a terminal.
fn spinner() -> Option<ProgressBar> {
    io::stderr().is_terminal().then(|| {
        let spinner = ProgressBar::new_spinner().with_style(ProgressStyle::default_spinner());
        spinner.enable_steady_tick(Duration::from_millis(100));
        spinner
    })
}
