//! Where what is read goes: the findings of one stage, the room that is left for them, and the files of the project that they name.
//!
//! Knows no format.

use super::place::Places;
use super::room::Room;
use crate::model::findings::{Findings, Totals};

/// Takes what the files of one stage say.
pub(super) struct Sink<'f, 'p> {
    pub(super) findings: &'f mut Findings,
    pub(super) room: Room,
    pub(super) places: Places<'p>,
}

impl Sink<'_, '_> {
    pub(super) fn totals(&mut self) -> &mut Totals {
        &mut self.findings.totals
    }
}
