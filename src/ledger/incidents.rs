//! The incidents of a ledger: which are open, and which deployment each is about.

use jiff::Timestamp;

use super::entry::{Actor, Cause, Deed};
use super::history::{History, LEAST, Recorded};

/// An incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// Its name.
    pub id: String,
    /// In which environment.
    pub environment: String,
    /// Which deployment brought it.
    pub deployment: String,
    /// What fails.
    pub reason: String,
    /// Who opened it.
    pub actor: Actor,
    /// When.
    pub opened: Timestamp,
    /// When it was closed; `None` where it is open.
    pub closed: Option<Timestamp>,
}

/// Why an incident or a deployment is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// There is none of that name.
    #[error("there is no {0} `{1}`")]
    Unknown(&'static str, String),
    /// There are several whose names begin so.
    #[error("`{1}` may mean more than one {0}")]
    Ambiguous(&'static str, String),
}

impl History {
    /// Returns the incidents, the first first.
    pub fn incidents(&self) -> Vec<Incident> {
        let mut found: Vec<Incident> = Vec::new();
        for Recorded { digest, entry, .. } in &self.entries {
            if let Deed::IncidentOpened(opened) = &entry.deed {
                found.push(Incident {
                    id: digest.clone(),
                    environment: opened.environment.clone(),
                    deployment: opened.deployment.clone(),
                    reason: opened.reason.clone(),
                    actor: entry.actor.clone(),
                    opened: entry.at,
                    closed: None,
                });
            }
            if let Deed::IncidentClosed(closed) = &entry.deed
                && let Some(incident) = found.iter_mut().find(|incident| incident.id == closed.incident)
            {
                incident.closed = incident.closed.or(Some(entry.at));
            }
        }
        found
    }

    /// Returns the open incidents of an environment, the first first.
    pub fn open_incidents(&self, environment: &str) -> Vec<Incident> {
        self.incidents().into_iter().filter(|incident| incident.closed.is_none() && incident.environment == environment).collect()
    }

    /// Returns the incident that `text` means: the beginning of its name, or of that of the commit which holds its entry.
    ///
    /// # Errors
    /// Where it means none, or several.
    pub fn incident(&self, text: &str) -> Result<Incident, NotFound> {
        let id = self.named("incident", text, |deed| matches!(deed, Deed::IncidentOpened(_)))?;
        let incident = self.incidents().into_iter().find(|incident| incident.id == id);
        incident.ok_or_else(|| NotFound::Unknown("incident", text.to_owned()))
    }

    /// Returns the name of the deployment into an environment that `text` means, in the same ways.
    ///
    /// # Errors
    /// Where it means none, or several.
    pub fn deployment(&self, environment: &str, text: &str) -> Result<String, NotFound> {
        self.named("deployment", text, |deed| matches!(deed, Deed::Started(started) if started.environment == environment))
    }

    /// Returns the name of the deployment, into whatever environment, that `text` means.
    ///
    /// # Errors
    /// Where it means none, or several.
    pub fn any_deployment(&self, text: &str) -> Result<String, NotFound> {
        self.named("deployment", text, |deed| matches!(deed, Deed::Started(_)))
    }

    /// Returns the name of the deployment that brought what serves in an environment: of a release that was brought back, the one by which it
    /// came.
    pub fn serving_deployment(&self, environment: &str) -> Option<String> {
        let serving = self.standing(environment).serves?;
        let brought = self.entries.iter().rev().find(|recorded| {
            let Deed::Started(started) = &recorded.entry.deed else { return false };
            started.environment == environment && started.release == serving.release && started.cause == Cause::Promote
        });
        Some(brought.map_or(serving.deployment, |recorded| recorded.digest.clone()))
    }

    fn named(&self, what: &'static str, text: &str, is_meant: impl Fn(&Deed) -> bool) -> Result<String, NotFound> {
        let begins = |name: &str| text.len() >= LEAST && name.starts_with(text);
        let is_named = |recorded: &&Recorded| begins(&recorded.digest) || begins(&recorded.name);
        let mut meant = self.entries.iter().filter(|recorded| is_meant(&recorded.entry.deed)).filter(is_named);
        match (meant.next(), meant.next()) {
            (Some(one), None) => Ok(one.digest.clone()),
            (None, _) => Err(NotFound::Unknown(what, text.to_owned())),
            (Some(_), Some(_)) => Err(NotFound::Ambiguous(what, text.to_owned())),
        }
    }
}
