//! Which share of the users sees which variant of a flag, as the flag itself says it.
//!
//! The shares stand in `targeting`, in the words of flagd (flagd.dev, "fractional"): a user is at one place of a line, always the same, on which
//! the new variant takes the first part. So whoever sees it still does when it grows. Which release each variant is of stands in `metadata`, which
//! evaluations hand on; by that, what was written here is told from what somebody else has written.

use serde_json::{Map, Value, json};

/// What the names of our metadata begin with.
const OWN: &str = "shipway.";

/// Who a variant is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Side {
    /// The variant.
    pub(super) variant: String,
    /// The release that has it; `None` where it is what users see who see no release.
    pub(super) release: Option<String>,
}

/// The share of a new variant, and who has the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Share {
    new: Side,
    /// The share of the new one, in percent.
    weight: u8,
    old: Side,
}

impl Share {
    /// Reads what is recorded in a flag: that its default has all, where there is nothing.
    ///
    /// # Errors
    /// Where it cannot be shared out, or somebody else does: why, for people.
    pub(super) fn of(flag: &Value) -> Result<Self, String> {
        if flag["state"] != "ENABLED" {
            return Err("it is not `ENABLED`, so nobody sees any variant".to_owned());
        }
        let text = |name: &str| flag["metadata"][format!("{OWN}{name}")].as_str().map(str::to_owned);
        let side = |name: &str| Some(Side { variant: text(&format!("{name}variant"))?, release: text(&format!("{name}release")) });
        let weight = flag["metadata"][format!("{OWN}weight")].as_u64().and_then(|weight| u8::try_from(weight).ok());
        if let (Some(new), Some(old), Some(weight)) = (side(""), side("before."), weight.filter(|weight| *weight <= 100)) {
            return Ok(Self { new, weight, old });
        }
        if !is_empty(&flag["targeting"]) {
            return Err("it has a `targeting` of its own, which would be lost".to_owned());
        }
        let Some(variant) = flag["defaultVariant"].as_str() else {
            return Err("it has no `defaultVariant`, which those see who do not see the release".to_owned());
        };
        let side = Side { variant: variant.to_owned(), release: None };
        Ok(Self { new: side.clone(), weight: 100, old: side })
    }

    /// Tells whether the flag does what is recorded in it.
    pub(super) fn is_in(&self, flag: &Value) -> bool {
        let targeting = self.targeting();
        if targeting.is_null() { is_empty(&flag["targeting"]) } else { flag["targeting"] == targeting }
    }

    /// Returns the release that all users see; `None` where they see none, and what they see where that is more than one.
    pub(super) fn serves(&self) -> Result<Option<&str>, String> {
        if self.weight == 100 {
            return Ok(self.new.release.as_deref());
        }
        Err(format!("the variant `{}` for {} % and `{}` for the others", self.new.variant, self.weight, self.old.variant))
    }

    /// Returns what it is once this release has its share; what is left has the one that all had before.
    pub(super) fn shifted(self, side: Side, weight: u8) -> Self {
        let old = if self.new == side {
            self.old
        } else if self.weight == 100 || self.old == side {
            self.new
        } else {
            self.old
        };
        // None at all is all for the other.
        if weight == 0 { Self { new: old, weight: 100, old: side } } else { Self { new: side, weight, old } }
    }

    /// Returns the variants that users may see.
    pub(super) fn variants(&self) -> [&str; 2] {
        [&self.new.variant, &self.old.variant]
    }

    /// Returns the `targeting`; null where the flag needs none.
    pub(super) fn targeting(&self) -> Value {
        if self.is_original() {
            return Value::Null;
        }
        let user = json!({ "cat": [{ "var": "$flagd.flagKey" }, { "var": "targetingKey" }] });
        json!({ "fractional": [user, [self.new.variant, self.weight], [self.old.variant, 100 - self.weight]] })
    }

    /// Returns our part of the `metadata`, by name; null for what must not be there.
    pub(super) fn metadata(&self) -> Map<String, Value> {
        let own = |name: &str, value: Value| (format!("{OWN}{name}"), if self.is_original() { Value::Null } else { value });
        let all = [
            own("release", json!(self.new.release)),
            own("variant", json!(self.new.variant)),
            own("weight", json!(self.weight)),
            own("before.release", json!(self.old.release)),
            own("before.variant", json!(self.old.variant)),
        ];
        all.into_iter().collect()
    }

    /// Tells whether the flag is as it was before any release.
    fn is_original(&self) -> bool {
        self.weight == 100 && self.new.release.is_none()
    }
}

/// Tells whether a `targeting` says nothing.
fn is_empty(targeting: &Value) -> bool {
    targeting.is_null() || targeting.as_object().is_some_and(Map::is_empty)
}
