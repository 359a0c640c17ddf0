//! The bytes of a record: a REAPI `ActionResult` that any cache server can hold, with shipway's own facts in its auxiliary metadata.
//!
//! Knows how a result becomes bytes, and doubts bytes on the way back; knows nothing of where they are kept.

use std::collections::HashSet;

use prost::Message as _;

use super::reapi::{self, ActionResult, Any, ExecutedActionMetadata, OutputDirectory, OutputFile, OutputSymlink};
use super::result::{Output, OutputKind, RecordError, StageResult, ancestors, check_path};
use super::tree;
use crate::base::digest::{Digest, Hash};
use crate::base::stamp::is_executable;

/// The version of the format that is written, and the only one that is read.
const VERSION: u32 = 2;

/// The type of shipway's own part of a record.
const TYPE_URL: &str = "type.googleapis.com/shipway.v1.Record";

/// What shipway knows of a result besides what REAPI has fields for.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Facts {
    #[prost(uint32, tag = "1")]
    version: u32,
    /// The SHA-256 of the whole record while this field is empty.
    #[prost(bytes = "vec", tag = "2")]
    self_digest: Vec<u8>,
    #[prost(message, optional, tag = "3")]
    fingerprint: Option<reapi::Digest>,
    #[prost(message, optional, tag = "4")]
    log: Option<reapi::Digest>,
    #[prost(string, optional, tag = "5")]
    bound_to: Option<String>,
    #[prost(uint64, tag = "6")]
    duration_ms: u64,
}

impl StageResult {
    /// Returns the bytes of the record, and the blobs of trees that it names. Equal results give equal bytes.
    pub fn encode(&self) -> (Vec<u8>, Vec<(Digest, Vec<u8>)>) {
        let mut message = ActionResult::default();
        let folded = tree::fold(&self.outputs);
        for output in folded.loose {
            let path = output.path.clone();
            match &output.kind {
                OutputKind::File { digest, mode, modified } => {
                    let (is_executable, node_properties) = (is_executable(*mode), Some(tree::properties(*mode, *modified)));
                    message.output_files.push(OutputFile { path, digest: Some((*digest).into()), is_executable, node_properties });
                }
                OutputKind::Link { target } => message.output_symlinks.push(OutputSymlink { path, target: target.clone() }),
                OutputKind::Folder => {}
            }
        }
        let mut trees = Vec::new();
        for (path, bytes) in folded.trees {
            let digest = Digest::of(&bytes);
            message.output_directories.push(OutputDirectory { path: path.to_owned(), tree_digest: Some(digest.into()) });
            trees.push((digest, bytes));
        }
        let facts = Facts {
            version: VERSION,
            self_digest: Vec::new(),
            fingerprint: Some(self.fingerprint.into()),
            log: self.log.map(Into::into),
            bound_to: self.bound_to.clone(),
            duration_ms: self.duration_ms,
        };
        (seal(message, facts), trees)
    }

    /// Reads a record back; `tree` gives the blob of a folder's tree, or `None` where it is missing or damaged.
    ///
    /// # Errors
    /// Anything about the bytes, or about what they say, that a record of this version would not have. Bytes that differ in any place
    /// from those that [`encode`](Self::encode) made are refused.
    pub fn decode(bytes: &[u8], tree: &mut dyn FnMut(&Digest) -> Option<Vec<u8>>) -> Result<Self, RecordError> {
        let message = ActionResult::decode(bytes)?;
        let facts = facts_of(&message)?;
        if facts.version != VERSION {
            return Err(RecordError::Version(facts.version));
        }
        // The digest is of the bytes as they would be written now, so that another way of writing the same content is refused too.
        if seal(message.clone(), Facts { self_digest: Vec::new(), ..facts.clone() }) != bytes {
            return Err(RecordError::Altered);
        }
        expect_plain(&message)?;
        let log = facts.log.map(|digest| digest.parse().ok_or_else(|| RecordError::Digest("the log".to_owned()))).transpose()?;
        let fingerprint = facts.fingerprint.and_then(|digest| digest.parse());
        Ok(Self {
            outputs: outputs(message, tree)?,
            log,
            bound_to: facts.bound_to,
            fingerprint: fingerprint.ok_or_else(|| RecordError::Digest("the fingerprint".to_owned()))?,
            duration_ms: facts.duration_ms,
        })
    }
}

/// Puts shipway's facts into the message, with the digest of both, and returns the bytes.
fn seal(mut message: ActionResult, mut facts: Facts) -> Vec<u8> {
    let mut with = |facts: &Facts| {
        let auxiliary_metadata = vec![Any { type_url: TYPE_URL.to_owned(), value: facts.encode_to_vec() }];
        message.execution_metadata = Some(ExecutedActionMetadata { worker: String::new(), auxiliary_metadata });
        message.encode_to_vec()
    };
    facts.self_digest = Hash::of(&with(&facts)).0.to_vec();
    with(&facts)
}

fn facts_of(message: &ActionResult) -> Result<Facts, RecordError> {
    match message.execution_metadata.as_ref().map(|metadata| metadata.auxiliary_metadata.as_slice()) {
        Some([any]) if any.type_url == TYPE_URL => Ok(Facts::decode(any.value.as_slice())?),
        _ => Err(RecordError::Foreign),
    }
}

/// Refuses fields that have a meaning but not one that a stored success may have.
fn expect_plain(message: &ActionResult) -> Result<(), RecordError> {
    if message.exit_code != 0 {
        return Err(RecordError::ExitCode(message.exit_code));
    }
    let unexpected = [
        (!message.stdout_raw.is_empty() || message.stdout_digest.is_some(), "standard output"),
        (!message.stderr_raw.is_empty() || message.stderr_digest.is_some(), "standard error"),
        (!message.output_file_symlinks.is_empty() || !message.output_directory_symlinks.is_empty(), "links of the old kind"),
    ];
    match unexpected.into_iter().find(|(found, _)| *found) {
        Some((_, what)) => Err(RecordError::Unexpected(what)),
        None => Ok(()),
    }
}

/// Returns all outputs in one sorted list, every path checked.
fn outputs(message: ActionResult, tree: &mut dyn FnMut(&Digest) -> Option<Vec<u8>>) -> Result<Vec<Output>, RecordError> {
    let bad_digest = |path: &str| RecordError::Digest(path.to_owned());
    expect_order(message.output_files.iter().map(|file| &*file.path))?;
    expect_order(message.output_symlinks.iter().map(|link| &*link.path))?;
    expect_order(message.output_directories.iter().map(|folder| &*folder.path))?;
    let mut outputs = Vec::new();
    for file in message.output_files {
        let kind = tree::file(&file.path, file.digest.as_ref(), file.is_executable, file.node_properties.as_ref())?;
        outputs.push(Output { path: file.path, kind });
    }
    for link in message.output_symlinks {
        let kind = tree::link(&link.path, link.target)?;
        outputs.push(Output { path: link.path, kind });
    }
    let folders: Vec<String> = message.output_directories.iter().map(|folder| folder.path.clone()).collect();
    expect_apart(outputs.iter().map(|output| &*output.path).chain(folders.iter().map(String::as_str)))?;
    let mut used = 0;
    for folder in message.output_directories {
        let digest = folder.tree_digest.and_then(|digest| digest.parse()).ok_or_else(|| bad_digest(&folder.path))?;
        let bytes = tree(&digest).filter(|bytes| Digest::of(bytes) == digest);
        let bytes = bytes.ok_or_else(|| RecordError::Tree(folder.path.clone()))?;
        tree::unfold(&folder.path, &bytes, &mut outputs, &mut used)?;
    }
    outputs.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    match outputs.windows(2).find(|pair| pair[0].path == pair[1].path) {
        Some(pair) => Err(RecordError::Order(pair[0].path.clone())),
        None => Ok(outputs),
    }
}

/// Refuses a list that is not sorted, that has a path twice, or one that is no good.
fn expect_order<'a>(paths: impl Iterator<Item = &'a str>) -> Result<(), RecordError> {
    let mut last = "";
    for path in paths {
        check_path(path)?;
        if path <= last {
            return Err(RecordError::Order(path.to_owned()));
        }
        last = path;
    }
    Ok(())
}

/// Refuses a path that is below another. What is in a tree is below its root and nothing else, so roots are enough.
fn expect_apart<'a>(paths: impl Iterator<Item = &'a str> + Clone) -> Result<(), RecordError> {
    let all: HashSet<&str> = paths.clone().collect();
    for path in paths {
        if ancestors(path).any(|folder| all.contains(folder)) {
            return Err(RecordError::Below(path.to_owned()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
