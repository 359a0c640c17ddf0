//! `schema`, `completions`, `man`: what editors, shells and people want to know of shipway itself.

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::failing::Failing;
use super::screen::Screen;
use crate::config::json_schema::json_schema;

/// Prints the JSON Schema of `pipeline.toml`.
pub(super) fn schema(screen: &mut Screen) {
    screen.print(&format!("{:#}\n", json_schema()));
}

/// Prints the completions for a shell.
pub(super) fn completions(mut app: Command, shell: Shell, screen: &mut Screen) {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut app, "shipway", &mut text);
    screen.print(&String::from_utf8_lossy(&text));
}

/// Prints one manual page for all commands.
pub(super) fn manual(app: Command, screen: &mut Screen) -> Result<(), Failing> {
    let text = page(app).map_err(|error| anyhow::anyhow!("the manual cannot be made: {error}"))?;
    screen.print(&String::from_utf8_lossy(&text));
    Ok(())
}

fn page(mut app: Command) -> std::io::Result<Vec<u8>> {
    app.build();
    let mut text = Vec::new();
    let main = Man::new(app.clone());
    main.render_title(&mut text)?;
    main.render_name_section(&mut text)?;
    main.render_synopsis_section(&mut text)?;
    main.render_description_section(&mut text)?;
    main.render_options_section(&mut text)?;
    for command in app.get_subcommands().filter(|command| !command.is_hide_set()) {
        subcommand(command, &mut text)?;
    }
    main.render_extra_section(&mut text)?;
    main.render_version_section(&mut text)?;
    Ok(text)
}

/// Writes a section for one command: what it does and its own flags.
fn subcommand(command: &Command, text: &mut Vec<u8>) -> std::io::Result<()> {
    let mut section = Roff::new();
    section.control("SH", [&*format!("shipway {}", command.get_name())]);
    section.text([roman(command.get_about().map(ToString::to_string).unwrap_or_default())]);
    for argument in
        command.get_arguments().filter(|argument| !argument.is_global_set() && !argument.is_hide_set() && argument.get_id() != "help")
    {
        let value =
            argument.get_value_names().map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")).unwrap_or_default();
        let long = argument.get_long().map(|long| format!("--{long}"));
        let short = argument.get_short().map(|short| format!("-{short}"));
        let flags: Vec<String> = [short, long].into_iter().flatten().collect();
        let takes_value = argument.get_action().takes_values();
        let name = [flags.join(", "), if takes_value || flags.is_empty() { value } else { String::new() }].join(" ");
        section.control("TP", []);
        section.text([clap_mangen::roff::bold(name.trim())]);
        section.text([roman(argument.get_help().map(ToString::to_string).unwrap_or_default())]);
    }
    section.to_writer(text)
}
