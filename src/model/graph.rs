//! Who waits for whom: a graph of stages without a circle.
//!
//! Knows only numbers; names are the pipeline's. All walks are loops, so a chain of any length is safe.

use serde::{Deserialize, Serialize};

use super::stage::StageId;

/// The edges of a pipeline, in both directions.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Graph {
    upstream: Vec<Vec<StageId>>,
    downstream: Vec<Vec<StageId>>,
    heights: Vec<u32>,
    order: Vec<StageId>,
}

impl Graph {
    /// Returns the graph in which stage `i` waits for `upstream[i]`.
    ///
    /// # Errors
    /// A circle, as the path of stages that wait for each other: each waits for the next, the last for the first.
    pub fn new(mut upstream: Vec<Vec<StageId>>) -> Result<Self, Vec<StageId>> {
        let mut downstream = vec![Vec::new(); upstream.len()];
        for (index, edges) in upstream.iter_mut().enumerate() {
            edges.sort_unstable();
            edges.dedup();
            for edge in edges {
                downstream[edge.index()].push(id(index));
            }
        }
        let order = sorted(&upstream, &downstream);
        if order.len() < upstream.len() {
            return Err(circle(&upstream, &order));
        }
        let mut heights = vec![0; upstream.len()];
        for stage in order.iter().rev() {
            heights[stage.index()] = downstream[stage.index()].iter().map(|next| heights[next.index()] + 1).max().unwrap_or(0);
        }
        Ok(Self { upstream, downstream, heights, order })
    }

    /// Returns the stages that `stage` waits for directly, in the order of the file.
    pub fn upstream(&self, stage: StageId) -> &[StageId] {
        &self.upstream[stage.index()]
    }

    /// Returns the stages that wait for `stage` directly, in the order of the file.
    pub fn downstream(&self, stage: StageId) -> &[StageId] {
        &self.downstream[stage.index()]
    }

    /// Returns the length of the longest chain of stages that wait for `stage`.
    pub fn height(&self, stage: StageId) -> u32 {
        self.heights[stage.index()]
    }

    /// Returns all stages, each behind those that it waits for.
    pub fn order(&self) -> &[StageId] {
        &self.order
    }

    /// Returns how many stages there are.
    pub fn len(&self) -> usize {
        self.upstream.len()
    }

    /// Tells whether there is no stage at all.
    pub fn is_empty(&self) -> bool {
        self.upstream.is_empty()
    }

    /// Marks `roots` and all that they wait for, directly or through others; `passable` false stops there, unmarked.
    pub fn ancestors(&self, roots: &[StageId], passable: impl Fn(StageId) -> bool) -> Vec<bool> {
        let mut marked = vec![false; self.len()];
        let mut open: Vec<StageId> = roots.to_vec();
        while let Some(stage) = open.pop() {
            if passable(stage) && !std::mem::replace(&mut marked[stage.index()], true) {
                open.extend_from_slice(self.upstream(stage));
            }
        }
        marked
    }
}

fn id(index: usize) -> StageId {
    StageId(u32::try_from(index).expect("a file of 4 GiB cannot hold more stages than fit in 32 bits"))
}

/// Kahn's algorithm; what lies on or behind a circle is left out.
fn sorted(upstream: &[Vec<StageId>], downstream: &[Vec<StageId>]) -> Vec<StageId> {
    let mut waiting: Vec<usize> = upstream.iter().map(Vec::len).collect();
    let mut order: Vec<StageId> = (0..upstream.len()).filter(|index| waiting[*index] == 0).map(id).collect();
    let mut next = 0;
    while let Some(stage) = order.get(next).copied() {
        next += 1;
        for follower in &downstream[stage.index()] {
            waiting[follower.index()] -= 1;
            if waiting[follower.index()] == 0 {
                order.push(*follower);
            }
        }
    }
    order
}

/// Walks upstream among the stages that could not be sorted, each of which waits for another such one, until one comes again.
fn circle(upstream: &[Vec<StageId>], order: &[StageId]) -> Vec<StageId> {
    let mut sorted = vec![false; upstream.len()];
    for stage in order {
        sorted[stage.index()] = true;
    }
    let mut path: Vec<StageId> = Vec::new();
    let mut place = vec![usize::MAX; upstream.len()];
    let mut current = (0..upstream.len()).find(|index| !sorted[*index]).map(id);
    while let Some(stage) = current {
        if place[stage.index()] != usize::MAX {
            return path.split_off(place[stage.index()]);
        }
        place[stage.index()] = path.len();
        path.push(stage);
        current = upstream[stage.index()].iter().copied().find(|next| !sorted[next.index()]);
    }
    path
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids(numbers: &[u32]) -> Vec<StageId> {
        numbers.iter().copied().map(StageId).collect()
    }

    #[test]
    fn a_circle_is_named_as_a_path() {
        let upstream = vec![ids(&[]), ids(&[0, 3]), ids(&[1]), ids(&[2]), ids(&[3])];
        assert_eq!(Graph::new(upstream).unwrap_err(), ids(&[1, 3, 2]));
        assert_eq!(Graph::new(vec![ids(&[0])]).unwrap_err(), ids(&[0]));
    }

    #[test]
    fn a_chain_of_a_million_stages_is_no_problem() {
        let upstream = (0..1_000_000u32).map(|n| if n == 0 { vec![] } else { ids(&[n - 1]) }).collect();
        let graph = Graph::new(upstream).unwrap();
        assert_eq!(graph.height(StageId(0)), 999_999);
        assert!(graph.ancestors(&ids(&[999_999]), |_| true).iter().all(|marked| *marked));
    }

    proptest! {
        #[test]
        fn each_stage_stands_behind_what_it_waits_for(edges in prop::collection::vec((0u32..30, 0u32..30), 0..90)) {
            let mut upstream = vec![Vec::new(); 30];
            for (a, b) in edges.into_iter().filter(|(a, b)| a != b) {
                upstream[a.max(b) as usize].push(StageId(a.min(b)));
            }
            let graph = Graph::new(upstream).unwrap();
            prop_assert_eq!(graph.order().len(), 30);
            let mut place = [0; 30];
            for (index, stage) in graph.order().iter().enumerate() {
                place[stage.index()] = index;
            }
            for stage in graph.order() {
                for above in graph.upstream(*stage) {
                    prop_assert!(place[above.index()] < place[stage.index()]);
                    prop_assert!(graph.height(*above) > graph.height(*stage));
                    prop_assert!(graph.downstream(*above).contains(stage));
                }
            }
        }
    }
}
