//! The one thread that starts child processes. The kernel tells a child of its parent's death when
//! the *thread* that started it ends; this one ends with the process and not before.

use std::io::{self, Write};
use std::process::{Child, Command};
use std::sync::LazyLock;
use std::thread;

use anyhow::anyhow;
use tokio::sync::{mpsc, oneshot};

/// A command, what it reads on its standard input, and who waits for the child.
type Job = (Command, Vec<u8>, oneshot::Sender<io::Result<Child>>);

static JOBS: LazyLock<mpsc::Sender<Job>> = LazyLock::new(|| {
    let (sender, mut jobs) = mpsc::channel::<Job>(16);
    thread::spawn(move || {
        while let Some((mut command, input, answer)) = jobs.blocking_recv() {
            if let Err(Ok(mut unwanted)) = answer.send(start(&mut command, &input)) {
                let _ = unwanted.kill();
                let _ = unwanted.wait();
            }
        }
    });
    sender
});

/// Starts the command and writes `input`, which must be short, to its standard input if that is a
/// pipe.
pub(crate) async fn spawn(command: Command, input: Vec<u8>) -> anyhow::Result<Child> {
    let (sender, answer) = oneshot::channel();
    let ended = || anyhow!("the thread that starts processes has ended");
    JOBS.send((command, input, sender)).await.map_err(|_| ended())?;
    Ok(answer.await.map_err(|_| ended())??)
}

fn start(command: &mut Command, input: &[u8]) -> io::Result<Child> {
    let mut child = command.spawn()?;
    if let Some(mut pipe) = child.stdin.take() {
        // A child that ended at once reads nothing; its exit says more than a broken pipe.
        let _ = pipe.write_all(input);
    }
    Ok(child)
}
