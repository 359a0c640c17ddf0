//! A deployment in hindsight: what was done when, and which share of the traffic the new release had meanwhile.
//!
//! Plain data for whoever draws it; knows nothing of ledgers.

use jiff::Timestamp;

/// A deployment, as far as it is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    /// Into which environment.
    pub environment: String,
    /// What people call the release.
    pub release: String,
    /// What they call the one that served before.
    pub before: Option<String>,
    /// True where it brings back what was there before.
    pub is_rollback: bool,
    /// In the words of whoever asked for it.
    pub reason: Option<String>,
    /// Its name.
    pub deployment: String,
    /// The commit whose pipeline and scripts say how.
    pub commit: String,
    /// Who began it, and where.
    pub by: String,
    /// When it began.
    pub began: Timestamp,
    /// When it ended; of one that has not, until when it is known.
    pub until: Timestamp,
    /// How it ended.
    pub end: End,
    /// What happened, in its order.
    pub moments: Vec<Moment>,
}

/// How a deployment ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The release serves, and works.
    Verified,
    /// Nothing was changed, for this reason.
    Unchanged(String),
    /// The release before serves again, for this reason.
    Back(String),
    /// Nobody knows what serves, for this reason.
    Lost(String),
    /// It is on its way.
    Open,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// When; of what took its time, when it began.
    pub at: Timestamp,
    /// What.
    pub what: What,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A phase was done, until then; `None` where nobody has said that it was.
    Phase {
        /// What it is called.
        name: String,
        /// Which share of the traffic the new release has with it, in percent.
        share: Option<u8>,
        /// When it was done.
        done: Option<Timestamp>,
        /// Why it did not work, where that was no reason to go back.
        trouble: Option<String>,
    },
    /// Somebody has looked how the release does.
    Look {
        /// With which share of the traffic, in percent.
        share: u8,
        /// How it does.
        sight: Sight,
        /// More about that.
        said: Option<String>,
    },
    /// It was told to go back, for this reason.
    Back(String),
    /// It did not come back, for this reason.
    Stuck(String),
    /// It was told to stay as it is, in these words.
    Held(String),
    /// It was told to go on, in these words.
    GoesOn(String),
    /// Nobody moves it, for this reason, until somebody does.
    Left(String),
}

/// What somebody has seen who has looked how a release does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// It does well.
    Yes,
    /// It does not.
    No,
    /// That could not be told.
    Unsure,
}

impl Course {
    /// Returns the shares of the traffic that the new release had, each with when it got it: at first none.
    pub fn shares(&self) -> Vec<(Timestamp, u8)> {
        let got = self.moments.iter().filter_map(|moment| {
            let What::Phase { share: Some(share), done: Some(done), .. } = moment.what else { return None };
            Some((done, share))
        });
        std::iter::once((self.began, 0)).chain(got).collect()
    }

    /// Returns from when to when somebody has told it to stay as it is.
    pub fn holds(&self) -> Vec<(Timestamp, Timestamp)> {
        let mut holds: Vec<(Timestamp, Option<Timestamp>)> = Vec::new();
        for moment in &self.moments {
            let is_held = holds.last().is_some_and(|(_, until)| until.is_none());
            match &moment.what {
                What::Held(_) if !is_held => holds.push((moment.at, None)),
                What::GoesOn(_) | What::Back(_) => {
                    if let Some((_, until @ None)) = holds.last_mut() {
                        *until = Some(moment.at);
                    }
                }
                What::Held(_) | What::Phase { .. } | What::Look { .. } | What::Stuck(_) | What::Left(_) => {}
            }
        }
        holds.into_iter().map(|(from, until)| (from, until.unwrap_or(self.until))).collect()
    }
}
