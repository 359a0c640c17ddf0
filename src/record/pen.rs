//! Writes pieces to a file, in their order: at once at first, and on a thread of its own as soon as there is much, so that whoever has them
//! does not wait for the file.

use std::fs::File;
use std::io::{self, Write};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};

/// From how much on a thread is worth it, in bytes.
const MUCH: usize = 1 << 20;

/// How many pieces may wait for the file: whoever is faster waits with them.
const WAITING: usize = 4;

/// A file that is written from its beginning to its end.
#[derive(Debug)]
pub(super) struct Pen {
    file: File,
    written: usize,
    helper: Option<Helper>,
}

/// The thread that writes.
#[derive(Debug)]
struct Helper {
    pieces: Sender<Vec<u8>>,
    /// Pieces that are written: their memory is used again.
    empty: Receiver<Vec<u8>>,
    thread: JoinHandle<io::Result<()>>,
}

impl Pen {
    /// Writes to `file`.
    pub(super) fn new(file: File) -> Self {
        Self { file, written: 0, helper: None }
    }

    /// Writes the piece, sooner or later, and leaves an empty one.
    ///
    /// # Errors
    /// Where it, or one before it, cannot be written.
    pub(super) fn write(&mut self, piece: &mut Vec<u8>) -> io::Result<()> {
        if let Some(helper) = &self.helper {
            let full = std::mem::replace(piece, helper.empty.try_recv().unwrap_or_default());
            // The thread ends before only where it could not write.
            return if helper.pieces.send(full).is_ok() { Ok(()) } else { self.finish() };
        }
        self.file.write_all(piece)?;
        self.written += piece.len();
        piece.clear();
        if self.written >= MUCH {
            // Without a thread it goes on as before.
            self.helper = self.file.try_clone().and_then(Helper::start).ok();
            self.written = 0;
        }
        Ok(())
    }

    /// Waits until all is written.
    ///
    /// # Errors
    /// Where something could not be.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let Some(Helper { pieces, empty, thread }) = self.helper.take() else { return Ok(()) };
        drop((pieces, empty));
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that writes it failed")))
    }
}

impl Drop for Pen {
    fn drop(&mut self) {
        // Whoever wants to know has asked.
        let _unheard = self.finish();
    }
}

impl Helper {
    fn start(mut file: File) -> io::Result<Self> {
        let (pieces, waiting) = bounded::<Vec<u8>>(WAITING);
        let (written, empty) = bounded(WAITING);
        let write = move || {
            for mut piece in waiting {
                file.write_all(&piece)?;
                piece.clear();
                // More are there than are of use.
                let _surplus = written.try_send(piece);
            }
            Ok(())
        };
        Ok(Self { pieces, empty, thread: thread::Builder::new().name("record".to_owned()).spawn(write)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_pieces_keep_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record");
        let mut pen = Pen::new(File::create(&path).unwrap());
        let mut whole = Vec::new();
        for number in 0..200_u32 {
            let mut piece: Vec<u8> = number.to_le_bytes().iter().copied().cycle().take(20_000 + number as usize).collect();
            whole.extend_from_slice(&piece);
            pen.write(&mut piece).unwrap();
            assert!(piece.is_empty());
        }
        assert!(pen.helper.is_some());
        pen.finish().unwrap();
        assert!(std::fs::read(&path).unwrap() == whole);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_told_of() {
        let Ok(full) = File::options().write(true).open("/dev/full") else { return };
        let mut pen = Pen::new(full);
        assert!(pen.write(&mut vec![b'x'; 10]).is_err());
        pen.helper = Some(Helper::start(pen.file.try_clone().unwrap()).unwrap());
        let told = (0..100).find_map(|_| pen.write(&mut vec![b'x'; 10]).err()).or_else(|| pen.finish().err());
        assert_eq!(told.unwrap().kind(), io::ErrorKind::StorageFull);
    }
}
