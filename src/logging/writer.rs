//! The thread that writes the lines of the log.

use std::io::{ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::thread;

use crate::limits::{LOG_GATHER_PAUSE, LOG_LINES_QUEUED};

use super::form::Form;
use super::{Counters, DROPPED_LINES};

/// A finished line on its way to the writer.
pub(super) struct Line {
    pub(super) text: String,
    /// Lines that found no room just before this one.
    pub(super) dropped: u64,
}

/// Writes what comes out of the queue.
pub(super) struct Writer<W> {
    lines: Receiver<Line>,
    output: W,
    form: Form,
    counters: Arc<Counters>,
    batch: Batch,
}

/// Lines that are written together.
#[derive(Default)]
struct Batch {
    text: String,
    /// Where each line ends, and how many lines are lost with it.
    ends: Vec<(usize, u64)>,
}

impl<W: Write> Writer<W> {
    /// A writer of these lines.
    pub(super) fn new(
        lines: Receiver<Line>,
        output: W,
        form: Form,
        counters: Arc<Counters>,
    ) -> Self {
        Self { lines, output, form, counters, batch: Batch::default() }
    }

    /// Ends when the logger is dropped.
    pub(super) fn run(mut self) {
        while let Ok(first) = self.lines.recv() {
            // While this thread sleeps, further lines wake nobody: under load that is one
            // wake-up and one write for hundreds of lines.
            thread::sleep(LOG_GATHER_PAUSE);
            // One write for what has piled up, but not for a queue that never empties.
            let queued = std::iter::once(first).chain(self.lines.try_iter());
            queued.take(LOG_LINES_QUEUED).for_each(|line| self.batch.push(&self.form, &line));
            let count = self.batch.ends.len() as u64;
            let written = write_out(&mut self.output, self.batch.text.as_bytes());
            // Whoever read the log is gone, or its disk is full. The next line says so, if
            // there will be one.
            DROPPED_LINES.fetch_add(self.batch.count_beyond(written), Ordering::Relaxed);
            let lost = self.batch.forget(written);
            self.counters.dropped.fetch_add(lost, Ordering::AcqRel);
            self.counters.waiting.fetch_sub(count, Ordering::AcqRel);
        }
    }
}

impl Batch {
    fn push(&mut self, form: &Form, line: &Line) {
        form.append(&mut self.text, &line.text, line.dropped);
        self.ends.push((self.text.len(), line.dropped + 1));
    }

    /// How many of its lines are lost where so many bytes were written. Those that were lost
    /// before them are not counted again.
    fn count_beyond(&self, written: usize) -> u64 {
        self.ends.iter().filter(|(end, _)| *end > written).count() as u64
    }

    /// Forgets the batch, of which so many bytes were written, and counts the lines that were
    /// not. After half a line, the next batch begins with a line break.
    fn forget(&mut self, written: usize) -> u64 {
        let lost = self.ends.iter().filter(|(end, _)| *end > written).map(|(_, lines)| lines);
        let lost = lost.sum();
        let torn = written > 0 && !self.text[..written].ends_with('\n');
        self.ends.clear();
        self.text.clear();
        if torn {
            self.text.push('\n');
        }
        lost
    }
}

/// Writes as much as can be written, and says how much that was. An output that does not block,
/// as a terminal that is shared, has us wait as well as any other.
fn write_out(output: &mut impl Write, bytes: &[u8]) -> usize {
    let mut written = 0;
    while written < bytes.len() {
        match output.write(&bytes[written..]) {
            Ok(0) => break,
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(LOG_GATHER_PAUSE),
            Err(_) => break,
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::mpsc::sync_channel;

    use jiff::tz::TimeZone;

    /// Takes what the steps allow: so many bytes, or an error.
    struct Fitful {
        steps: Vec<Result<usize, ErrorKind>>,
        taken: Vec<u8>,
    }

    impl Write for &mut Fitful {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let most = match self.steps.pop() {
                Some(step) => step?,
                None => bytes.len(),
            };
            let count = most.min(bytes.len());
            self.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What three lines become, and how many are lost.
    fn written(steps: impl IntoIterator<Item = Result<usize, ErrorKind>>) -> (String, u64) {
        let mut steps: Vec<_> = steps.into_iter().collect();
        steps.reverse();
        let mut output = Fitful { steps, taken: Vec::new() };
        let counters = Arc::new(Counters::default());
        for text in ["one", "two", "three"] {
            let (queue, lines) = sync_channel(1);
            let dropped = counters.dropped.swap(0, Ordering::SeqCst);
            queue.send(Line { text: text.to_owned(), dropped }).unwrap();
            drop(queue);
            counters.waiting.fetch_add(1, Ordering::SeqCst);
            let form = Form::Plain(TimeZone::UTC);
            Writer::new(lines, &mut output, form, Arc::clone(&counters)).run();
        }
        let lost = counters.dropped.load(Ordering::SeqCst);
        (String::from_utf8(output.taken).unwrap(), lost)
    }

    #[test]
    fn an_output_that_does_not_block_loses_nothing() {
        let blocked = Err(ErrorKind::WouldBlock);
        let steps = [Ok(1), blocked, Ok(1), blocked, Err(ErrorKind::Interrupted), Ok(1), blocked];
        assert_eq!(written(steps), ("one\ntwo\nthree\n".to_owned(), 0));
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_in_the_next_that_can() {
        let steps = [Err(ErrorKind::StorageFull), Err(ErrorKind::StorageFull)];
        let text = "three (2 lines before this were dropped)\n";
        assert_eq!(written(steps), (text.to_owned(), 0));
    }

    #[test]
    fn half_a_line_is_ended_and_counts_as_lost() {
        let mut batch = Batch::default();
        let form = Form::Json;
        batch.push(&form, &Line { text: "{}".to_owned(), dropped: 3 });
        batch.push(&form, &Line { text: "{}".to_owned(), dropped: 0 });
        let first = batch.ends[0].0;
        assert_eq!([0, first, first + 1].map(|written| batch.count_beyond(written)), [2, 1, 1]);
        assert_eq!(batch.forget(first + 1), 1);
        batch.push(&form, &Line { text: "{}".to_owned(), dropped: 1 });
        assert_eq!(batch.text, "\n{\"a\":1}\n".replace("\"a\":1", ",\"dropped_lines\":1"));
        assert_eq!(batch.forget(0), 2);
    }
}
