//! What stands in the file after each step.

use serde_json::json;

use super::*;
use crate::delivery::manifest::Manifest;
use crate::delivery::target::Slot;

const FILE: &str = r#"{
  "$schema": "https://flagd.dev/schema/v0/flags.json",
  "flags": {
    "other": {"state":"ENABLED",  "variants": { "a": 1.50, "b": 2 }, "defaultVariant": "a", "targeting": {"if": [true, "b"]}},
    "checkout": {
      "state": "ENABLED",
      "variants": { "off": false, "on": true, "new": true },
      "defaultVariant": "off"
    }
  }
}
"#;

struct Shop {
    folder: tempfile::TempDir,
    vault: Vault,
}

impl Shop {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shop = Self { vault: Vault::new(folder.path().join("vault")), folder };
        shop.write(text);
        shop
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("flags.json")
    }

    fn write(&self, text: &str) {
        fs::write(self.file(), text).unwrap();
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    fn target(&self) -> Flag<'_> {
        Flag::new(self.file(), ("checkout", false), self.folder.path().join("unpacked"), &self.vault)
    }

    fn shift(&self, (release, variant): (&str, &str), weight: u8) {
        self.target().shift(&candidate(release, Some(variant)), weight).unwrap();
    }

    /// The shares in the file, the first first.
    fn shares(&self) -> Value {
        let whole: Value = serde_json::from_str(&self.text()).unwrap();
        let fractional = &whole["flags"]["checkout"]["targeting"]["fractional"];
        fractional.as_array().map_or(Value::Null, |parts| json!(parts[1..]))
    }

    fn observed(&self) -> Observed {
        self.target().observe(None).unwrap()
    }
}

fn candidate(release: &str, variant: Option<&str>) -> Candidate {
    let manifest = Manifest::new(Vec::new(), String::new(), String::new(), false);
    let slot = variant.map(|variant| Slot { name: variant.to_owned(), values: std::collections::BTreeMap::new() });
    Candidate { id: release.to_owned(), manifest, slot }
}

fn serves(release: &str) -> Observed {
    Observed::Release(release.to_owned())
}

#[test]
fn a_variant_grows_and_what_is_around_it_stays() {
    let shop = Shop::new(FILE);
    shop.target().start(&candidate("first", Some("on"))).unwrap();
    assert_eq!((shop.text().as_str(), shop.observed()), (FILE, Observed::Nothing), "nobody sees it yet");
    for weight in [1, 5, 25, 50, 99] {
        shop.shift(("first", "on"), weight);
        assert_eq!(shop.shares(), json!([["on", weight], ["off", 100 - weight]]));
        let said = format!("the variant `on` for {weight} % and `off` for the others");
        assert_eq!(shop.observed(), Observed::Other(said));
    }
    shop.shift(("first", "on"), 100);
    assert_eq!((shop.shares(), shop.observed()), (json!([["on", 100], ["off", 0]]), serves("first")));
    let text = shop.text();
    let (before, after) = FILE.split_once("\"off\"\n    }").unwrap();
    assert!(text.starts_with(before) && text.ends_with(after), "{text}");
    assert!(text.contains("\"off\",\n      \"targeting\": {\"fractional\":[{\"cat\":[") && text.contains("\"shipway.release\""), "{text}");
    // Once more changes nothing, not even the file's time.
    let at = shop.file().metadata().unwrap().modified().unwrap();
    shop.shift(("first", "on"), 100);
    assert_eq!(shop.file().metadata().unwrap().modified().unwrap(), at);
    // As if it had never been.
    shop.shift(("first", "on"), 0);
    assert_eq!((shop.text().as_str(), shop.observed()), (FILE, Observed::Nothing));
}

#[test]
fn the_next_release_takes_its_share_from_the_one_before() {
    let shop = Shop::new(FILE);
    let (first, second, third) = (("first", "on"), ("second", "new"), ("third", "new"));
    shop.shift(first, 100);
    shop.shift(second, 5);
    assert_eq!(shop.shares(), json!([["new", 5], ["on", 95]]));
    // The way back, from each side.
    shop.shift(second, 0);
    assert_eq!((shop.shares(), shop.observed()), (json!([["on", 100], ["new", 0]]), serves("first")));
    shop.shift(second, 25);
    shop.shift(first, 100);
    assert_eq!((shop.shares(), shop.observed()), (json!([["on", 100], ["new", 0]]), serves("first")));
    shop.shift(second, 50);
    shop.shift(second, 100);
    assert_eq!((shop.shares(), shop.observed()), (json!([["new", 100], ["on", 0]]), serves("second")));
    // One with the same variant takes it from nobody.
    shop.shift(third, 5);
    assert_eq!(shop.shares(), json!([["new", 5], ["new", 95]]));
    shop.shift(third, 100);
    assert_eq!(shop.observed(), serves("third"));
    shop.shift(second, 100);
    assert_eq!((shop.shares(), shop.observed()), (json!([["new", 100], ["new", 0]]), serves("second")));
    // One that was left half-way is no one to go back to.
    shop.shift(first, 50);
    shop.shift(("fourth", "off"), 5);
    assert_eq!(shop.shares(), json!([["off", 5], ["new", 95]]));
}

#[test]
fn what_others_wrote_is_seen_and_not_lost() {
    let shop = Shop::new(FILE);
    shop.shift(("first", "on"), 100);
    let ours = shop.text();
    shop.write(&ours.replace("[\"on\",100],[\"off\",0]", "[\"on\",50],[\"off\",50]"));
    assert_eq!(shop.observed(), Observed::Other("a `targeting` that somebody has changed".to_owned()));
    let changed = shop.text();
    let done = shop.target().shift(&candidate("second", Some("on")), 50);
    assert!(matches!(&done, Err(TargetError::Failed(why)) if why.contains("somebody has changed its `targeting`")), "{done:?}");
    assert_eq!(shop.text(), changed);
    shop.write(&ours.replace("\"on\": true, ", "").replace("\"on\": true,", ""));
    assert_eq!(shop.observed(), Observed::Other("a flag without its variant `on`".to_owned()), "{}", shop.text());
    shop.write(&ours.replace("\"checkout\": {\n      \"state\": \"ENABLED\"", "\"checkout\": {\n      \"state\": \"DISABLED\""));
    assert!(matches!(shop.observed(), Observed::Other(what) if what.contains("nobody sees any variant")));
    // Metadata of others stay, as do those of the file.
    let theirs = FILE.replace("\"off\"\n    }", "\"off\",\n      \"metadata\": { \"team\": \"shop\" }\n    }");
    shop.write(&theirs);
    shop.shift(("first", "on"), 100);
    assert!(shop.text().contains("{ \"team\": \"shop\", \"shipway."), "{}", shop.text());
    shop.shift(("first", "on"), 0);
    assert_eq!(shop.text(), theirs);
    let refused = |text: &str, variant: Option<&str>, why: &str| {
        shop.write(text);
        for weight in [None, Some(100)] {
            let mut target = shop.target();
            let release = candidate("first", variant);
            let done = if let Some(weight) = weight { target.shift(&release, weight) } else { target.start(&release) };
            assert!(matches!(&done, Err(TargetError::Failed(said)) if said.contains(why)), "{done:?}");
            assert_eq!(shop.text(), text);
        }
    };
    let targeting = FILE.replace("\"off\"\n    }", "\"off\",\n      \"targeting\": {\"if\": [true, \"on\"]}\n    }");
    refused(&targeting, Some("on"), "a `targeting` of its own");
    assert!(matches!(shop.observed(), Observed::Other(_)));
    refused(
        &FILE.replace("\"checkout\": {\n      \"state\": \"ENABLED\"", "\"checkout\": {\n      \"state\": \"DISABLED\""),
        Some("on"),
        "not `ENABLED`",
    );
    refused(&FILE.replace("\"defaultVariant\": \"off\"", "\"defaultVariant\": null"), Some("on"), "no `defaultVariant`");
    refused(FILE, Some("of"), "it has no variant `of`");
    refused(FILE, None, "it is not known which variant");
    refused("{\"flags\": {}}", Some("on"), "it has no flag `checkout`");
    refused("{\"flags\": ", Some("on"), "it is no JSON");
    fs::remove_file(shop.file()).unwrap();
    assert!(shop.target().observe(None).is_err() && shop.target().start(&candidate("first", Some("on"))).is_err());
}

#[test]
fn two_flags_of_one_file_are_changed_at_once_and_none_is_lost() {
    let shop = Shop::new(&FILE.replace(", \"targeting\": {\"if\": [true, \"b\"]}", ""));
    std::thread::scope(|scope| {
        for (name, variant) in [("checkout", "on"), ("other", "b")] {
            let shop = &shop;
            scope.spawn(move || {
                let mut target = Flag::new(shop.file(), (name, false), shop.folder.path().join(name), &shop.vault);
                (1..=50).for_each(|weight| target.shift(&candidate("first", Some(variant)), weight).unwrap());
            });
        }
    });
    let whole: Value = serde_json::from_str(&shop.text()).unwrap();
    for (name, variant) in [("checkout", "on"), ("other", "b")] {
        assert_eq!(whole["flags"][name]["targeting"]["fractional"][1], json!([variant, 50]));
    }
}
