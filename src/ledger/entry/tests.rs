//! Entries are read back as they were written.

use super::*;

fn released() -> Released {
    Released {
        release: "ab".repeat(32),
        name: "brave-otter".to_owned(),
        pipeline: "shop".to_owned(),
        commit: "cd".repeat(20),
        dirty: false,
        author: "ann@example.org".to_owned(),
        committed_at: Timestamp::from_second(5).unwrap(),
        stages: vec!["test".to_owned()],
        evidence: None,
        artifacts: 2,
        size: 10,
        irreversible: false,
    }
}

#[test]
fn slots_are_told_where_there_are_some() {
    let started = |slot: Option<&str>| Started {
        environment: "production".to_owned(),
        release: "ab".repeat(32),
        before: None,
        slot: slot.map(str::to_owned),
        before_slot: slot.map(|_| "blue".to_owned()),
        commit: "c".to_owned(),
        plan: "d".to_owned(),
        cause: Cause::Promote,
        reason: None,
        target: None,
        accepted_drift: None,
    };
    let json = |started: &Started| serde_json::to_string(started).unwrap();
    let (without, with) = (started(None), started(Some("green")));
    assert!(!json(&without).contains("slot"), "as before there were any");
    assert!(json(&with).contains(r#""slot":"green","before-slot":"blue""#), "{}", json(&with));
    for started in [without, with] {
        assert_eq!(serde_json::from_str::<Started>(&json(&started)).unwrap(), started);
    }
}

#[test]
fn an_entry_is_read_back() {
    let actor = Actor { name: "Ann".to_owned(), email: "ann@example.org".to_owned(), host: "laptop".to_owned(), clone: None };
    let entry = Entry::now(actor, Deed::Released(Box::new(released())));
    let message = entry.message();
    assert!(message.starts_with("release brave-otter (abababababab)\n\n{"), "{message}");
    assert!(!message.contains("clone"), "{message}");
    assert_eq!(Entry::digest(&message), Entry::digest(message.trim_end()));
    assert_eq!(Entry::parse(&message), Ok(entry));
    for broken in ["", "x", "x\n\n", "x\n\n{}", &message.replace("\"v\":1", "\"v\":2"), &message.replace("released", "relesed")] {
        assert!(Entry::parse(broken).is_err(), "{broken}");
    }
}
