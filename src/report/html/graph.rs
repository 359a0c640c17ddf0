//! The picture of who waits for whom.

use std::collections::HashMap;

use super::layout::{Layout, Sizes, layout};
use super::text::escape;
use super::{class, word};
use crate::base::text::count;
use crate::report::story::Story;

/// From so many stages on, those of one matrix are one box.
const FOLDED: usize = 60;

/// Of more boxes than this there is a map first, without names.
const NAMED: usize = 60;

/// How large boxes are with names, and without.
const LARGE: Sizes = Sizes { height: 30.0, gap: 12.0, lane: 8.0, between: 56.0, row: 1050.0 };
const SMALL: Sizes = Sizes { height: 18.0, gap: 5.0, lane: 3.0, between: 30.0, row: 1050.0 };

/// The width of a box without a name.
const NARROW: f64 = 26.0;

/// More boxes than this are not drawn.
const MOST: usize = 400;

/// The longest name in a box, in characters, and what a character takes.
const NAME: usize = 30;
const CHARACTER: f64 = 7.3;

/// The room around the picture.
const MARGIN: f64 = 6.0;

/// One box: a stage, or all of a matrix.
struct Node {
    label: String,
    title: String,
    class: &'static str,
    /// The stage that it leads to.
    stage: usize,
    is_critical: bool,
}

/// Returns the section; nothing where no stage waits for another.
pub(super) fn section(story: &Story, path: &[usize]) -> String {
    if story.stages.iter().all(|stage| stage.needs.is_empty() && stage.after.is_empty()) {
        return String::new();
    }
    let heading = "<section class=\"graph\" aria-labelledby=\"graph\">\n<h2 id=\"graph\">Graph</h2>\n";
    let (nodes, edges) = fold(story, path);
    if nodes.len() > MOST {
        return format!(
            "{heading}<p class=\"hint\">{} are too many for a picture; each says below what it waits for.</p>\n</section>\n",
            count(nodes.len(), "stage")
        );
    }
    let folded = if story.stages.len() == nodes.len() { "" } else { "Stages of one matrix are one box. " };
    let mut html = format!("{heading}<p class=\"hint\">{folded}The stronger lines are the chain that the run took so long for.</p>\n");
    let is_map = nodes.len() > NAMED;
    if is_map {
        let drawn = layout(&vec![NARROW; nodes.len()], &edges, SMALL);
        html += &scroll("Map of the stages", " map", &picture(&nodes, &drawn, SMALL, false));
        html += "<details class=\"inner\"><summary>The same with names</summary>\n";
    }
    let widths: Vec<f64> = nodes.iter().map(|node| width(&node.label)).collect();
    html += &scroll("Graph of the stages", "", &picture(&nodes, &layout(&widths, &edges, LARGE), LARGE, true));
    html + if is_map { "</details>\n</section>\n" } else { "</section>\n" }
}

fn scroll(name: &str, class: &str, picture: &str) -> String {
    format!("<div class=\"scroll{class}\" tabindex=\"0\" role=\"region\" aria-label=\"{name}\">\n{picture}</div>\n")
}

fn fold(story: &Story, path: &[usize]) -> (Vec<Node>, Vec<(usize, usize)>) {
    let is_folded = story.stages.len() > FOLDED;
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    let mut own = Vec::with_capacity(story.stages.len());
    for (place, stage) in story.stages.iter().enumerate() {
        let name = if is_folded { stage.name.split_once(':').map_or(&*stage.name, |(group, _)| group) } else { &stage.name };
        let group = *known.entry(name).or_insert(groups.len());
        if group == groups.len() {
            groups.push(Vec::new());
        }
        groups[group].push(place);
        own.push(group);
    }
    let mut edges: Vec<(usize, usize)> = Vec::new();
    for (place, stage) in story.stages.iter().enumerate() {
        edges.extend(stage.upstream().map(|other| (own[other], own[place])).filter(|(from, to)| from < to));
    }
    edges.sort_unstable();
    edges.dedup();
    (groups.iter().map(|group| node(story, group, path)).collect(), edges)
}

fn node(story: &Story, group: &[usize], path: &[usize]) -> Node {
    let rank = |place: usize| match class(&story.stages[place]) {
        "failed" => 0,
        "cancelled" => 1,
        "open" => 2,
        "flaky" => 3,
        "passed" => 4,
        "cached" => 5,
        _ => 6,
    };
    let worst = group.iter().copied().min_by_key(|place| (rank(*place), *place)).unwrap_or(0);
    let stage = &story.stages[worst];
    let (label, title) = if group.len() == 1 {
        (stage.name.to_string(), format!("{}: {}", stage.name, word(stage)))
    } else {
        let name = stage.name.split(':').next().unwrap_or_default();
        (
            format!("{} ×{}", shorten(name, NAME - 5), group.len()),
            format!("{name}, {}: the worst {}", count(group.len(), "stage"), word(stage)),
        )
    };
    let is_critical = group.iter().any(|place| path.contains(place));
    Node { label: shorten(&label, NAME), title, class: class(stage), stage: worst, is_critical }
}

/// Cuts in the middle, since names of a matrix differ at their ends.
fn shorten(name: &str, most: usize) -> String {
    let length = name.chars().count();
    if length <= most {
        return name.to_owned();
    }
    let half = most / 2;
    name.chars().take(most - half - 1).chain(['…']).chain(name.chars().skip(length - half)).collect()
}

fn width(label: &str) -> f64 {
    let characters = u32::try_from(label.chars().count()).unwrap_or(0);
    f64::from(characters).mul_add(CHARACTER, 44.0).max(96.0)
}

fn picture(nodes: &[Node], drawn: &Layout, sizes: Sizes, is_named: bool) -> String {
    let (width, height) = (drawn.width + 2.0 * MARGIN, drawn.height + 2.0 * MARGIN);
    let mut svg = format!(
        "<svg width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"{:.0} {:.0} {width:.0} {height:.0}\" role=\"group\" aria-label=\"{}\">\n",
        -MARGIN,
        -MARGIN,
        count(nodes.len(), "box").replace("boxs", "boxes")
    );
    let is_critical = |from: usize, to: usize| nodes[from].is_critical && nodes[to].is_critical;
    let mut lines: Vec<(bool, String)> =
        drawn.lines.iter().map(|(from, to, points)| (is_critical(*from, *to), curve(points, is_critical(*from, *to)))).collect();
    lines.sort_by_key(|(is_critical, _)| *is_critical);
    lines.iter().for_each(|(_, line)| svg += line);
    for (node, place) in nodes.iter().zip(&drawn.boxes) {
        svg += &draw(node, *place, sizes, is_named);
    }
    svg + "</svg>\n"
}

fn draw(node: &Node, (x, y, width): (f64, f64, f64), sizes: Sizes, is_named: bool) -> String {
    let (class, title, height) = (node.class, escape(&node.title), sizes.height);
    let text = format!("<text x=\"{:.1}\" y=\"{:.1}\">{}</text>", x + 31.0, y + height / 2.0 + 4.5, escape(&node.label));
    let (text, left) = if is_named { (text, x + 9.0) } else { (String::new(), x + width / 2.0 - 8.0) };
    format!(
        "<a href=\"#stage-{}\" aria-label=\"{title}\"{}><title>{title}</title><rect class=\"box {class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height}\" rx=\"{}\"/><use class=\"mark {class}\" href=\"#mark-{class}\" x=\"{left:.1}\" y=\"{:.1}\" width=\"16\" height=\"16\"/>{text}</a>\n",
        node.stage,
        // The same stages come again below, so that nobody must step through all of a map.
        if is_named { "" } else { " tabindex=\"-1\"" },
        if is_named { 7 } else { 5 },
        y + height / 2.0 - 8.0,
    )
}

/// A line that leaves and arrives level.
fn curve(points: &[(f64, f64)], is_critical: bool) -> String {
    let Some(((x, y), rest)) = points.split_first() else { return String::new() };
    let mut path = format!("M{x:.1} {y:.1}");
    let (mut x, mut y) = (*x, *y);
    for (place, (next_x, next_y)) in rest.iter().enumerate() {
        if place % 2 == 0 {
            let middle = f64::midpoint(x, *next_x);
            path += &format!("C{middle:.1} {y:.1} {middle:.1} {next_y:.1} {next_x:.1} {next_y:.1}");
        } else {
            path += &format!("L{next_x:.1} {next_y:.1}");
        }
        (x, y) = (*next_x, *next_y);
    }
    let class = if is_critical { "line critical" } else { "line" };
    format!("<path class=\"{class}\" d=\"{path}\"/>\n")
}
