//! A directed acyclic graph as a drawing: boxes in columns from left to right, edges as curves.
//!
//! The layout is the layered one of Sugiyama, Tagawa and Toda (IEEE Transactions on Systems, Man, and Cybernetics 11(2),
//! 1981), in its plainest form:
//!
//! 1. edges that a longer way implies are left out; who reads a plan wants the steps between;
//! 2. a node's column is the longest way to it; an edge across several columns gets a bend point in each between;
//! 3. within the columns the order is improved by sweeps that sort by the mean position of the neighbours;
//! 4. heights follow the neighbours' mean as far as the boxes leave room.
//!
//! A pure function of its input: the same graph gives the same bytes.

use std::fmt::Write;

use maud::{Markup, PreEscaped, html};

use crate::console::Status;

/// Larger graphs are not drawn: nobody can read them, and the table beside the drawing has all.
pub const MAX_NODES: usize = 300;

const NODE_WIDTH: f64 = 180.0;
const NODE_HEIGHT: f64 = 50.0;
const COLUMN_GAP: f64 = 44.0;
const ROW_GAP: f64 = 16.0;
const MARGIN: f64 = 8.0;

/// A drawing up to this width may be shrunk to fit the page; its text stays readable. A wider one is scrolled.
const FITTED_WIDTH: f64 = 1400.0;

/// What fits a box in the console's font.
const TITLE_LETTERS: usize = 19;
const NOTE_LETTERS: usize = 25;

/// Enough for the order to settle in graphs of this size.
const SWEEPS: usize = 8;

/// A box of the drawing.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is called.
    pub title: String,
    /// A second line in small letters.
    pub note: String,
    /// Its state, which colours it.
    pub status: Status,
    /// Where a click on it leads.
    pub link: String,
    /// How far it is, from 0 to 1; drawn as a line at the bottom.
    pub progress: Option<f64>,
    /// The nodes before it, by index; those at its own index or beyond the end are ignored.
    pub needs: Vec<usize>,
}

/// The drawing, or `None` when there is nothing to draw: no nodes, more than [`MAX_NODES`], or a cycle.
pub fn graph(nodes: &[Node], label: &str) -> Option<Markup> {
    let layout = lay_out(nodes)?;
    let mut svg = String::new();
    let (width, height) = (layout.width, layout.height);
    let write_all = |svg: &mut String| -> std::fmt::Result {
        let class = if width <= FITTED_WIDTH { "graph fit" } else { "graph" };
        write!(svg, "<svg class=\"{class}\" viewBox=\"0 0 {width:.0} {height:.0}\"")?;
        write!(svg, " width=\"{width:.0}\" height=\"{height:.0}\">")?;
        for way in &layout.ways {
            svg.push_str("<path class=\"edge\" d=\"");
            write_way(svg, way)?;
            svg.push_str("\"/>");
        }
        for (node, &(x, y)) in nodes.iter().zip(&layout.places) {
            svg.push_str(&box_markup(node, x, y).into_string());
        }
        svg.push_str("</svg>");
        Ok(())
    };
    write_all(&mut svg).expect("invariant: writing to a String cannot fail");
    Some(html! { div.drawing tabindex="0" role="group" aria-label=(label) { (PreEscaped(svg)) } })
}

fn box_markup(node: &Node, x: f64, y: f64) -> Markup {
    let name = format!("{}: {}", node.title, node.status);
    let done = node.progress.map(|fraction| fraction.clamp(0.0, 1.0) * NODE_WIDTH);
    html! {
        a href=(node.link) aria-label=(name) class={ "node " (node.status.tone()) } {
            g transform=(format!("translate({x:.1} {y:.1})")) {
                title { (name) " · " (node.note) }
                rect width=(NODE_WIDTH) height=(NODE_HEIGHT) rx="7" {}
                circle cx="15" cy="18.5" r="4" {}
                text.name x="26" y="23" { (shorten(&node.title, TITLE_LETTERS)) }
                text.small x="26" y="39" { (shorten(&node.note, NOTE_LETTERS)) }
                @if let Some(done) = done { path.done d=(format!("M0 {:.1}h{done:.1}", NODE_HEIGHT - 1.0)) {} }
            }
        }
    }
}

fn shorten(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    text.chars().take(letters - 1).chain(['…']).collect()
}

/// A way through points, horizontal at each of them.
fn write_way(svg: &mut String, way: &[(f64, f64)]) -> std::fmt::Result {
    let Some(&(x, y)) = way.first() else { return Ok(()) };
    write!(svg, "M{x:.1} {y:.1}")?;
    for pair in way.windows(2) {
        let ((from_x, from_y), (to_x, to_y)) = (pair[0], pair[1]);
        let middle = f64::midpoint(from_x, to_x);
        write!(svg, "C{middle:.1} {from_y:.1} {middle:.1} {to_y:.1} {to_x:.1} {to_y:.1}")?;
    }
    Ok(())
}

struct Layout {
    places: Vec<(f64, f64)>,
    ways: Vec<Vec<(f64, f64)>>,
    width: f64,
    height: f64,
}

/// A node, or a bend point of a long edge.
struct Slot {
    column: usize,
    /// Zero for a bend point.
    height: f64,
    before: Vec<usize>,
    after: Vec<usize>,
    centre: f64,
}

fn lay_out(nodes: &[Node]) -> Option<Layout> {
    if nodes.is_empty() || nodes.len() > MAX_NODES {
        return None;
    }
    let needs: Vec<Vec<usize>> = nodes
        .iter()
        .enumerate()
        .map(|(index, node)| {
            let mut needs = node.needs.clone();
            needs.retain(|&need| need != index && need < nodes.len());
            needs.sort_unstable();
            needs.dedup();
            needs
        })
        .collect();
    let order = topological_order(&needs)?;
    let needs = without_implied_edges(&needs, &order);
    let mut column = vec![0; nodes.len()];
    for &node in &order {
        column[node] = needs[node].iter().map(|&need| column[need] + 1).max().unwrap_or(0);
    }

    let slot =
        |column| Slot { column, height: NODE_HEIGHT, before: Vec::new(), after: Vec::new(), centre: 0.0 };
    let mut slots: Vec<Slot> = column.iter().map(|&column| slot(column)).collect();
    let mut chains = Vec::new();
    for (node, needs) in needs.iter().enumerate() {
        for &need in needs {
            let mut chain = vec![need];
            for between in column[need] + 1..column[node] {
                slots.push(Slot { height: 0.0, ..slot(between) });
                chain.push(slots.len() - 1);
            }
            chain.push(node);
            for pair in chain.windows(2) {
                slots[pair[0]].after.push(pair[1]);
                slots[pair[1]].before.push(pair[0]);
            }
            chains.push(chain);
        }
    }
    let mut columns = vec![Vec::new(); column.iter().max().map_or(0, |last| last + 1)];
    for (index, slot) in slots.iter().enumerate() {
        columns[slot.column].push(index);
    }
    put_in_order(&mut columns, &slots);
    place(&columns, &mut slots);
    Some(drawn(nodes.len(), &columns, &slots, &chains))
}

/// The nodes such that each comes after its needs; `None` when they go round in a circle.
fn topological_order(needs: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut open: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut order: Vec<usize> = (0..needs.len()).filter(|&node| open[node] == 0).collect();
    let mut next = 0;
    while next < order.len() {
        let done = order[next];
        next += 1;
        for node in 0..needs.len() {
            if needs[node].contains(&done) {
                open[node] -= 1;
                if open[node] == 0 {
                    order.push(node);
                }
            }
        }
    }
    (order.len() == needs.len()).then_some(order)
}

/// The transitive reduction.
fn without_implied_edges(needs: &[Vec<usize>], order: &[usize]) -> Vec<Vec<usize>> {
    let mut ancestors = vec![vec![false; needs.len()]; needs.len()];
    for &node in order {
        for &need in &needs[node] {
            let above = ancestors[need].clone();
            for (mine, theirs) in ancestors[node].iter_mut().zip(above) {
                *mine |= theirs;
            }
            ancestors[node][need] = true;
        }
    }
    let implied = |need: usize, others: &[usize]| others.iter().any(|&other| ancestors[other][need]);
    needs.iter().map(|all| all.iter().copied().filter(|&need| !implied(need, all)).collect()).collect()
}

/// Sorts each column by the mean position of the neighbours in the column before, then back, and so on.
fn put_in_order(columns: &mut [Vec<usize>], slots: &[Slot]) {
    let mut position = vec![0.0; slots.len()];
    let note = |position: &mut Vec<f64>, column: &[usize]| {
        for (index, &slot) in column.iter().enumerate() {
            position[slot] = index as f64;
        }
    };
    for column in columns.iter() {
        note(&mut position, column);
    }
    for sweep in 0..SWEEPS {
        let forward = sweep % 2 == 0;
        let count = columns.len();
        for step in 0..count {
            let column = &mut columns[if forward { step } else { count - 1 - step }];
            let wanted = |slot: usize| {
                let neighbours = if forward { &slots[slot].before } else { &slots[slot].after };
                mean(neighbours.iter().map(|&other| position[other])).unwrap_or(position[slot])
            };
            let mut keyed: Vec<(f64, usize)> = column.iter().map(|&slot| (wanted(slot), slot)).collect();
            // Stable, so that ties keep their order and the result is the same every time.
            keyed.sort_by(|one, other| one.0.total_cmp(&other.0));
            *column = keyed.into_iter().map(|(_, slot)| slot).collect();
            note(&mut position, column);
        }
    }
}

/// Gives each slot its height on the page.
fn place(columns: &[Vec<usize>], slots: &mut [Slot]) {
    for column in columns {
        let mut y = 0.0;
        for &slot in column {
            slots[slot].centre = y + slots[slot].height / 2.0;
            y += slots[slot].height + ROW_GAP;
        }
    }
    for sweep in 0..SWEEPS {
        let forward = sweep % 2 == 0;
        let count = columns.len();
        for step in 0..count {
            let column = &columns[if forward { step } else { count - 1 - step }];
            let wanted: Vec<f64> = column
                .iter()
                .map(|&slot| {
                    let neighbours = if forward { &slots[slot].before } else { &slots[slot].after };
                    mean(neighbours.iter().map(|&other| slots[other].centre)).unwrap_or(slots[slot].centre)
                })
                .collect();
            for (&slot, centre) in column.iter().zip(separated(column, slots, &wanted)) {
                slots[slot].centre = centre;
            }
        }
    }
}

/// Centres as near to the wanted ones as room allows: the mean of pushing down from the top and up from the bottom.
fn separated(column: &[usize], slots: &[Slot], wanted: &[f64]) -> Vec<f64> {
    let distance = |upper: usize, lower: usize| {
        f64::midpoint(slots[column[upper]].height, slots[column[lower]].height) + ROW_GAP
    };
    let mut down = wanted.to_vec();
    for index in 1..down.len() {
        down[index] = down[index].max(down[index - 1] + distance(index - 1, index));
    }
    let mut up = wanted.to_vec();
    for index in (1..up.len()).rev() {
        up[index - 1] = up[index - 1].min(up[index] - distance(index - 1, index));
    }
    down.iter().zip(&up).map(|(&down, &up)| f64::midpoint(down, up)).collect()
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0_u32, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / f64::from(count))
}

fn drawn(nodes: usize, columns: &[Vec<usize>], slots: &[Slot], chains: &[Vec<usize>]) -> Layout {
    let top = slots.iter().map(|slot| slot.centre - slot.height / 2.0).fold(f64::INFINITY, f64::min);
    let bottom = slots.iter().map(|slot| slot.centre + slot.height / 2.0).fold(f64::NEG_INFINITY, f64::max);
    let left = |slot: &Slot| MARGIN + slot.column as f64 * (NODE_WIDTH + COLUMN_GAP);
    let middle = |slot: &Slot| slot.centre - top + MARGIN;
    let places = slots[..nodes].iter().map(|slot| (left(slot), middle(slot) - NODE_HEIGHT / 2.0)).collect();
    let way = |chain: &Vec<usize>| {
        let mut points = Vec::new();
        for (index, &slot) in chain.iter().enumerate() {
            let slot = &slots[slot];
            if index > 0 {
                points.push((left(slot), middle(slot)));
            }
            if index + 1 < chain.len() {
                points.push((left(slot) + NODE_WIDTH, middle(slot)));
            }
        }
        points
    };
    let count = columns.len() as f64;
    Layout {
        places,
        ways: chains.iter().map(way).collect(),
        width: 2.0 * MARGIN + count * NODE_WIDTH + (count - 1.0) * COLUMN_GAP,
        height: 2.0 * MARGIN + bottom - top,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(needs: &[&[usize]]) -> Vec<Node> {
        let node = |(index, needs): (usize, &&[usize])| Node {
            title: format!("step {index}"),
            note: String::new(),
            status: Status::Pending,
            link: format!("/{index}"),
            progress: None,
            needs: needs.to_vec(),
        };
        needs.iter().enumerate().map(node).collect()
    }

    #[test]
    fn columns_follow_the_longest_way_and_boxes_do_not_overlap() {
        let nodes = nodes(&[&[], &[0], &[0], &[1, 2], &[0], &[3, 4]]);
        let layout = lay_out(&nodes).unwrap();
        let column = |node: usize| (layout.places[node].0 / (NODE_WIDTH + COLUMN_GAP)) as usize;
        assert_eq!((0..6).map(column).collect::<Vec<_>>(), [0, 1, 1, 2, 1, 3]);
        for one in 0..6 {
            for other in one + 1..6 {
                let (a, b) = (layout.places[one], layout.places[other]);
                assert!(
                    (a.0 - b.0).abs() >= NODE_WIDTH || (a.1 - b.1).abs() >= NODE_HEIGHT,
                    "{one} over {other}"
                );
            }
            let (x, y) = layout.places[one];
            assert!(
                x >= 0.0 && y >= 0.0 && x + NODE_WIDTH <= layout.width && y + NODE_HEIGHT <= layout.height
            );
        }
    }

    #[test]
    fn implied_edges_are_left_out() {
        // 0 → 1 → 2 and 0 → 2: the last says nothing new.
        assert_eq!(lay_out(&nodes(&[&[], &[0], &[0, 1]])).unwrap().ways.len(), 2);
    }

    #[test]
    fn simple_orders_do_not_cross() {
        // Two chains listed crosswise: a0 b0, then b1 a1.
        let layout = lay_out(&nodes(&[&[], &[], &[1], &[0]])).unwrap();
        let height = |node: usize| layout.places[node].1;
        assert_eq!(height(0) < height(1), height(3) < height(2));
    }

    #[test]
    fn what_cannot_be_drawn_is_not() {
        assert!(graph(&[], "").is_none());
        assert!(graph(&nodes(&[&[1], &[0]]), "").is_none(), "a circle");
        assert!(graph(&vec![nodes(&[&[]])[0].clone(); MAX_NODES + 1], "").is_none());
        assert!(graph(&nodes(&[&[0, 9]]), "").is_some(), "odd needs are ignored");
    }

    #[test]
    fn the_same_graph_gives_the_same_bytes_and_escapes_its_text() {
        let mut all = nodes(&[&[], &[0], &[0], &[1, 2]]);
        all[0].title = "<script>\"".to_owned();
        all[0].link = "\"><script>".to_owned();
        let one = graph(&all, "plan").unwrap().into_string();
        assert_eq!(one, graph(&all, "plan").unwrap().into_string());
        assert!(!one.contains("<script"), "{one}");
    }

    #[test]
    fn the_largest_graph_is_laid_out_quickly() {
        // Each node needs the ten before it: many edges, many of them implied.
        let needs: Vec<Vec<usize>> =
            (0..MAX_NODES).map(|node| (node.saturating_sub(10)..node).collect()).collect();
        let needs: Vec<&[usize]> = needs.iter().map(Vec::as_slice).collect();
        let started = std::time::Instant::now();
        assert!(graph(&nodes(&needs), "").is_some());
        // And a wide one whose edges cross many columns.
        let wide: Vec<Vec<usize>> = (0..MAX_NODES)
            .map(|node| if node % 10 == 0 { vec![] } else { vec![node - 1, node / 2] })
            .collect();
        let wide: Vec<&[usize]> = wide.iter().map(Vec::as_slice).collect();
        assert!(graph(&nodes(&wide), "").is_some());
        assert!(started.elapsed() < std::time::Duration::from_secs(5), "{:?}", started.elapsed());
    }
}
