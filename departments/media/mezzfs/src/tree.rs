//! The files of a mount: which bytes of which object, under which path.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use crate::Error;
use crate::manifest::{FileEntry, MOST_FILES};

/// The longest name in a folder: Linux's own limit, in bytes.
const LONGEST_NAME: usize = 255;
/// The longest path: Linux's own limit, in bytes.
const LONGEST_PATH: usize = 4095;
/// The number of the root folder, as FUSE has it.
pub const ROOT: u64 = 1;

/// A folder or a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A folder: its entries by name, and its parent.
    Folder {
        /// Number of each entry.
        entries: BTreeMap<String, u64>,
        /// Number of the folder that it is in; its own for the root.
        parent: u64,
    },
    /// A file.
    File(Extent),
}

/// The bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The object, by its position.
    pub object: u32,
    /// Its bytes.
    pub range: Range<u64>,
}

/// The tree. Node numbers count from [`ROOT`] without gaps.
#[derive(Clone, Debug)]
pub struct Tree {
    nodes: Vec<Node>,
    regions: Vec<Vec<Range<u64>>>,
}

impl Tree {
    /// Builds the tree of these files. `objects` gives each object's position and size by its name.
    ///
    /// # Errors
    /// [`Error::Manifest`] for a path that is no path in a folder, for two files of one path, and for bytes that the object
    /// does not have.
    pub fn build(
        name: &str,
        files: &[FileEntry],
        objects: &HashMap<String, (u32, u64)>,
    ) -> Result<Self, Error> {
        let mut tree = Self {
            nodes: vec![Node::Folder { entries: BTreeMap::new(), parent: ROOT }],
            regions: vec![Vec::new(); objects.len()],
        };
        let fail = |fault: String| Error::manifest(name, fault);
        for file in files {
            let Some(&(object, size)) = objects.get(&file.object) else {
                return Err(fail(format!(
                    "{} is of an object `{}` that it does not name",
                    file.path, file.object
                )));
            };
            let beyond = |from: u64, to: Option<u64>| {
                let to = to.map_or_else(|| "2^64".to_owned(), |to| to.to_string());
                fail(format!("{} is bytes {from} to {to} of `{}`, which has {size}", file.path, file.object))
            };
            match file.count {
                None => {
                    let end = match file.length {
                        Some(length) => file.offset.checked_add(length),
                        None => Some(size),
                    };
                    let Some(end) = end.filter(|&end| file.offset <= end && end <= size) else {
                        return Err(beyond(file.offset, end));
                    };
                    tree.add(&file.path, Extent { object, range: file.offset..end }).map_err(fail)?;
                }
                Some(count) => {
                    let Some(length) = file.length else {
                        return Err(fail(format!("{} has `count` and no `length`", file.path)));
                    };
                    if !file.path.contains("{}") {
                        return Err(fail(format!("{} has `count` and no {{}} for the number", file.path)));
                    }
                    if count > MOST_FILES as u64 {
                        return Err(fail(format!("{} are more than {MOST_FILES} files", file.path)));
                    }
                    let end = length.checked_mul(count).and_then(|all| all.checked_add(file.offset));
                    if end.is_none_or(|end| end > size) {
                        return Err(beyond(file.offset, end));
                    }
                    let digits = count.saturating_sub(1).to_string().len();
                    for i in 0..count {
                        let path = file.path.replace("{}", &format!("{i:0digits$}"));
                        let start = file.offset + i * length;
                        tree.add(&path, Extent { object, range: start..start + length }).map_err(fail)?;
                    }
                }
            }
        }
        tree.regions.iter_mut().for_each(merge);
        Ok(tree)
    }

    fn add(&mut self, path: &str, extent: Extent) -> Result<(), String> {
        if self.nodes.len() > MOST_FILES {
            return Err(format!("it has more than {MOST_FILES} files and folders"));
        }
        if path.len() > LONGEST_PATH {
            return Err(format!("a path is longer than {LONGEST_PATH} bytes"));
        }
        let parts: Vec<&str> = path.split('/').collect();
        let is_name = |part: &&str| {
            !matches!(*part, "" | "." | "..") && part.len() <= LONGEST_NAME && !part.contains('\0')
        };
        if !parts.iter().all(is_name) {
            return Err(format!(
                "`{path}` is no path inside the mount; write names of up to 255 bytes, without . and .., separated by /"
            ));
        }
        let (folders, name) = parts.split_at(parts.len() - 1);
        let mut folder = ROOT;
        for part in folders {
            let next = self.nodes.len() as u64 + 1;
            let Node::Folder { entries, .. } = &mut self.nodes[folder as usize - 1] else {
                return Err(format!("`{path}` goes through a file"));
            };
            let found = *entries.entry((*part).to_owned()).or_insert(next);
            if found == next {
                self.nodes.push(Node::Folder { entries: BTreeMap::new(), parent: folder });
            }
            folder = found;
        }
        let next = self.nodes.len() as u64 + 1;
        let Node::Folder { entries, .. } = &mut self.nodes[folder as usize - 1] else {
            return Err(format!("`{path}` goes through a file"));
        };
        if entries.contains_key(name[0]) {
            return Err(format!("`{path}` is there twice"));
        }
        entries.insert(name[0].to_owned(), next);
        if !extent.range.is_empty() {
            self.regions[extent.object as usize].push(extent.range.clone());
        }
        self.nodes.push(Node::File(extent));
        Ok(())
    }

    /// A node by its number.
    pub fn node(&self, number: u64) -> Option<&Node> {
        self.nodes.get(usize::try_from(number.checked_sub(1)?).ok()?)
    }

    /// An entry of a folder.
    pub fn child(&self, folder: u64, name: &str) -> Option<u64> {
        match self.node(folder)? {
            Node::Folder { entries, .. } => entries.get(name).copied(),
            Node::File(_) => None,
        }
    }

    /// The file at a path.
    pub fn find(&self, path: &str) -> Option<&Extent> {
        let number = path.split('/').try_fold(ROOT, |folder, name| self.child(folder, name))?;
        match self.node(number)? {
            Node::File(extent) => Some(extent),
            Node::Folder { .. } => None,
        }
    }

    /// How many files there are.
    pub fn files(&self) -> usize {
        self.nodes.iter().filter(|node| matches!(node, Node::File(_))).count()
    }

    /// The parts of an object that are in some file, in order, those that touch as one.
    pub fn regions(&self, object: u32) -> &[Range<u64>] {
        self.regions.get(object as usize).map_or(&[], Vec::as_slice)
    }

    /// The part of an object around a byte that is in some file: what may be fetched when that byte is read. Files that touch
    /// in the object are one region, so that reading frame after frame is reading in sequence.
    pub fn region(&self, object: u32, offset: u64) -> Range<u64> {
        let Some(regions) = self.regions.get(object as usize) else { return offset..offset };
        let after = regions.partition_point(|region| region.start <= offset);
        match after.checked_sub(1).map(|at| &regions[at]) {
            Some(region) if region.end > offset => region.clone(),
            _ => offset..offset,
        }
    }
}

/// Sorts ranges and joins those that touch.
fn merge(ranges: &mut Vec<Range<u64>>) {
    ranges.sort_unstable_by_key(|range| (range.start, range.end));
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in ranges.drain(..) {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    *ranges = merged;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, offset: u64, length: Option<u64>, count: Option<u64>) -> FileEntry {
        FileEntry { path: path.to_owned(), object: "film".to_owned(), offset, length, count }
    }

    fn build(files: &[FileEntry]) -> Result<Tree, Error> {
        Tree::build("m.json", files, &HashMap::from([("film".to_owned(), (0, 1000))]))
    }

    #[test]
    fn files_are_found_and_frames_that_touch_are_one_region() {
        let tree = build(&[
            file("film.yuv", 0, None, None),
            file("a/b/{}.raw", 100, Some(10), Some(11)),
            file("tail", 1000, None, None),
        ])
        .unwrap();
        assert_eq!(tree.find("a/b/03.raw").unwrap().range, 130..140);
        assert_eq!(tree.find("film.yuv").unwrap().range, 0..1000);
        assert!(tree.find("tail").unwrap().range.is_empty());
        assert_eq!((tree.files(), tree.find("a/b"), tree.find("a/b/11.raw")), (13, None, None));

        let frames = build(&[file("{}", 100, Some(10), Some(3)), file("last", 500, Some(10), None)]).unwrap();
        assert_eq!(frames.region(0, 105), 100..130);
        assert_eq!(frames.region(0, 505), 500..510);
        assert!(
            frames.region(0, 130).is_empty()
                && frames.region(0, 99).is_empty()
                && frames.region(7, 0).is_empty()
        );
    }

    #[test]
    fn bad_files_are_refused() {
        for (bad, part) in [
            (file("/etc/passwd", 0, None, None), "no path"),
            (file("a/../b", 0, None, None), "no path"),
            (file("", 0, None, None), "no path"),
            (file("a\0b", 0, None, None), "no path"),
            (file(&"x".repeat(256), 0, None, None), "no path"),
            (file("x", 999, Some(2), None), "which has 1000"),
            (file("x", 2000, None, None), "which has 1000"),
            (file("x", u64::MAX, Some(u64::MAX), None), "which has 1000"),
            (file("x{}", 0, Some(u64::MAX), Some(3)), "which has 1000"),
            (file("x{}", 0, Some(0), Some(u64::MAX)), "more than"),
            (file("x{}", 0, None, Some(3)), "no `length`"),
            (file("x", 0, Some(1), Some(3)), "no {}"),
            (file("taken", 0, None, None), "twice"),
            (file("taken/x", 0, None, None), "through a file"),
        ] {
            let error = build(&[file("taken", 0, None, None), bad]).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let stranger = FileEntry { object: "other".to_owned(), ..file("x", 0, None, None) };
        assert!(build(&[stranger]).unwrap_err().to_string().contains("does not name"));
    }
}
