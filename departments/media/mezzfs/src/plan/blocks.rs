//! What is buffered or on its way.
//!
//! A block is a piece of an object that is fetched by one request. Blocks of an object do not overlap. The table counts their
//! bytes, and tells which may go when room is needed: first what has been read to its end, oldest first, then what nobody
//! has asked for longest. Blocks on their way stay: somebody waits for them.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

/// A block, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockId(pub u64);

#[derive(Clone, Debug)]
struct Block {
    object: u32,
    range: Range<u64>,
    is_here: bool,
    /// How many of its bytes were read. A byte that is read twice counts twice, which only lets the block go earlier.
    read: u64,
    /// When a read last touched it, or when it was added, by the planner's clock.
    last_use: u64,
}

impl Block {
    fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    fn is_used_up(&self) -> bool {
        self.read >= self.len()
    }
}

/// What may be thrown out to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evictable {
    /// Whatever is here: a reader waits for the room.
    Any,
    /// What was read to its end, and what no read has touched since this time.
    Idle(u64),
}

/// The table.
#[derive(Clone, Debug, Default)]
pub struct Blocks {
    by_start: HashMap<u32, BTreeMap<u64, BlockId>>,
    by_id: BTreeMap<BlockId, Block>,
    bytes: u64,
    next: u64,
}

impl Blocks {
    /// Bytes here and on their way.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds a block that is on its way. The range must be free; see [`Blocks::gaps`].
    pub fn add(&mut self, object: u32, range: Range<u64>, now: u64) -> BlockId {
        debug_assert!(range.start < range.end && self.gaps(object, &range) == [range.clone()]);
        let id = BlockId(self.next);
        self.next += 1;
        self.bytes += range.end - range.start;
        self.by_start.entry(object).or_default().insert(range.start, id);
        self.by_id.insert(id, Block { object, range, is_here: false, read: 0, last_use: now });
        id
    }

    /// A block has arrived. Nothing happens when it is not in the table.
    pub fn arrived(&mut self, id: BlockId) {
        if let Some(block) = self.by_id.get_mut(&id) {
            block.is_here = true;
        }
    }

    /// Whether a block has arrived.
    pub fn is_here(&self, id: BlockId) -> bool {
        self.by_id.get(&id).is_some_and(|block| block.is_here)
    }

    /// The range of a block.
    pub fn range(&self, id: BlockId) -> Option<Range<u64>> {
        self.by_id.get(&id).map(|block| block.range.clone())
    }

    /// Takes a block out: its fetch failed, or it is evicted.
    pub fn remove(&mut self, id: BlockId) {
        let Some(block) = self.by_id.remove(&id) else { return };
        self.bytes -= block.len();
        if let Some(starts) = self.by_start.get_mut(&block.object) {
            starts.remove(&block.range.start);
        }
    }

    /// The blocks that meet a range, in order.
    pub fn meeting(&self, object: u32, range: &Range<u64>) -> Vec<BlockId> {
        let Some(starts) = self.by_start.get(&object) else { return Vec::new() };
        let before = starts.range(..range.start).next_back();
        let reaching = before.filter(|(_, id)| self.by_id[id].range.end > range.start);
        let inside = starts.range(range.start..range.end);
        reaching.into_iter().chain(inside).map(|(_, &id)| id).collect()
    }

    /// The parts of a range that no block covers, in order.
    pub fn gaps(&self, object: u32, range: &Range<u64>) -> Vec<Range<u64>> {
        let mut gaps = Vec::new();
        let mut at = range.start;
        for id in self.meeting(object, range) {
            let block = &self.by_id[&id];
            if block.range.start > at {
                gaps.push(at..block.range.start);
            }
            at = at.max(block.range.end);
        }
        if at < range.end {
            gaps.push(at..range.end);
        }
        gaps
    }

    /// A read of these bytes has been seen.
    pub fn touch(&mut self, id: BlockId, read: &Range<u64>, now: u64) {
        if let Some(block) = self.by_id.get_mut(&id) {
            let (start, end) = (read.start.max(block.range.start), read.end.min(block.range.end));
            block.read += end.saturating_sub(start);
            block.last_use = now;
        }
    }

    /// No reader wants these bytes any more: they count as read.
    pub fn skip(&mut self, object: u32, gap: &Range<u64>) {
        for id in self.meeting(object, gap) {
            if let Some(block) = self.by_id.get_mut(&id) {
                block.read += gap.end.min(block.range.end) - gap.start.max(block.range.start);
            }
        }
    }

    /// Makes room for `wanted` bytes under `limit`, and tells what had to go. What is in `kept` stays. Nothing goes, and the
    /// answer is `None`, when that would not make enough room.
    pub fn make_room(
        &mut self,
        wanted: u64,
        limit: u64,
        kept: &[BlockId],
        evictable: Evictable,
    ) -> Option<Vec<BlockId>> {
        let needed = (self.bytes.saturating_add(wanted)).saturating_sub(limit);
        if needed == 0 {
            return Some(Vec::new());
        }
        let may_go = |block: &Block| match evictable {
            Evictable::Any => true,
            Evictable::Idle(since) => block.is_used_up() || block.last_use < since,
        };
        let mut candidates: Vec<(bool, u64, BlockId, u64)> = self
            .by_id
            .iter()
            .filter(|(id, block)| block.is_here && !kept.contains(id) && may_go(block))
            .map(|(&id, block)| (!block.is_used_up(), block.last_use, id, block.len()))
            .collect();
        if candidates.iter().map(|(_, _, _, len)| len).sum::<u64>() < needed {
            return None;
        }
        candidates.sort_unstable();
        let mut freed = 0;
        let mut gone = Vec::new();
        for (_, _, id, len) in candidates {
            if freed >= needed {
                break;
            }
            freed += len;
            self.remove(id);
            gone.push(id);
        }
        Some(gone)
    }

    /// Whether any block is on its way.
    pub fn is_waiting(&self) -> bool {
        self.by_id.values().any(|block| !block.is_here)
    }

    /// Removes everything, and tells what.
    pub fn clear(&mut self) -> Vec<BlockId> {
        self.by_start.clear();
        self.bytes = 0;
        std::mem::take(&mut self.by_id).into_keys().collect()
    }

    /// How many bytes could be added under `limit` after making all the room that may be made.
    pub fn room(&self, limit: u64, kept: &[BlockId], evictable: Evictable) -> u64 {
        let stays = |id: &BlockId, block: &Block| {
            let may_go = match evictable {
                Evictable::Any => true,
                Evictable::Idle(since) => block.is_used_up() || block.last_use < since,
            };
            !block.is_here || kept.contains(id) || !may_go
        };
        let held: u64 = self.by_id.iter().filter(|(id, block)| stays(id, block)).map(|(_, b)| b.len()).sum();
        limit.saturating_sub(held)
    }
}
