//! A signed statement of where a release comes from, for whoever does not have the record: in-toto's statement with SLSA's provenance (v1), in
//! a DSSE envelope whose signature is one of ssh-keygen(1).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::manifest::{Artifact, Manifest, Mode};
use super::signature::{SignError, sign};
use crate::base::base64::{STANDARD, decode, encode};
use crate::base::digest::Hash;
use crate::ledger::entry::Released;

/// What is stated, and how the statement is packed.
const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
const PAYLOAD: &str = "application/vnd.in-toto+json";

/// How releases are made, and by whom: the names by which others know these things have to be URIs.
const BUILD: &str = "urn:shipway:release:1";
const BUILDER: &str = "urn:shipway";

/// How ssh-keygen(1) packs a signature, and how long its lines are.
const ARMOUR: [&str; 2] = ["-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"];
const WIDTH: usize = 70;

/// An envelope (DSSE v1).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Envelope {
    /// What the payload is.
    #[serde(rename = "payloadType")]
    payload_type: String,
    /// The statement, in Base64.
    payload: String,
    /// Who vouches for it.
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Signature {
    sig: String,
}

/// What an envelope says of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The release's id.
    pub release: String,
    /// What people call it.
    pub name: String,
    /// The commit that it was made from.
    pub commit: String,
    /// The tree of that commit.
    pub tree: String,
    /// Its files, each with the hash of its content.
    pub files: Vec<(String, String)>,
}

/// Why an envelope says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttestationError {
    /// It is none.
    #[error("it is no signed statement: {0}")]
    Form(String),
    /// It says something else.
    #[error("it does not say where a release comes from: {0}")]
    Content(&'static str),
    /// Nobody who may vouches for it.
    #[error("its signature counts for nothing: {0}")]
    Signature(String),
}

/// Returns the statement of where a release comes from, signed with the key that git signs with.
///
/// # Errors
/// Where it cannot be signed.
///
/// # Panics
/// Never: Base64 is text.
pub fn attest(released: &Released, manifest: &Manifest, at: Timestamp, key: Option<&str>) -> Result<Envelope, SignError> {
    let payload = statement(released, manifest, at).to_string();
    let armoured = sign(key, &signed(PAYLOAD, payload.as_bytes()))?;
    let sig = armoured.lines().filter(|line| !ARMOUR.contains(line)).collect();
    let payload = String::from_utf8(encode(payload.as_bytes(), STANDARD)).expect("its letters are ASCII");
    Ok(Envelope { payload_type: PAYLOAD.to_owned(), payload, signatures: vec![Signature { sig }] })
}

fn statement(released: &Released, manifest: &Manifest, at: Timestamp) -> Value {
    let subject: Vec<Value> =
        files(manifest).into_iter().map(|(name, hash)| json!({ "name": name, "digest": { "sha256": hash } })).collect();
    let evidence = released.evidence.iter().map(|hash| json!({ "name": "evidence", "digest": { "sha256": hash } }));
    json!({
        "_type": STATEMENT,
        "subject": subject,
        "predicateType": PROVENANCE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD,
                "externalParameters": {
                    "pipeline": released.pipeline, "release": released.release, "name": released.name, "stages": released.stages
                },
                "resolvedDependencies": [{ "name": "source", "digest": { "gitCommit": manifest.commit, "gitTree": manifest.tree } }],
            },
            "runDetails": {
                "builder": { "id": BUILDER, "version": { "shipway": env!("CARGO_PKG_VERSION") } },
                "metadata": { "finishedOn": at.to_string() },
                "byproducts": evidence.collect::<Vec<_>>(),
            },
        },
    })
}

/// Returns the files of a release, each with the hash of its content; links and folders are in its id alone.
fn files(manifest: &Manifest) -> Vec<(String, String)> {
    let files = manifest.artifacts.iter().filter(|artifact| matches!(artifact.mode, Mode::File | Mode::Executable));
    files.filter_map(|artifact| Some((artifact.name.clone(), artifact.digest()?.hash.to_string()))).collect()
}

/// Returns what is signed: DSSE's pre-authentication encoding.
fn signed(kind: &str, payload: &[u8]) -> Vec<u8> {
    [format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).as_bytes(), payload].concat()
}

impl Envelope {
    /// Reads an envelope.
    ///
    /// # Errors
    /// Where it is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, AttestationError> {
        serde_json::from_slice(bytes).map_err(|error| AttestationError::Form(error.to_string()))
    }

    /// Returns its text.
    ///
    /// # Panics
    /// Never: all that it has can be written.
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("an envelope is plain data") + "\n"
    }

    /// Returns what it says, and what `vouch` says of the first signature that counts; it is given a signature and what was signed.
    ///
    /// # Errors
    /// Where it says something else, or no signature counts.
    pub fn open(&self, vouch: impl Fn(&str, &[u8]) -> Result<String, String>) -> Result<(Statement, String), AttestationError> {
        if self.payload_type != PAYLOAD {
            return Err(AttestationError::Content("its payload is of another type"));
        }
        let payload = decode(&self.payload).ok_or_else(|| AttestationError::Form("its payload is no Base64".to_owned()))?;
        let message = signed(&self.payload_type, &payload);
        let mut why = "there is none".to_owned();
        for Signature { sig } in &self.signatures {
            match vouch(&armoured(sig), &message) {
                // What nobody has vouched for is not read.
                Ok(who) => return Ok((Statement::read(&payload)?, who)),
                Err(reason) => why = reason,
            }
        }
        Err(AttestationError::Signature(why))
    }
}

/// Returns a signature as ssh-keygen(1) writes it.
fn armoured(sig: &str) -> String {
    let letters: Vec<char> = sig.chars().collect();
    let lines = letters.chunks(WIDTH).map(|line| line.iter().collect::<String>() + "\n");
    format!("{}\n{}{}\n", ARMOUR[0], lines.collect::<String>(), ARMOUR[1])
}

impl Statement {
    fn read(payload: &[u8]) -> Result<Self, AttestationError> {
        let value: Value = serde_json::from_slice(payload).map_err(|error| AttestationError::Form(error.to_string()))?;
        let build = &value["predicate"]["buildDefinition"];
        let is_ours = value["_type"] == STATEMENT && value["predicateType"] == PROVENANCE && build["buildType"] == BUILD;
        if !is_ours {
            return Err(AttestationError::Content("it is of another kind"));
        }
        let text = |value: &Value| value.as_str().map(str::to_owned).ok_or(AttestationError::Content("something is missing in it"));
        let source = &build["resolvedDependencies"][0]["digest"];
        let subject = value["subject"].as_array().ok_or(AttestationError::Content("it has no subject"))?;
        let files = subject.iter().map(|file| Ok((text(&file["name"])?, text(&file["digest"]["sha256"])?)));
        Ok(Self {
            release: text(&build["externalParameters"]["release"])?,
            name: text(&build["externalParameters"]["name"])?,
            commit: text(&source["gitCommit"])?,
            tree: text(&source["gitTree"])?,
            files: files.collect::<Result<_, AttestationError>>()?,
        })
    }

    /// Makes sure that these artifacts, all that there are, are the release that it is about.
    ///
    /// # Errors
    /// How they differ, for people.
    pub fn check(&self, artifacts: Vec<Artifact>) -> Result<(), String> {
        let manifest = Manifest::new(artifacts, self.commit.clone(), self.tree.clone(), false);
        let found = files(&manifest);
        for (name, hash) in &self.files {
            match found.iter().find(|(other, _)| other == name) {
                None => return Err(format!("`{name}` is missing")),
                Some((_, other)) if other != hash => return Err(format!("`{name}` is not what it was")),
                Some(_) => {}
            }
        }
        if let Some((name, _)) = found.iter().find(|file| !self.files.contains(file)) {
            return Err(format!("`{name}` is no part of the release"));
        }
        // What is left: links, empty folders, and which files can be executed.
        let is_it = Hash::parse(&self.release) == Some(manifest.id());
        if is_it { Ok(()) } else { Err("its links, its empty folders or the modes of its files are not what they were".to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_as_dsse_says() {
        // The example of its specification.
        assert_eq!(signed("http://example.com/HelloWorld", b"hello world"), b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }

    #[test]
    fn what_nobody_vouches_for_is_not_read() {
        let envelope = |payload: &str| {
            let payload = String::from_utf8(encode(payload.as_bytes(), STANDARD)).unwrap();
            json!({ "payloadType": PAYLOAD, "payload": payload, "signatures": [{ "sig": "AAAA", "keyid": "x" }] }).to_string()
        };
        let open = |payload: &str, vouched: bool| {
            let vouch = |_: &str, _: &[u8]| if vouched { Ok("ann".to_owned()) } else { Err("no key".to_owned()) };
            Envelope::parse(envelope(payload).as_bytes()).unwrap().open(vouch).unwrap_err()
        };
        assert_eq!(open("nonsense", false), AttestationError::Signature("no key".to_owned()));
        assert!(matches!(open("nonsense", true), AttestationError::Form(_)));
        assert_eq!(open("{}", true), AttestationError::Content("it is of another kind"));
        assert!(Envelope::parse(b"[]").is_err());
    }

    #[test]
    fn a_signature_is_packed_as_ssh_keygen_does() {
        let text = armoured(&"x".repeat(100));
        assert_eq!(text.lines().map(str::len).collect::<Vec<_>>(), [29, 70, 30, 27]);
    }
}
