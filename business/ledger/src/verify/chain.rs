//! What a block says of itself, and what stands in the log against what it sealed: which transfer was changed, removed, put in
//! or exchanged. No I/O.

use std::collections::HashMap;

use kernel::WorkspaceId;

use crate::seal::{self, Hash, Place, Seal};
use crate::sql::check::BlockRow;

/// What a row of the log is to the block that covers its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It is the transfer of this leaf, counted from 0.
    Sealed(usize),
    /// It is the transfer of this leaf, and stands elsewhere in the log than it did.
    Moved(usize),
    /// It stands where the transfer of this leaf stood, and is not what was sealed.
    Changed(usize),
    /// The block knows nothing of it.
    Inserted,
}

/// The rows of one block, each with its leaf, and the leaves that no row has any more.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Alignment {
    pub(crate) rows: Vec<Fit>,
    pub(crate) removed: Vec<usize>,
}

/// Compares the leaves of the rows that are there with those that were sealed.
pub(crate) fn align(rows: &[Hash], sealed: &[Hash]) -> Alignment {
    if rows == sealed {
        return Alignment { rows: (0..rows.len()).map(Fit::Sealed).collect(), removed: Vec::new() };
    }
    let mut leaf_of: HashMap<&Hash, usize> = HashMap::with_capacity(sealed.len());
    for (index, leaf) in sealed.iter().enumerate() {
        leaf_of.entry(leaf).or_insert(index);
    }
    // Each leaf has one row at most: the second of two equal ones was put in.
    let found: Vec<Option<usize>> = rows.iter().map(|row| leaf_of.remove(row)).collect();
    // Where nothing but the order has changed, a row in its own place stays there, and those that changed places are named.
    let is_reordered = rows.len() == sealed.len() && found.iter().all(Option::is_some);
    let in_order = match is_reordered {
        true => (0..rows.len()).filter(|row| found[*row] == Some(*row)).collect(),
        false => longest_rise(&found),
    };
    let is_found: std::collections::HashSet<usize> = found.iter().copied().flatten().collect();
    let mut fits = Vec::with_capacity(rows.len());
    let mut removed = Vec::new();
    // Between two rows in order, what has no leaf stands for a leaf that has no row.
    let (mut from, mut next_leaf) = (0, 0);
    let anchors = in_order.into_iter().map(|row| (row, found[row].unwrap_or_default())).chain([(rows.len(), sealed.len())]);
    for (row, leaf) in anchors {
        let mut open = (next_leaf..leaf).filter(|leaf| !is_found.contains(leaf));
        fits.extend(found[from..row].iter().map(|found| match found {
            Some(leaf) => Fit::Moved(*leaf),
            None => open.next().map_or(Fit::Inserted, Fit::Changed),
        }));
        removed.extend(open);
        if row < rows.len() {
            fits.push(Fit::Sealed(leaf));
        }
        (from, next_leaf) = (row + 1, leaf + 1);
    }
    Alignment { rows: fits, removed }
}

/// The rows, by index, whose leaves rise: as many of them as there can be.
fn longest_rise(found: &[Option<usize>]) -> Vec<usize> {
    // `tails[n]` is the row with the least leaf that ends a rise of n + 1 rows.
    let (mut tails, mut before): (Vec<usize>, Vec<Option<usize>>) = (Vec::new(), vec![None; found.len()]);
    for (row, leaf) in found.iter().enumerate().filter_map(|(row, leaf)| leaf.map(|leaf| (row, leaf))) {
        let at = tails.partition_point(|tail| found[*tail].is_some_and(|other| other < leaf));
        before[row] = at.checked_sub(1).map(|at| tails[at]);
        if at == tails.len() {
            tails.push(row);
        } else {
            tails[at] = row;
        }
    }
    let mut rise = Vec::with_capacity(tails.len());
    let mut row = tails.last().copied();
    while let Some(at) = row {
        rise.push(at);
        row = before[at];
    }
    rise.reverse();
    rise
}

/// What is wrong with a block in itself, and the leaves that its rows are to be compared with.
pub(crate) fn check_block(workspace: WorkspaceId, before: &Seal, block: &BlockRow, found: &[Hash]) -> (Vec<String>, Vec<Hash>) {
    let mut trouble = Vec::new();
    let BlockRow { number, first_position, last_position, booked_at, .. } = *block;
    if (number, first_position) != (before.number + 1, before.last_position + 1) {
        trouble.push(format!(
            "block {number} begins at position {first_position}, and block {} before it ends at {}: what was between them is gone, or doubled",
            before.number, before.last_position
        ));
    }
    let stored: Vec<Hash> = block.leaves.chunks_exact(32).filter_map(|leaf| leaf.try_into().ok()).collect();
    let count = last_position - first_position + 1;
    if stored.len() as i64 != count || block.leaves.len() as i64 != 32 * count {
        trouble.push(format!("block {number} covers {count} positions, and has {} leaves", stored.len()));
    }
    let place = Place { number, first_position, last_position, booked_at };
    let is_sealed = |leaves: &[u8]| seal::block(workspace, &place, &before.hash, leaves).as_slice() == block.hash;
    if is_sealed(&block.leaves) {
        return (trouble, stored);
    }
    if found != stored && is_sealed(&found.concat()) {
        trouble.push(format!("the leaves of block {number} were changed; its transfers are what was sealed"));
        return (trouble, found.to_vec());
    }
    let words = "its place, its time, its leaves or its hash was changed, or the block before it was written anew";
    trouble.push(format!(
        "block {number} (positions {first_position} to {last_position}) does not follow from block {}: {words}",
        before.number
    ));
    (trouble, stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(names: &str) -> Vec<Hash> {
        names.bytes().map(|name| [name; 32]).collect()
    }

    fn aligned(rows: &str, sealed: &str) -> (String, Vec<usize>) {
        let alignment = align(&leaves(rows), &leaves(sealed));
        let words = alignment.rows.iter().map(|fit| match fit {
            Fit::Sealed(leaf) => format!("{leaf}"),
            Fit::Moved(leaf) => format!("moved {leaf}"),
            Fit::Changed(leaf) => format!("changed {leaf}"),
            Fit::Inserted => "in".to_owned(),
        });
        (words.collect::<Vec<_>>().join(" "), alignment.removed)
    }

    #[test]
    fn each_row_is_told_by_its_leaf() {
        for (rows, sealed, words, removed) in [
            ("abc", "abc", "0 1 2", vec![]),
            ("", "", "", vec![]),
            ("aXc", "abc", "0 changed 1 2", vec![]),
            ("ac", "abc", "0 2", vec![1]),
            ("abXc", "abc", "0 1 in 2", vec![]),
            ("", "abc", "", vec![0, 1, 2]),
            ("XY", "", "in in", vec![]),
            ("aXYd", "abcd", "0 changed 1 changed 2 3", vec![]),
            ("aXd", "abcd", "0 changed 1 3", vec![2]),
            ("adcbe", "abcde", "0 moved 3 2 moved 1 4", vec![]),
            ("acbd", "abcd", "0 moved 2 moved 1 3", vec![]),
            ("aacd", "abcd", "0 changed 1 2 3", vec![]),
            ("bcdeaX", "abcde", "1 2 3 4 moved 0 in", vec![]),
            ("acX", "abc", "0 2 in", vec![1]),
            ("XYZ", "abc", "changed 0 changed 1 changed 2", vec![]),
        ] {
            assert_eq!(aligned(rows, sealed), (words.to_owned(), removed), "{rows} against {sealed}");
        }
    }
}
