//! Shell: a large JSON text in parts that several threads write at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::ahead;
use crate::master::task::Task;
use crate::proto::json::writer::Writer;

/// Entries of a list that one thread writes at a time.
const BLOCK: usize = 512;

/// Threads that write one text at most.
const THREADS_MAX: usize = 8;

/// A text that is being put together: what is in between is written at once, lists later.
#[derive(Default)]
pub(super) struct Parts<'a> {
    done: Vec<Part<'a>>,
    text: Writer,
}

enum Part<'a> {
    Text(Vec<u8>),
    Later(Box<dyn Fn(&mut Writer) + Send + Sync + 'a>),
}

impl<'a> Parts<'a> {
    /// The text at the present place.
    pub(super) fn text(&mut self) -> &mut Writer {
        &mut self.text
    }

    /// A list, as the value that comes next.
    pub(super) fn list<T: Sync + ?Sized>(
        &mut self,
        items: Vec<&'a T>,
        write: impl Fn(&mut Writer, &'a T) + Clone + Send + Sync + 'a,
    ) {
        self.values(items, move |w, item| write(w, *item));
    }

    /// A list of tasks, as the value that comes next.
    pub(super) fn tasks(
        &mut self,
        items: Vec<&'a Task>,
        write: impl Fn(&mut Writer, &'a Task) + Clone + Send + Sync + 'a,
    ) {
        self.fetched(items, ahead::tasks, move |w, &item| write(w, item));
    }

    /// A list of plain values, as the value that comes next.
    pub(super) fn values<T: Clone + Send + Sync + 'a>(
        &mut self,
        items: Vec<T>,
        write: impl Fn(&mut Writer, &T) + Clone + Send + Sync + 'a,
    ) {
        self.fetched(items, ahead::nothing, write);
    }

    /// A list whose entries are fetched some at a time before they are written.
    fn fetched<T: Clone + Send + Sync + 'a>(
        &mut self,
        items: Vec<T>,
        fetch: impl Fn(&[T]) + Copy + Send + Sync + 'a,
        write: impl Fn(&mut Writer, &T) + Clone + Send + Sync + 'a,
    ) {
        self.text.open_list();
        if items.len() <= BLOCK / 16 {
            for item in &items {
                self.text.item();
                write(&mut self.text, item);
            }
            self.text.close_list();
            return;
        }
        let text = std::mem::take(&mut self.text);
        self.done.push(Part::Text(text.finish()));
        for (at, block) in items.chunks(BLOCK).enumerate() {
            let (block, write) = (block.to_vec(), write.clone());
            self.done.push(Part::Later(Box::new(move |w| {
                let mut begun = at > 0;
                for turn in block.chunks(ahead::TURN) {
                    fetch(turn);
                    for item in turn {
                        if std::mem::replace(&mut begun, true) {
                            w.raw(",");
                        }
                        write(w, item);
                    }
                }
            })));
        }
        self.text.close_list();
    }

    /// Writes all that is left and gives the whole text.
    pub(super) fn finish(mut self) -> Segments {
        self.done.push(Part::Text(self.text.finish()));
        let parts: Vec<Mutex<Part<'a>>> = self.done.into_iter().map(Mutex::new).collect();
        let expected = Expected::default();
        let pieces = by_threads(parts.len(), |at| {
            let mut part = parts[at].lock().unwrap_or_else(PoisonError::into_inner);
            match &mut *part {
                Part::Text(text) => Bytes::from(std::mem::take(text)),
                Part::Later(write) => {
                    let mut writer = Writer::with_capacity(expected.size());
                    write(&mut writer);
                    let text = writer.finish();
                    expected.saw(text.len());
                    Bytes::from(text)
                }
            }
        });
        Segments::from_iter(pieces)
    }
}

/// About how large the next of many blocks will be: a text that need not grow is not copied.
#[derive(Debug, Default)]
pub(super) struct Expected(AtomicUsize);

impl Expected {
    /// Bytes to make room for.
    pub(super) fn size(&self) -> usize {
        let last = self.0.load(Ordering::Relaxed);
        last + last / 16
    }

    /// A block had this size.
    pub(super) fn saw(&self, size: usize) {
        self.0.store(size, Ordering::Relaxed);
    }
}

/// `work(0)` to `work(count - 1)`, by several threads; the results come in order.
pub(super) fn by_threads<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = threads.min(THREADS_MAX).min(count);
    if threads <= 1 {
        return (0..count).map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                return done;
            }
            done.push((at, work(at)));
        }
    };
    let mut all: Vec<(usize, T)> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(worker)).collect();
        let mut all = worker();
        for other in others {
            match other.join() {
                Ok(done) => all.extend(done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });
    all.sort_unstable_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, result)| result).collect()
}

/// A text in several pieces.
#[derive(Debug, Default)]
pub(super) struct Segments {
    pieces: Vec<Bytes>,
    length: usize,
}

impl Segments {
    /// The length of the whole.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// The pieces in order.
    pub(super) fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// More pieces behind these.
    pub(super) fn append(&mut self, more: Self) {
        self.length += more.length;
        self.pieces.extend(more.pieces);
    }
}

impl FromIterator<Bytes> for Segments {
    fn from_iter<I: IntoIterator<Item = Bytes>>(pieces: I) -> Self {
        let pieces = pieces.into_iter().filter(|piece| !piece.is_empty());
        let pieces: Vec<Bytes> = pieces.collect();
        let length = pieces.iter().map(Bytes::len).sum();
        Self { pieces, length }
    }
}

impl From<Vec<u8>> for Segments {
    fn from(whole: Vec<u8>) -> Self {
        Self::from_iter([Bytes::from(whole)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_make_one_text() {
        let numbers: Vec<u64> = (0..2_000).collect();
        for count in [0, 1, 31, 32, 33, 511, 512, 513, 2_000] {
            let mut parts = Parts::default();
            parts.text().open();
            parts.text().key("\"a\":");
            let some: Vec<&u64> = numbers[..count].iter().collect();
            parts.list(some, |w, number| w.uint64(*number));
            parts.text().key("\"b\":");
            parts.text().bool(true);
            parts.text().close();
            let text = parts.finish();
            let length = text.len();
            let text = text.pieces().concat();
            let wanted: Vec<String> = (0..count).map(|number| number.to_string()).collect();
            let wanted = format!("{{\"a\":[{}],\"b\":true}}", wanted.join(","));
            assert_eq!(String::from_utf8_lossy(&text), wanted);
            assert_eq!(length, wanted.len());
        }
    }

    #[test]
    fn results_come_in_order() {
        let squares = by_threads(1000, |at| at * at);
        assert!(
            squares
                .iter()
                .enumerate()
                .all(|(at, square)| *square == at * at)
        );
    }
}
