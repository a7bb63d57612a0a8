//! Shows a person how far a run is: a spinner on a terminal, a line for each step elsewhere.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use parlance_devstack::spinner;
use tokio::time::sleep;

use crate::clients::Progress;

const REFRESH: Duration = Duration::from_millis(200);

/// The display of one run.
#[derive(Debug)]
pub(crate) struct Display {
    begin: Instant,
    spinner: Option<ProgressBar>,
}

impl Display {
    pub(crate) fn new() -> Self {
        Self { begin: Instant::now(), spinner: spinner() }
    }

    /// Tells in lines, as if nobody watched; the output of a test is shown when it fails.
    #[cfg(test)]
    pub(crate) fn in_lines() -> Self {
        Self { begin: Instant::now(), spinner: None }
    }

    /// Begins a step.
    pub(crate) fn step(&self, text: &str) {
        let line = format!("{:>5.1} s  {text}", self.begin.elapsed().as_secs_f64());
        match &self.spinner {
            Some(spinner) => spinner.println(line),
            None => eprintln!("{line}"),
        }
    }

    /// Lets time pass and shows what the clients do.
    pub(crate) async fn watch(&self, duration: Duration, progress: &Progress) {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            if let Some(spinner) = &self.spinner {
                let acked = progress.acked.load(Ordering::Relaxed);
                let delivered = progress.delivered.load(Ordering::Relaxed);
                spinner.set_message(format!(
                    "{acked} messages acknowledged, {delivered} events delivered"
                ));
            }
            sleep(REFRESH.min(end.saturating_duration_since(Instant::now()))).await;
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }
}
