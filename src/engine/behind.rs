//! R of a stage: of its outputs, of what links among them lead to, and of the R of each stage that it needs.

use std::io;
use std::path::Path;

use walkdir::WalkDir;

use super::memory::Memory;
use crate::base::digest::Hash;
use crate::cache::fingerprint::list;
use crate::cache::outputs::result_hash;
use crate::model::stage::StageId;
use crate::store::result::{Output, OutputKind};

impl Memory<'_> {
    /// Returns R of a stage with these outputs; `None` where a part of it cannot be known.
    pub(super) fn result_of(&self, id: StageId, outputs: &[Output]) -> Option<Hash> {
        let needs = self.needed(id).ok()?;
        let result = result_hash(outputs, needs.iter().map(|(name, result)| (name.as_str(), *result)));
        let mut behind = Vec::new();
        for output in outputs {
            if let OutputKind::Link { target } = &output.kind
                && let Some(hash) = self.behind(id, &output.path, target).ok()?
            {
                behind.extend([output.path.clone().into_bytes(), hash.0.to_vec()]);
            }
        }
        if behind.is_empty() {
            return Some(result);
        }
        Some(Hash::of(&list([result.0.as_slice()].into_iter().chain(behind.iter().map(Vec::as_slice)))))
    }

    /// Returns what a link that is an output leads to, as whoever reads through it sees it: nothing is stored of that. `None` where it leads
    /// to another output of the same stage, which counts already.
    fn behind(&self, id: StageId, path: &str, target: &str) -> io::Result<Option<Hash>> {
        let root = &self.checkout.root;
        let link = root.join(path);
        let Ok(real) = link.parent().unwrap_or(root).join(target).canonicalize() else { return Ok(Some(Hash::of(b"nothing"))) };
        let is_output = |path: &Path| self.plan.pipeline.stage(id).outputs.iter().any(|glob| glob.matches(path));
        if real.strip_prefix(root).is_ok_and(is_output) {
            return Ok(None);
        }
        let mut parts: Vec<Vec<u8>> = Vec::new();
        for entry in WalkDir::new(&real).sort_by_file_name() {
            let entry = entry?;
            let name = entry.path().strip_prefix(&real).unwrap_or(entry.path());
            parts.push(name.as_os_str().as_encoded_bytes().to_vec());
            let kind = entry.file_type();
            if kind.is_file() {
                let content = self.checkout.files.content(entry.path())?;
                parts.push([if content.executable { &b"x"[..] } else { b"f" }, &content.digest.hash.0].concat());
            } else if kind.is_symlink() {
                parts.push(std::fs::read_link(entry.path())?.into_os_string().into_encoded_bytes());
            } else {
                parts.push(Vec::new());
            }
        }
        Ok(Some(Hash::of(&list(parts.iter().map(Vec::as_slice)))))
    }
}
