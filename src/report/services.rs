//! What people are told of services: with `-v` how far each is; else its last lines, where a stage that used it has failed.

use std::time::Duration;

use super::theme::Theme;
use crate::base::duration::show;
use crate::base::text::{count, visible};
use crate::model::event::{ServiceChanged, ServiceState};

/// Returns the lines to say of what became of a service.
pub(super) fn lines(changed: &ServiceChanged, is_verbose: bool, theme: Theme) -> Vec<String> {
    let name = visible(&changed.service);
    let after = show(Duration::from_millis(changed.duration_ms));
    let mut lines = Vec::new();
    if is_verbose {
        let line = match changed.state {
            ServiceState::Ready => format!("service {name} is ready after {after}"),
            ServiceState::Ended => format!("service {name} was ended after {after}"),
            // The failure of its users says the rest.
            ServiceState::Failed => visible(changed.reason.as_deref().unwrap_or("a service failed")).into_owned(),
        };
        lines.push(theme.faint(&line));
    }
    let is_told = changed.state == ServiceState::Ended && (is_verbose || !changed.failed_users.is_empty());
    if is_told && !changed.log.is_empty() {
        let users: Vec<_> = changed.failed_users.iter().map(|user| visible(user)).collect();
        let used = if users.is_empty() { String::new() } else { format!(", used by {}", users.join(", ")) };
        lines.push(theme.faint(&format!("the last {} of the service {name}{used}", count(changed.log.len(), "line"))));
        lines.extend(changed.log.iter().map(|line| format!("  {}", format!("{} {line}", theme.faint("│")).trim_end())));
    }
    lines
}
