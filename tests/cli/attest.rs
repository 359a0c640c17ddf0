//! Where a release comes from is signed, and checked by whoever has neither the project nor its record.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::project::{Said, git, said};
use crate::release::{SITE, Site, sum};

/// A release whose origin somebody has signed.
struct Attested {
    site: Site,
    id: String,
    name: String,
    /// Files of those who may sign: with the one who has, and with another one.
    signers: [String; 2],
}

impl Attested {
    fn new() -> Self {
        let site = Site::new(SITE);
        let (id, name) = site.release();
        let to = site.out("x.json").to_string_lossy().into_owned();
        let refused = site.shipway(&["attest", &name, "-o", &to]).exits(3).stderr;
        assert!(refused.contains("there is no key to sign with") && refused.contains("git config user.signingkey"), "{refused}");
        let (eve, ann) = (keyed(&site, "eve"), keyed(&site, "ann"));
        site.shipway(&["attest", &name, "-o", &to]).exits(0);
        Self { site, id, name, signers: [ann, eve] }
    }

    fn out(&self, name: &str) -> String {
        self.site.out(name).to_string_lossy().into_owned()
    }

    /// Writes the release where somebody may find it; returns where.
    fn export(&self, to: &str) -> String {
        let path = self.out(to);
        self.site.shipway(&["export", &self.name, "-o", &path]).exits(0);
        path
    }

    /// Checks something where there is no project.
    #[track_caller]
    fn verify(&self, words: &[&str], code: i32) -> Said {
        let mut command = self.site.command(&[&["verify"], words].concat());
        command.current_dir("/");
        said(command).exits(code)
    }

    /// Checks a statement, signed by one of these, about what lies at `artifact`.
    #[track_caller]
    fn states(&self, statement: &str, signers: &str, artifact: &str, code: i32) -> Said {
        self.verify(&[&self.out(statement), "--signers", signers, "--artifact", artifact], code)
    }
}

/// Makes the key that git signs with there, and a file of those who may sign, with that one alone.
fn keyed(site: &Site, owner: &str) -> String {
    let (key, signers) = (site.out(owner), site.out(&format!("{owner}.signers")));
    assert!(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status().unwrap().success());
    git(site.project.path(), &["config", "user.signingkey", &key.to_string_lossy()]);
    let public = fs::read_to_string(key.with_extension("pub")).unwrap();
    fs::write(&signers, format!("{owner}@example.org namespaces=\"shipway\" {public}")).unwrap();
    signers.to_string_lossy().into_owned()
}

#[test]
fn what_is_signed_others_can_read_too() {
    let attested = Attested::new();
    let envelope: Value = serde_json::from_slice(&fs::read(attested.site.out("x.json")).unwrap()).unwrap();
    assert_eq!(envelope["payloadType"], "application/vnd.in-toto+json");
    let payload = envelope["payload"].as_str().unwrap();
    let payload = Command::new("sh").args(["-c", "printf %s \"$0\" | base64 -d", payload]).output().unwrap().stdout;
    // What is signed, and by what: without any of our code.
    let armoured = format!(
        "-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n",
        envelope["signatures"][0]["sig"]
            .as_str()
            .unwrap()
            .as_bytes()
            .chunks(70)
            .map(String::from_utf8_lossy)
            .collect::<Vec<_>>()
            .join("\n")
    );
    fs::write(attested.site.out("x.sig"), armoured).unwrap();
    let message = [format!("DSSEv1 28 application/vnd.in-toto+json {} ", payload.len()).as_bytes(), &payload].concat();
    fs::write(attested.site.out("message"), message).unwrap();
    let check = "ssh-keygen -Y verify -f ann.signers -I ann@example.org -n shipway -s x.sig < message";
    assert!(Command::new("sh").args(["-c", check]).current_dir(attested.out("")).status().unwrap().success());
    let statement: Value = serde_json::from_slice(&payload).unwrap();
    let kinds = (statement["_type"].as_str(), statement["predicateType"].as_str());
    assert_eq!(kinds, (Some("https://in-toto.io/Statement/v1"), Some("https://slsa.dev/provenance/v1")));
    let page = statement["subject"].as_array().unwrap().iter().find(|subject| subject["name"] == "out/page").unwrap();
    assert_eq!(page["digest"]["sha256"], sum(&attested.site.project.join("out/page")));
    let commit = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(attested.site.project.path()).output().unwrap();
    let source = &statement["predicate"]["buildDefinition"]["resolvedDependencies"][0]["digest"]["gitCommit"];
    assert_eq!(source.as_str(), Some(String::from_utf8(commit.stdout).unwrap().trim()));
}

#[test]
fn what_was_exported_is_known_again_by_who_may_sign() {
    let attested = Attested::new();
    let (name, [ann, eve]) = (&attested.name, &attested.signers);
    let known = format!("{name} ({})", &attested.id[..12]);
    // By the release that is kept here.
    let said = attested.site.shipway(&["verify", &attested.out("x.json"), "--signers", ann]).exits(0).stdout;
    assert!(said.starts_with(&format!("what is kept here is {known}")) && said.ends_with(", says ann@example.org\n"), "{said}");
    for form in ["x.tar", "x.tar.gz", "x.tar.zst", "folder"] {
        let path = attested.export(form);
        let said = attested.states("x.json", ann, &path, 0).stdout;
        assert!(said.starts_with(&format!("{path} is {known}")), "{said}");
        let said = attested.verify(&[&path], 0).stdout;
        assert!(said.contains("4 artifacts, all as its own list of hashes says; where they come from nobody has signed"), "{said}");
        assert!(attested.verify(&[&path, "--signers", ann], 2).stderr.contains("nobody has signed an archive"));
    }
    let said = attested.states("x.json", eve, &attested.out("x.tar"), 1).stderr;
    assert!(said.contains("its signature counts for nothing: its key is none of those who may sign"), "{said}");
    assert!(attested.verify(&[&attested.out("x.json")], 2).stderr.contains("--signers FILE"));
    assert!(attested.states("x.json", &attested.out("none"), &attested.out("x.tar"), 3).stderr.contains("there is no file"));
}

#[test]
fn what_was_changed_is_named() {
    let attested = Attested::new();
    let (name, ann) = (&attested.name, &attested.signers[0]);
    let text = fs::read_to_string(attested.site.out("x.json")).unwrap();
    assert!(text.contains("\"payload\":\"eyJ"), "{text}");
    fs::write(attested.site.out("forged.json"), text.replacen("\"eyJ", "\"eyI", 1)).unwrap();
    let said = attested.states("forged.json", ann, &attested.export("x.tar"), 1).stderr;
    assert!(said.contains("its signature counts for nothing: it was not made for this"), "{said}");
    // Of an archive that was damaged on its way its own list of hashes says so; it knows of no modes and links.
    for (number, (change, expected, seen)) in [
        ("echo more >> out/page", "`out/page` is not what it was", 1),
        ("rm config/prod.toml", "`config/prod.toml` is missing", 1),
        ("echo x > more", "`more` is no part of the release", 1),
        ("chmod +x out/page", "its links, its empty folders or the modes of its files", 0),
        ("ln -sfn tool out/link", "its links, its empty folders or the modes of its files", 0),
    ]
    .into_iter()
    .enumerate()
    {
        let folder = attested.export(&format!("changed-{number}"));
        assert!(Command::new("sh").args(["-c", change]).current_dir(&folder).status().unwrap().success());
        let said = attested.states("x.json", ann, &folder, 1).stderr;
        assert!(said.contains(&format!("{folder} is not {name}")) && said.contains(expected), "{change}: {said}");
        attested.verify(&[&folder], seen);
    }
    attested.site.project.write("a.txt", "hello dirty\n");
    let dirty = attested.site.shipway(&["release", "--dirty"]).exits(0).stdout;
    let said = attested.site.shipway(&["attest", dirty.split(' ').next().unwrap(), "-o", &attested.out("y.json")]).exits(2).stderr;
    assert!(said.contains("changes that no commit has") && !attested.site.out("y.json").exists(), "{said}");
}
