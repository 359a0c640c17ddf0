//! What a file says of delivery: the contract's own example, and all that can be wrong with it.

use crate::project::Project;

/// The tables of section 8 of the contract.
const EXAMPLE: &str = r#"
[pipeline]
name = "shop"
[stages.test]
steps = ["true"]
[stages.audit]
steps = ["true"]
[delivery]
share = "git"
store = "/srv/releases"
[release]
needs = ["test", "audit"]
artifacts = ["target/release/shop", "config/"]
[environments.staging]
like      = "production"
target    = "app"
promote   = "auto"
env       = { HOST = "staging.internal" }
provision = ["ansible-playbook infra/staging.yml"]
verify    = ["hurl --test acceptance/"]
[environments.production]
from     = ["staging"]
soak     = "2h"
policy   = ["policy/*.rego"]
gates    = ["./change-ticket.sh"]
approve  = { signers = "allowed_signers", count = 1, not-author = true, expires = "24h" }
freeze   = [{ from = "Fri 15:00", to = "Mon 08:00", zone = "Europe/Paris" }, { from = "2026-12-20", to = "2027-01-03", zone = "UTC" }]
target   = "web"
rollout  = [5, 25, 50, 100]
pause    = "2m"
analysis = { run = ["./slo.sh", "{canary}", "{stable}"], every = "10s", failures = 1, errors = 4, min-samples = 300 }
keep     = "30m"
on-abort = ["./page.sh"]
[targets.site]
kind = "directory"
path = "/srv/site"
[targets.app]
kind = "process"
start = ["{dir}/shop"]
listen = "127.0.0.1:8080"
ready = { http = "/up" }
drain = "30s"
[targets.web]
kind  = "command"
start = ["./app.sh", "start", "{slot}", "{dir}"]
ready = { http = "http://127.0.0.1:{port}/up" }
shift = ["./lb.sh", "{slot}", "{weight}"]
stop  = ["./app.sh", "stop", "{slot}"]
observe = ["./app.sh", "which"]
slots = { blue = { port = 8081 }, green = { port = 8082 } }
[targets.checkout]
kind = "flag"
file = "flags.json"
flag = "new-checkout"
variant = "on"
"#;

#[test]
fn the_example_of_the_contract_is_valid() {
    let project = Project::empty();
    project.write("pipeline.toml", EXAMPLE).write("policy/size.rego", "").write("allowed_signers", "");
    project.shipway(["check"]).exits(0);
    // Read again from what was kept of it.
    project.shipway(["run", "-q"]).exits(0);
    project.shipway(["run", "-q"]).exits(0);
}

/// What is said of the example with `from` replaced by `to`.
#[track_caller]
fn refused(from: &str, to: &str) -> String {
    assert!(EXAMPLE.contains(from), "{from}");
    let project = Project::empty();
    project.write("pipeline.toml", EXAMPLE.replacen(from, to, 1));
    project.shipway(["check"]).exits(2).stderr
}

#[test]
fn a_rollout_that_leads_nowhere_is_refused() {
    let rollout = "rollout  = [5, 25, 50, 100]";
    for other in ["[5, 25, 50]", "[50, 25, 100]", "[0, 0, 100]", "[101]", "[]"] {
        let said = refused(rollout, &format!("rollout = {other}"));
        assert!(said.contains("`rollout` does not lead to 100"), "{other}: {said}");
    }
    let both = format!("{rollout}\npause    = \"2m\"");
    let nobody = "nothing waits for `resume`: the release gets all of the traffic at once";
    let said = refused(&both, "pause = \"manual\"");
    assert!(said.contains(nobody) && said.contains("help: rollout = [0, 100]"), "{said}");
    let said = refused(&both, "rollout = [5, 25]\npause = \"manual\"");
    assert!(said.contains("`rollout` does not lead to 100") && !said.contains(nobody), "{said}");
    // Where there is no room for two a share is no help.
    let said = refused(&format!("target   = \"web\"\n{both}"), "target = \"site\"\npause = \"manual\"");
    assert!(said.contains(nobody) && said.contains("help: take it out"), "{said}");
}

#[test]
fn what_is_wrong_is_said_where_it_stands() {
    for (from, to, expected) in [
        ("like      = \"production\"", "like = \"prodction\"", "an environment with a similar name exists: `production`"),
        ("from     = [\"staging\"]", "from = [\"stagin\"]", "there is no environment `stagin`"),
        ("from     = [\"staging\"]", "from = [\"production\"]", "available only where it was verified in itself"),
        ("from     = [\"staging\"]\n", "", "`soak` is about where a release was verified before"),
        ("target   = \"web\"", "target = \"wep\"", "a target with a similar name exists: `web`"),
        ("target   = \"web\"\n", "", "the environment `production` has no `target`"),
        ("promote   = \"auto\"", "promote = \"always\"", "`always` is none of \"auto\", \"manual\""),
        ("target   = \"web\"", "target = \"site\"", "the target `site` is a directory, whose link leads to one release"),
        ("shift = [\"./lb.sh\", \"{slot}\", \"{weight}\"]\n", "", "the target `web` has no `shift`, so nothing gives a release its share"),
        ("pause    = \"2m\"", "pause = \"2 minutes\"", "`2 minutes` is no pause"),
        ("from = \"Fri 15:00\"", "from = \"Friday afternoon\"", "`Friday afternoon` is no moment"),
        ("to = \"2027-01-03\"", "to = \"2026-01-03\"", "a freeze ends before it begins"),
        ("to = \"2027-01-03\"", "to = \"Mon 08:00\"", "one end of a freeze is of each week"),
        ("zone = \"Europe/Paris\"", "zone = \"Europe/Pariss\"", "there is no time zone `Europe/Pariss`"),
        ("every = \"10s\"", "evry = \"10s\"", "`analysis` has no key `evry`"),
        ("\"{canary}\"", "\"{canry}\"", "a placeholder with a similar name exists: `canary`"),
        ("{slot}", "{slto}", "there is no placeholder `{slto}`"),
        ("[\"./page.sh\"]", "[\"./page.sh ${USER}\"]", "braces that mean themselves are written twice"),
        ("listen = \"127.0.0.1:8080\"", "listen = \"localhost\"", "`localhost` is no address to listen on"),
        ("listen = \"127.0.0.1:8080\"", "listen = \"127.0.0.1:0\"", "`127.0.0.1:0` is no address to listen on"),
        ("ready = { http = \"/up\" }", "ready = { http = \"up\" }", "`up` is no address that can be asked"),
        ("[\"{dir}/shop\"]", "[\"{dir}/shop\", \"{prot}\"]", "a placeholder with a similar name exists: `port`"),
        ("path = \"/srv/site\"\n", "", "has no `path`, which one of the kind `directory` needs"),
        ("path = \"/srv/site\"", "path = \"/srv/site\"\nlisten = \"127.0.0.1:1\"", "a target of the kind `directory` has no key `listen`"),
        ("kind = \"flag\"", "kind = \"flags\"", "`flags` is none of"),
        (", green = { port = 8082 }", "", "a target has two slots, not 1"),
        ("green = { port = 8082 }", "green = { port = 8082, host = \"a\" }", "the slot `green` has a key `host`, and `blue` has not"),
        ("blue = { port = 8081 }, green = { port = 8082 }", "blue = {}, green = {}", "there is no placeholder `{port}`"),
        ("port = 8081", "port = 0", "`0` is no port"),
        ("port = 8082", "port = 8081", "the slots `blue` and `green` have the same port"),
        (
            "kind = \"flag\"",
            "kind = \"directory\"\npath = \"/srv/other/../site/\"\n[targets.flag]\nkind = \"flag\"",
            "two targets have the folder `/srv/other/../site/`",
        ),
        (
            "{ port = 8081 }, green = { port = 8082 }",
            "{ port = 1, dir = 1 }, green = { port = 2, dir = 2 }",
            "which is the name of something else",
        ),
        ("{ http = \"http://127.0.0.1:{port}/up\" }", "{ http = \"https://127.0.0.1:{port}/up\" }", "only plain http:// is asked"),
        ("{ http = \"http://127.0.0.1:{port}/up\" }", "{ port = \"{slot}\" }", "`blue` is no port"),
        ("{ http = \"http://127.0.0.1:{port}/up\" }", "{ timeout = \"5s\" }", "`ready` needs exactly one of `http`, `port`, `command`"),
        ("verify    = [\"hurl", "verify = [\"{slto}", "there is no placeholder `{slto}`"),
        ("needs = [\"test\", \"audit\"]", "needs = [\"tset\"]", "there is no stage `tset`"),
        ("\"config/\"", "\"../config\"", "above the project's folder"),
        ("signers = \"allowed_signers\", ", "", "`approve` has no `signers`"),
        ("share = \"git\"", "share = \"svn\"", "`svn` is none of \"git\""),
        ("env       = { HOST", "secrets = [\"HOST\"]\nenv = { HOST", "`HOST` is both in `env` and in `secrets`"),
    ] {
        let said = refused(from, to);
        assert!(said.contains(expected), "{to}: {said}");
        assert!(said.contains("pipeline.toml is not valid: 1 error;"), "{to}: {said}");
    }
}

#[test]
fn a_file_that_an_environment_names_is_there() {
    let project = Project::empty();
    project.write("pipeline.toml", EXAMPLE).write("policy/size_test.rego", "");
    let said = project.shipway(["check"]).exits(2).stderr;
    assert!(said.contains("there is no file `allowed_signers`, so nobody could approve\n  --> pipeline.toml:26:24"), "{said}");
    assert!(said.contains("`policy/*.rego` means no file, so every release would be refused\n  --> pipeline.toml:24:13"), "{said}");
    assert!(said.contains("pipeline.toml is not valid: 2 errors;"), "once each, though `staging` is like it: {said}");
    // Whoever only runs stages needs none of them.
    project.shipway(["run", "-q"]).exits(0);
    project.write("policy/size.rego", "").write("allowed_signers", "");
    project.shipway(["check"]).exits(0);
}

#[test]
fn environments_that_are_like_each_other_are_told_once() {
    let said = refused("from     = [\"staging\"]", "like = \"staging\"\nfrom = [\"staging\"]");
    assert!(said.contains("environments are like each other in a circle: `staging` -> `production` -> `staging`"), "{said}");
}

#[test]
fn why_a_release_goes_back_is_never_in_a_command() {
    let said = refused("[\"./page.sh\"]", "[[\"./page.sh\", \"{reason}\"]]");
    assert!(said.contains("there is no placeholder `{reason}`"), "{said}");
}

#[test]
fn where_there_is_room_for_one_nothing_is_split_or_kept() {
    let file = "[stages.x]\nsteps = [\"true\"]\n[targets.x]\nkind = \"command\"\nstart = \"true\"\nshift = \"true\"\n[environments.x]\ntarget = \"x\"\n";
    Project::new(file).shipway(["check"]).exits(0);
    let said = Project::new(&format!("{file}rollout = [5, 100]\nkeep = \"1m\"\n")).shipway(["check"]).exits(2).stderr;
    assert_eq!(said.matches("the target `x` has no `slots`, so what is started takes the place of what serves").count(), 2, "{said}");
    assert!(said.contains("help: rollout = [100]") && said.contains("nothing is kept"), "{said}");
}
