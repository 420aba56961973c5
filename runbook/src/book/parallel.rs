//! Does the same to many chapters on all processors: a book of a thousand chapters is read as a page is turned.

use std::num::NonZero;
use std::thread;

/// How many threads at most.
const THREADS_MAX: usize = 8;

/// From how many items a thread pays for itself.
const ITEMS_MIN: usize = 8;

/// The results in the order of the items.
pub(super) fn map<T: Send, R: Send>(items: Vec<T>, each: impl Fn(T) -> R + Sync) -> Vec<R> {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = processors
        .min(THREADS_MAX)
        .min(items.len() / ITEMS_MIN)
        .max(1);
    if threads == 1 {
        return items.into_iter().map(each).collect();
    }
    let size = items.len().div_ceil(threads);
    let mut chunks: Vec<Vec<T>> = Vec::with_capacity(threads);
    let mut items = items.into_iter();
    loop {
        let chunk: Vec<T> = items.by_ref().take(size).collect();
        if chunk.is_empty() {
            break;
        }
        chunks.push(chunk);
    }
    let each = &each;
    let mut chunks = chunks.into_iter();
    // The first chunk is for this thread: it would only wait, and a thread's memory grows page by page.
    let first = chunks.next().unwrap_or_default();
    thread::scope(|scope| {
        let running: Vec<_> = chunks
            .map(|chunk| scope.spawn(move || chunk.into_iter().map(each).collect::<Vec<R>>()))
            .collect();
        let mut results: Vec<R> = first.into_iter().map(each).collect();
        for thread in running {
            results.extend(
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            );
        }
        results
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn results_keep_their_order() {
        let items: Vec<usize> = (0..1000).collect();
        assert_eq!(super::map(items.clone(), |item| item), items);
        assert_eq!(
            super::map(Vec::<usize>::new(), |item| item),
            Vec::<usize>::new()
        );
    }
}
