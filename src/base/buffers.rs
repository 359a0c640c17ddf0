//! Memory for what steps print, used again and again: fresh memory costs as much as to fill it.

use std::sync::{Mutex, PoisonError};

/// Smaller ones are not worth it, in bytes.
const LEAST: usize = 64 * 1024;

/// How many are kept at most.
const MOST: usize = 40;

static FREE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// Returns an empty buffer with room for so many bytes.
pub fn take(room: usize) -> Vec<u8> {
    let used = (room >= LEAST).then(|| FREE.lock().unwrap_or_else(PoisonError::into_inner).pop()).flatten();
    used.filter(|buffer| buffer.capacity() >= room).unwrap_or_else(|| Vec::with_capacity(room))
}

/// Takes back a buffer that is of no use any more.
pub fn give(mut buffer: Vec<u8>) {
    if buffer.capacity() < LEAST {
        return;
    }
    buffer.clear();
    let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    if free.len() < MOST {
        free.push(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_empty_and_has_room() {
        for room in [1, LEAST, 2 * LEAST] {
            give(vec![1; LEAST]);
            let buffer = take(room);
            assert!(buffer.is_empty() && buffer.capacity() >= room);
        }
    }
}
