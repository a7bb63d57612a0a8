//! The entries of a send queue and the system calls that write them.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};

use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::ws::frames::Frames;
use crate::ws::send_budget::{Charge, SendBudget};

/// The memory of an entry besides its bytes: a queue allocates up to twice the space it uses.
pub(crate) const ENTRY_BYTES: usize = 2 * size_of::<Entry>();
/// Entries that are written with one system call.
const MAX_GATHERED: usize = 64;
/// Entries for which an empty queue keeps space.
const MAX_SPARE: usize = 4;

/// Frames that wait for one client.
pub(super) struct QueuedFrames {
    entries: VecDeque<Entry>,
    /// The bytes of the first entry that are written.
    written_of_first: usize,
    /// The number of entries that are written or dropped.
    finished: u64,
    /// True while a control frame, or the rest of one, waits to be written before the next entry.
    pub(super) is_control_frame_next: bool,
    /// The memory of the entries.
    pub(super) bytes: usize,
    /// The part of the bytes that the budget does not count as shared frames.
    charge: Charge,
    /// When the client stopped accepting bytes, if it has accepted none since.
    stalled_since: Option<Instant>,
}

struct Entry {
    frames: Frames,
    charged: usize,
}

impl QueuedFrames {
    pub(super) fn new(send_budget: &SendBudget) -> Self {
        Self {
            entries: VecDeque::new(),
            written_of_first: 0,
            finished: 0,
            is_control_frame_next: false,
            bytes: 0,
            charge: send_budget.charge(),
            stalled_since: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the value of `finished` once all present entries are written.
    pub(super) fn end(&self) -> u64 {
        self.finished + self.entries.len() as u64
    }

    pub(super) fn is_stalled_since(&self, since: Instant) -> bool {
        self.stalled_since.is_some_and(|stalled_since| stalled_since <= since)
    }

    /// Returns true if the first entry is half written.
    pub(super) fn is_inside_entry(&self) -> bool {
        self.written_of_first > 0
    }

    /// Adds an entry, whose frames take this many bytes of the budget.
    pub(super) fn push(&mut self, frames: Frames, own_bytes: usize) {
        let charged = own_bytes + ENTRY_BYTES;
        self.bytes += frames.len() + ENTRY_BYTES;
        self.charge.add(charged);
        self.entries.push_back(Entry { frames, charged });
    }

    pub(super) fn pop_front(&mut self) -> Option<Frames> {
        let entry = self.entries.pop_front()?;
        self.finish(&entry);
        Some(entry.frames)
    }

    /// Drops all entries but one that is half written.
    pub(super) fn clear(&mut self) {
        let kept = usize::from(self.is_inside_entry());
        while self.entries.len() > kept
            && let Some(entry) = self.entries.pop_back()
        {
            self.finish(&entry);
        }
    }

    /// Writes entries without waiting. Fails with `WouldBlock` if the entries up to an
    /// [`end`](Self::end) are not all written.
    pub(super) fn write(&mut self, stream: &TcpStream, end: u64) -> io::Result<()> {
        while !self.entries.is_empty() {
            match self.write_once(stream) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(bytes) => self.note_written(bytes),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.stalled_since.get_or_insert_with(Instant::now);
                    return if self.finished < end { Err(error) } else { Ok(()) };
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write_once(&self, stream: &TcpStream) -> io::Result<usize> {
        if self.is_control_frame_next && !self.is_inside_entry() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut entries = self.entries.iter().map(|entry| &entry.frames.wire);
        let rest_of_first = entries.next().map_or(&[][..], |first| &first[self.written_of_first..]);
        if self.entries.len() == 1 || self.is_control_frame_next {
            return stream.try_write(rest_of_first);
        }
        let mut slices = [IoSlice::new(rest_of_first); MAX_GATHERED];
        let others = slices[1..].iter_mut().zip(entries);
        let count = 1 + others.map(|(slice, entry)| *slice = IoSlice::new(entry)).count();
        stream.try_write_vectored(&slices[..count])
    }

    fn note_written(&mut self, bytes: usize) {
        self.stalled_since = None;
        self.written_of_first += bytes;
        while let Some(first) = self.entries.front()
            && first.frames.len() <= self.written_of_first
        {
            self.written_of_first -= first.frames.len();
            self.pop_front();
        }
    }

    fn finish(&mut self, entry: &Entry) {
        self.bytes -= entry.frames.len() + ENTRY_BYTES;
        self.charge.remove(entry.charged);
        self.finished += 1;
        if self.entries.is_empty() && self.entries.capacity() > MAX_SPARE {
            // An idle connection keeps little memory.
            self.entries = VecDeque::new();
        }
    }
}
