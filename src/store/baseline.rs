//! What the metrics of each stage were when it passed last.
//!
//! Knows names and numbers. These notes lie beside the results, so that a store that is carried from one machine to the next carries them,
//! too. They are no results: where they are missing or damaged, there is nothing to compare with.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use super::local::{Area, Store};
use crate::base::digest::Hash;

/// The first line of a file of measures, with the version of its format. Behind it stand a digest of the rest, and then a line for each
/// metric: its hash and its value.
const HEAD: &str = "shipway measures 1";

/// Measures by what identifies their metric.
pub type Measures = BTreeMap<Hash, f64>;

impl Store {
    /// Notes what was measured when the stage passed. `stage` is whatever tells this stage from all others of all projects.
    ///
    /// # Errors
    /// What the file system says; where the store is open for reading only.
    pub fn set_baseline(&self, stage: &str, measures: &Measures) -> io::Result<()> {
        let path = self.baseline_place(stage);
        self.expect_writable()?;
        if read(&path).as_ref() == Some(measures) {
            if let Ok(metadata) = path.symlink_metadata() {
                self.touch_file(&path, &metadata);
            }
            return Ok(());
        }
        let lines: Vec<String> = measures.iter().map(|(metric, value)| format!("{metric} {value:?}\n")).collect();
        let body = lines.concat();
        self.write(&path, format!("{HEAD}\n{}\n{body}", Hash::of(body.as_bytes())).as_bytes())
    }

    /// Returns what was measured when the stage passed last; nothing where that is not known.
    pub fn baseline(&self, stage: &str) -> Measures {
        read(&self.baseline_place(stage)).unwrap_or_default()
    }

    fn baseline_place(&self, stage: &str) -> PathBuf {
        self.place(Area::Stages, &Hash::of(format!("measures\n{stage}").as_bytes()))
    }
}

fn read(path: &std::path::Path) -> Option<Measures> {
    let text = std::fs::read_to_string(path).ok()?;
    let (digest, body) = text.strip_prefix(HEAD)?.strip_prefix('\n')?.split_once('\n')?;
    if Hash::parse(digest)? != Hash::of(body.as_bytes()) {
        return None;
    }
    body.lines()
        .map(|line| {
            let (metric, value) = line.split_once(' ')?;
            Some((Hash::parse(metric)?, value.parse().ok().filter(|value: &f64| value.is_finite())?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_are_kept_and_damage_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert!(store.baseline("a").is_empty());
        let measures = |value| Measures::from([(Hash::of(b"one"), value), (Hash::of(b"two"), -0.1)]);
        store.set_baseline("a", &measures(1e300)).unwrap();
        store.set_baseline("a", &measures(0.1 + 0.2)).unwrap();
        store.set_baseline("a", &measures(0.1 + 0.2)).unwrap();
        assert_eq!(store.baseline("a"), measures(0.1 + 0.2));
        assert!(store.baseline("b").is_empty());
        let path = store.baseline_place("a");
        let whole = std::fs::read_to_string(&path).unwrap();
        for damage in [String::new(), whole.replace("0.3", "0.9"), whole[..whole.len() - 1].to_owned(), whole.replace('1', "2")] {
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, &damage).unwrap();
            assert!(store.baseline("a").is_empty(), "{damage:?}");
        }
        store.set_baseline("a", &measures(3.0)).unwrap();
        let reader = Store::open_read_only(folder.path()).unwrap();
        assert_eq!(reader.baseline("a"), measures(3.0));
        assert!(reader.set_baseline("a", &measures(3.0)).is_err());
    }
}
