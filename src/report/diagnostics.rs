//! Draws what is wrong with a file: the place, the text, the underline, the help.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Element, Level, Origin, Renderer, Snippet};

use crate::base::diagnostic::{Diagnostic, Severity};
use crate::base::source::{Source, Sources};

/// A line longer than this is shown in part, in bytes.
const LONGEST: usize = 400;

/// More than this many are counted, not shown: nobody reads on.
const MOST: usize = 1000;

/// Returns `diagnostics` as text, a blank line behind each.
pub fn render(diagnostics: &[Diagnostic], sources: &Sources, coloured: bool) -> String {
    let renderer = if coloured { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.decor_style(DecorStyle::Ascii);
    let mut text: String =
        diagnostics.iter().take(MOST).map(|diagnostic| renderer.render(&[group(diagnostic, sources)]) + "\n\n").collect();
    if diagnostics.len() > MOST {
        text += &format!("and {} more\n\n", diagnostics.len() - MOST);
    }
    text
}

fn group<'a>(diagnostic: &'a Diagnostic, sources: &'a Sources) -> annotate_snippets::Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut elements: Vec<Element<'a>> = Vec::new();
    for (index, label) in diagnostic.labels.iter().enumerate() {
        let (source, place) = sources.find(&label.span);
        let lines = source.lines_around(&place);
        let kind = if index == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
        if lines.len() > LONGEST {
            elements.extend(excerpt(source, &place, &label.text, &lines, kind));
            continue;
        }
        let span = place.start - lines.start..place.end - lines.start;
        let snippet = Snippet::source(&source.text[lines.clone()]).path(&source.name).line_start(source.line(lines.start));
        elements.push(snippet.annotation(kind.span(span).label(&label.text)).into());
    }
    if let Some(help) = &diagnostic.help {
        elements.push(Level::HELP.message(help).into());
    }
    level.primary_title(&diagnostic.message).elements(elements)
}

/// Shows the beginning of what is underlined, and a little of what stands before it.
fn excerpt<'a>(
    source: &'a Source,
    place: &std::ops::Range<usize>,
    label: &'a str,
    lines: &std::ops::Range<usize>,
    kind: AnnotationKind,
) -> [Element<'a>; 2] {
    let text = &source.text;
    let boundary = |mut at: usize| {
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let line_start = source.lines_around(&(place.start..place.start)).start;
    let first = boundary(place.start.saturating_sub(60).max(line_start));
    let line_end = text[first..lines.end].find('\n').map_or(lines.end, |length| first + length);
    let last = boundary((place.start + 160).min(line_end).max(place.start));
    let span = place.start - first..place.end.min(last) - first;
    let column = text[line_start..place.start].chars().count() + 1;
    let line = source.line(place.start);
    let origin = Origin::path(&source.name).line(line).char_column(column);
    [origin.into(), Snippet::source(&text[first..last]).line_start(line).annotation(kind.span(span).label(label)).into()]
}
