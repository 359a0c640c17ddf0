//! Where the boxes of a graph stand and how its lines run: in columns, each box behind all that it waits for.
//!
//! Knows sizes and edges; knows nothing of stages. The way of Sugiyama, Tagawa and Toda (1981): layers by the longest path, lines that cross
//! a layer keep a place in it, order by barycentres, then heights as near to their neighbours as the order allows.

/// How large things are drawn, in pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// The height of a box.
    pub(super) height: f64,
    /// The room between boxes of one column.
    pub(super) gap: f64,
    /// The height that a line takes where it passes boxes.
    pub(super) lane: f64,
    /// The room between two columns.
    pub(super) between: f64,
    /// How wide rows of boxes without any line may be.
    pub(super) row: f64,
}

/// How often the order and the heights are improved.
const SWEEPS: usize = 12;

/// A drawn graph.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// The whole size.
    pub(super) width: f64,
    pub(super) height: f64,
    /// The left edge, the upper edge and the width of each box.
    pub(super) boxes: Vec<(f64, f64, f64)>,
    /// The lines.
    pub(super) lines: Vec<Line>,
}

/// A line: from which box, to which, through which points.
pub(super) type Line = (usize, usize, Vec<(f64, f64)>);

/// Something that stands in a column: a box, or a line on its way.
#[derive(Debug, Clone)]
struct Item {
    layer: usize,
    node: Option<usize>,
    before: Vec<usize>,
    behind: Vec<usize>,
    /// The middle.
    y: f64,
}

impl Item {
    fn height(&self, sizes: Sizes) -> f64 {
        if self.node.is_some() { sizes.height + sizes.gap } else { sizes.lane + sizes.gap / 2.0 }
    }
}

/// Returns the layout of boxes of these widths. Each edge leads from a smaller number to a greater one.
pub(super) fn layout(widths: &[f64], edges: &[(usize, usize)], sizes: Sizes) -> Layout {
    let edges = reduced(widths.len(), edges);
    let is_alone = |node: usize| !edges.iter().any(|(from, to)| *from == node || *to == node);
    let (alone, joined): (Vec<usize>, Vec<usize>) = (0..widths.len()).partition(|node| is_alone(*node));
    let mut drawn = Layout { boxes: vec![(0.0, 0.0, 0.0); widths.len()], ..Layout::default() };
    if !joined.is_empty() {
        place_joined(&mut drawn, widths, &joined, &edges, sizes);
    }
    place_alone(&mut drawn, widths, &alone, sizes);
    drawn
}

/// Leaves out each edge that another way leads along, too.
fn reduced(count: usize, edges: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let mut before: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (from, to) in edges.iter().filter(|(from, to)| from < to && *to < count) {
        before[*to].push(*from);
    }
    let mut reached: Vec<Vec<bool>> = Vec::with_capacity(count);
    let mut kept = Vec::new();
    for (to, sources) in before.iter_mut().enumerate() {
        sources.sort_unstable();
        sources.dedup();
        let mut reach = vec![false; count];
        // The nearest first: whatever it reaches needs no line of its own.
        for from in sources.iter().rev() {
            if !reach[*from] {
                kept.push((*from, to));
                reach[*from] = true;
                reach.iter_mut().zip(&reached[*from]).for_each(|(mark, other)| *mark |= other);
            }
        }
        reached.push(reach);
    }
    kept
}

/// Returns the layer of each node: behind all before it, and of what waits for nothing just before what waits for it.
fn layers(count: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut layers = vec![0; count];
    let mut sorted = edges.to_vec();
    sorted.sort_unstable_by_key(|(from, to)| (*to, *from));
    for (from, to) in &sorted {
        layers[*to] = layers[*to].max(layers[*from] + 1);
    }
    for node in 0..count {
        if !edges.iter().any(|(_, to)| *to == node) {
            layers[node] = edges.iter().filter(|(from, _)| *from == node).map(|(_, to)| layers[*to] - 1).min().unwrap_or(0);
        }
    }
    layers
}

fn place_joined(drawn: &mut Layout, widths: &[f64], joined: &[usize], edges: &[(usize, usize)], sizes: Sizes) {
    let layers = layers(widths.len(), edges);
    let columns = joined.iter().map(|node| layers[*node] + 1).max().unwrap_or(0);
    let (mut items, chains) = items(widths.len(), &layers, joined, edges);
    let mut order: Vec<Vec<usize>> = vec![Vec::new(); columns];
    items.iter().enumerate().for_each(|(number, item)| order[item.layer].push(number));
    sort(&items, &mut order);
    settle(&mut items, &order, sizes);
    let mut left = 0.0;
    let mut edges_of: Vec<(f64, f64)> = Vec::new();
    for column in &order {
        let width = column.iter().filter_map(|item| items[*item].node).map(|node| widths[node]).fold(0.0, f64::max);
        edges_of.push((left, left + width));
        left += width + sizes.between;
    }
    drawn.width = left - sizes.between;
    drawn.height = items.iter().map(|item| item.y + item.height(sizes) / 2.0).fold(0.0, f64::max);
    for item in &items {
        if let Some(node) = item.node {
            drawn.boxes[node] = (edges_of[item.layer].0, item.y - sizes.height / 2.0, edges_of[item.layer].1 - edges_of[item.layer].0);
        }
    }
    for ((from, to), chain) in edges.iter().zip(chains) {
        let mut points = Vec::new();
        for (place, item) in chain.iter().enumerate() {
            let (start, end) = edges_of[items[*item].layer];
            if place > 0 {
                points.push((start, items[*item].y));
            }
            if place + 1 < chain.len() {
                points.push((end, items[*item].y));
            }
        }
        drawn.lines.push((*from, *to, points));
    }
}

/// Returns what stands in the columns, and the chain of items of each edge.
fn items(count: usize, layers: &[usize], joined: &[usize], edges: &[(usize, usize)]) -> (Vec<Item>, Vec<Vec<usize>>) {
    let item = |layer, node| Item { layer, node, before: Vec::new(), behind: Vec::new(), y: 0.0 };
    let mut items: Vec<Item> = joined.iter().map(|node| item(layers[*node], Some(*node))).collect();
    let mut own = vec![usize::MAX; count];
    joined.iter().enumerate().for_each(|(number, node)| own[*node] = number);
    let mut chains = Vec::with_capacity(edges.len());
    for (from, to) in edges {
        let mut chain = vec![own[*from]];
        for layer in layers[*from] + 1..layers[*to] {
            chain.push(items.len());
            items.push(item(layer, None));
        }
        chain.push(own[*to]);
        for pair in chain.windows(2) {
            items[pair[0]].behind.push(pair[1]);
            items[pair[1]].before.push(pair[0]);
        }
        chains.push(chain);
    }
    (items, chains)
}

/// Orders each column by the middle of the neighbours, to and fro.
fn sort(items: &[Item], order: &mut [Vec<usize>]) {
    let mut rank = vec![0.0; items.len()];
    let number = |column: &[usize], rank: &mut Vec<f64>| {
        for (place, item) in column.iter().enumerate() {
            rank[*item] = relative(place, column.len());
        }
    };
    order.iter().for_each(|column| number(column, &mut rank));
    for sweep in 0..SWEEPS {
        let forward = sweep % 2 == 0;
        let columns: Vec<usize> = if forward { (0..order.len()).collect() } else { (0..order.len()).rev().collect() };
        for column in columns {
            let key = |item: usize| {
                let neighbours = if forward { &items[item].before } else { &items[item].behind };
                mean(neighbours.iter().map(|other| rank[*other])).unwrap_or(rank[item])
            };
            order[column].sort_by(|a, b| key(*a).total_cmp(&key(*b)));
            let sorted = order[column].clone();
            number(&sorted, &mut rank);
        }
    }
}

/// The place in a column from 0 to 1, so that columns of different lengths compare.
#[expect(clippy::cast_precision_loss, reason = "no graph has so many boxes")]
fn relative(place: usize, of: usize) -> f64 {
    (place as f64 + 0.5) / of as f64
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

/// Gives each item a height as near to its neighbours' as the order allows.
fn settle(items: &mut [Item], order: &[Vec<usize>], sizes: Sizes) {
    for column in order {
        let mut y = 0.0;
        for item in column {
            items[*item].y = y + items[*item].height(sizes) / 2.0;
            y += items[*item].height(sizes);
        }
    }
    for sweep in 0..SWEEPS {
        let columns: Vec<&Vec<usize>> = if sweep % 2 == 0 { order.iter().collect() } else { order.iter().rev().collect() };
        for column in columns {
            let wanted: Vec<f64> = column
                .iter()
                .map(|item| {
                    let item = &items[*item];
                    let near = item.before.iter().chain(&item.behind).map(|other| items[*other].y);
                    mean(near).unwrap_or(item.y)
                })
                .collect();
            let heights: Vec<f64> = column.iter().map(|item| items[*item].height(sizes)).collect();
            for (item, y) in column.iter().zip(spread(&wanted, &heights)) {
                items[*item].y = y;
            }
        }
    }
    let top = items.iter().map(|item| item.y - item.height(sizes) / 2.0).fold(f64::INFINITY, f64::min);
    items.iter_mut().for_each(|item| item.y -= top);
}

/// Returns the middles nearest to the `wanted` ones, by least squares, such that things of these heights in this order do not overlap: pools of
/// neighbours that want to be in each other's place share the mean.
fn spread(wanted: &[f64], heights: &[f64]) -> Vec<f64> {
    let mut offsets = Vec::with_capacity(wanted.len());
    let mut offset = 0.0;
    for (place, height) in heights.iter().enumerate() {
        offset += if place == 0 { 0.0 } else { f64::midpoint(*height, heights[place - 1]) };
        offsets.push(offset);
    }
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for (wanted, offset) in wanted.iter().zip(&offsets) {
        let mut pool = (wanted - offset, 1);
        while let Some(last) = pools.last().copied().filter(|last| last.0 > pool.0) {
            pools.pop();
            pool = (weighted(last, pool), last.1 + pool.1);
        }
        pools.push(pool);
    }
    let values = pools.iter().flat_map(|(value, count)| std::iter::repeat_n(*value, *count));
    values.zip(&offsets).map(|(value, offset)| value + offset).collect()
}

#[expect(clippy::cast_precision_loss, reason = "no graph has so many boxes")]
fn weighted(one: (f64, usize), other: (f64, usize)) -> f64 {
    (one.0 * one.1 as f64 + other.0 * other.1 as f64) / (one.1 + other.1) as f64
}

/// Puts boxes without any line below the others, in rows.
fn place_alone(drawn: &mut Layout, widths: &[f64], alone: &[usize], sizes: Sizes) {
    let Sizes { height, gap, row, .. } = sizes;
    let column = alone.iter().map(|node| widths[*node]).fold(0.0, f64::max);
    let most = drawn.width.max(row);
    let (mut x, mut y) = (0.0, if drawn.height > 0.0 { drawn.height + gap } else { gap / 2.0 });
    for node in alone {
        if x > 0.0 && x + column > most {
            x = 0.0;
            y += height + gap;
        }
        drawn.boxes[*node] = (x, y, column);
        drawn.width = drawn.width.max(x + column);
        drawn.height = y + height + gap / 2.0;
        x += column + gap * 1.5;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZES: Sizes = Sizes { height: 30.0, gap: 12.0, lane: 8.0, between: 56.0, row: 900.0 };

    #[test]
    fn lines_that_say_nothing_new_are_left_out() {
        assert_eq!(reduced(4, &[(0, 1), (1, 2), (0, 2), (2, 3), (0, 3), (5, 1), (3, 1)]), [(0, 1), (1, 2), (2, 3)]);
    }

    #[test]
    fn a_chain_lies_on_one_line() {
        let drawn = layout(&[100.0; 3], &[(0, 1), (1, 2)], SIZES);
        assert_eq!(drawn.boxes.iter().map(|(x, ..)| *x).collect::<Vec<_>>(), [0.0, 156.0, 312.0]);
        assert!(drawn.boxes.windows(2).all(|pair| (pair[0].1 - pair[1].1).abs() < 0.01));
        assert!((drawn.width - 412.0).abs() < 0.01);
    }

    proptest! {
        #[test]
        fn no_boxes_overlap_and_lines_lead_right(
            count in 1usize..40,
            edges in prop::collection::vec((0usize..40, 0usize..40), 0..80),
        ) {
            let edges: Vec<(usize, usize)> = edges.into_iter().map(|(a, b)| (a.min(b) % count, a.max(b) % count)).filter(|(a, b)| a < b).collect();
            let widths: Vec<f64> = (0..count).map(|node| 80.0 + f64::from(u32::try_from(node).unwrap())).collect();
            let drawn = layout(&widths, &edges, SIZES);
            for (one, (x, y, width)) in drawn.boxes.iter().enumerate() {
                prop_assert!(*x >= 0.0 && *y >= 0.0 && x + width <= drawn.width + 0.01 && y + SIZES.height <= drawn.height + 0.01);
                prop_assert!(*width >= widths[one]);
                for (other_x, other_y, other_width) in &drawn.boxes[..one] {
                    let apart = x + width <= *other_x || other_x + other_width <= *x || y + SIZES.height <= *other_y || other_y + SIZES.height <= *y;
                    prop_assert!(apart);
                }
            }
            for (from, to, points) in &drawn.lines {
                prop_assert!(edges.contains(&(*from, *to)));
                prop_assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0 + 0.01));
            }
        }
    }
}
