//! Files that environments name: where, and which.
//!
//! Knows what a file says; whether there are such files, whoever checks it looks.

use std::ops::Range;

use super::include::File;
use crate::base::glob::{Glob, within};

/// Files that environments name, relative to the project's folder, and where in the files each is named.
#[derive(Debug)]
pub struct Named {
    /// Those that say who may sign.
    pub signers: Vec<(String, Range<usize>)>,
    /// Patterns of those that hold rules.
    pub policies: Vec<(Glob, Range<usize>)>,
}

impl Named {
    /// Returns what the environments of `file` name themselves; what others take from them is the same.
    pub(super) fn of(file: &File) -> Self {
        let (mut signers, mut policies) = (Vec::new(), Vec::new());
        for (_, fields) in file.fields.tables("environments").unwrap_or_default() {
            let of_approval = fields.table("approve").and_then(|fields| Some((fields.text("signers")?, fields.span("signers"))));
            // What is not usable is told where the environment is read.
            signers.extend(of_approval.and_then(|(text, place)| Some((within(&file.folder, text).ok()?, place))));
            let texts = fields.texts("policy").unwrap_or_default();
            policies.extend(texts.iter().filter_map(|text| Some((Glob::new(&file.folder, &text.value).ok()?, text.span.clone()))));
        }
        Self { signers, policies }
    }
}
