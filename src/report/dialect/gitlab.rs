//! GitLab's sections: `section_start:TIME:NAME[options]`, a carriage return and an erased line, then the title
//! (GitLab documentation, "Job logs", "Custom collapsible sections").

use crate::report::dialect::group::Group;

/// Returns the line that opens a section, folded where nothing in it needs a look.
pub(super) fn open(group: &Group<'_>, title: &str) -> String {
    let options = if group.is_open { "" } else { "[collapsed=true]" };
    format!("\u{1b}[0Ksection_start:{}:{}{options}\r\u{1b}[0K{title}\n", group.began, name(group.stage))
}

/// Returns the line that closes it.
pub(super) fn close(group: &Group<'_>) -> String {
    format!("\u{1b}[0Ksection_end:{}:{}\r\u{1b}[0K\n", group.ended, name(group.stage))
}

/// Returns a section's name, which may have letters, digits, `_`, `.` and `-`: what else a stage's name holds is written as its number.
fn name(stage: &str) -> String {
    let mut name = String::from("shipway_");
    for c in stage.chars() {
        if c.is_ascii_alphanumeric() || ".-".contains(c) {
            name.push(c);
        } else {
            name += &format!("_{:x}_", u32::from(c));
        }
    }
    name
}

/// Returns `line`, which has no control characters, with its section marks broken; `None` where there are none.
pub(super) fn break_commands(line: &str) -> Option<String> {
    let is_mark = line.contains("section_start:") || line.contains("section_end:");
    is_mark.then(|| line.replace("section_start:", "section\\_start:").replace("section_end:", "section\\_end:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_has_the_form_of_the_documentation() {
        let group = Group { stage: "test:python=3.11", title: "t", began: 1_560_896_352, ended: 1_560_896_353, is_open: false };
        let name = "shipway_test_3a_python_3d_3.11";
        assert_eq!(open(&group, "title"), format!("\x1b[0Ksection_start:1560896352:{name}[collapsed=true]\r\x1b[0Ktitle\n"));
        assert_eq!(close(&group), format!("\x1b[0Ksection_end:1560896353:{name}\r\x1b[0K\n"));
        let open_one = open(&Group { is_open: true, ..group }, "title");
        assert!(!open_one.contains("collapsed"));
    }
}
