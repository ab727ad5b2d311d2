//! The reader: does what the planner says.
//!
//! A read whose blocks are all here is answered at once, by the thread that asks. Any other waits for its blocks: the last
//! that arrives answers it. Fetches run as tasks; how many at a time is bounded, and so is what they hold, by the planner.
//!
//! An error ends the reads that wait for that block and no others, and is logged once for each of them. What was buffered
//! before stays right: it is of the pinned version.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};

use crate::Error;
use crate::meters::Meters;
use crate::object::Object;
use crate::plan::{BlockId, Fetch, Plan, Planner, Read};
use crate::replay::Recorder;
use crate::spare::Spare;
use crate::tree::Tree;

/// How many requests are on their way at a time: four readers' worth of 16. More connections than that a server calls abuse.
const MOST_REQUESTS: usize = 64;

/// What a read gives.
pub type Answer = Result<Pieces, Arc<Error>>;

type Deliver = Box<dyn FnOnce(Answer) + Send>;

/// The bytes of a read, in pieces of the blocks that hold them.
#[derive(Clone, Debug, Default)]
pub struct Pieces(Vec<Bytes>);

impl Pieces {
    /// How many bytes.
    pub fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// Whether there are none: the read was at or beyond the end.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes in one piece; copied only when they lie in several.
    pub fn into_bytes(mut self) -> Bytes {
        match self.0.len() {
            0 => Bytes::new(),
            1 => self.0.remove(0),
            _ => Bytes::from(self.0.concat()),
        }
    }
}

/// A block's content, set when it arrives.
#[derive(Debug)]
struct Cell {
    range: Range<u64>,
    content: OnceLock<Result<Bytes, Arc<Error>>>,
}

/// A read that is not answered yet.
struct Pending {
    read: Read,
    region: Range<u64>,
    cells: OnceLock<Vec<Arc<Cell>>>,
    missing: AtomicUsize,
    deliver: Mutex<Option<Deliver>>,
}

impl Pending {
    /// Answers, once.
    fn answer(&self) {
        let deliver = self.deliver.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(deliver) = deliver else { return };
        let mut pieces = Vec::new();
        for cell in self.cells.get().into_iter().flatten() {
            match cell.content.get() {
                Some(Ok(bytes)) => {
                    let start = self.read.offset.max(cell.range.start) - cell.range.start;
                    let end = self.read.end().min(cell.range.end) - cell.range.start;
                    pieces.push(bytes.slice(start as usize..end as usize));
                }
                Some(Err(error)) => return deliver(Err(Arc::clone(error))),
                None => unreachable!("invariant: a read is answered when its last block has arrived"),
            }
        }
        deliver(Ok(Pieces(pieces)));
    }
}

struct State {
    planner: Planner,
    cells: HashMap<BlockId, Arc<Cell>>,
    waiting: HashMap<BlockId, Vec<Arc<Pending>>>,
    blocked: VecDeque<Arc<Pending>>,
}

/// Reads the objects of a mount. A cheap handle.
#[derive(Clone)]
pub struct Reader(Arc<Inner>);

struct Inner {
    objects: Vec<Arc<Object>>,
    tree: Arc<Tree>,
    state: Mutex<State>,
    requests: Arc<Semaphore>,
    spare: Arc<Spare>,
    meters: Arc<Meters>,
    recorder: Option<Arc<Recorder>>,
    runtime: Handle,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("objects", &self.0.objects.len()).finish_non_exhaustive()
    }
}

impl Reader {
    /// A reader whose fetches run on this runtime.
    pub fn new(
        objects: Vec<Arc<Object>>,
        tree: Arc<Tree>,
        planner: Planner,
        meters: Arc<Meters>,
        recorder: Option<Arc<Recorder>>,
        runtime: Handle,
    ) -> Self {
        let spare = Arc::new(Spare::new(planner.max_buffer()));
        let state =
            State { planner, cells: HashMap::new(), waiting: HashMap::new(), blocked: VecDeque::new() };
        let requests = Arc::new(Semaphore::new(MOST_REQUESTS));
        let state = Mutex::new(state);
        Self(Arc::new(Inner { objects, tree, state, requests, spare, meters, recorder, runtime }))
    }

    /// The objects, by position.
    pub fn objects(&self) -> &[Arc<Object>] {
        &self.0.objects
    }

    /// The files.
    pub fn tree(&self) -> &Arc<Tree> {
        &self.0.tree
    }

    /// What it has done.
    pub fn meters(&self) -> &Arc<Meters> {
        &self.0.meters
    }

    /// What is buffered and on its way, in bytes.
    pub fn buffered(&self) -> u64 {
        self.0.state().planner.bytes()
    }

    /// Reads bytes of an object. `deliver` is called once, by this thread when all is buffered, else by another.
    pub fn read_with(&self, read: Read, deliver: impl FnOnce(Answer) + Send + 'static) {
        let inner = &self.0;
        let begun = Instant::now();
        let (meters, recorder) = (Arc::clone(&inner.meters), inner.recorder.clone());
        Meters::add(&meters.reads, 1);
        let deliver = move |answer: Answer| {
            match &answer {
                Ok(pieces) => Meters::add(&meters.read_bytes, pieces.len() as u64),
                Err(_) => Meters::add(&meters.failed, 1),
            }
            if let Some(recorder) = recorder {
                recorder.read(read, begun, answer.is_ok());
            }
            deliver(answer);
        };
        let region = inner.tree.region(read.object, read.offset);
        let pending = Arc::new(Pending {
            read,
            region,
            cells: OnceLock::new(),
            missing: AtomicUsize::new(0),
            deliver: Mutex::new(Some(Box::new(deliver))),
        });
        let mut state = inner.state();
        let plan = state.planner.read(read, &pending.region);
        if plan.is_hit {
            Meters::add(&inner.meters.hits, 1);
        }
        if plan.is_blocked {
            Meters::add(&inner.meters.blocked, 1);
            state.blocked.push_back(pending);
            return;
        }
        let (fetches, is_ready) = state.admit(&pending, plan);
        drop(state);
        self.start(fetches);
        if is_ready {
            pending.answer();
        }
    }

    /// Reads bytes of an object.
    ///
    /// # Errors
    /// What kept any of the bytes from being read.
    pub async fn read(&self, read: Read) -> Answer {
        let (sender, receiver) = oneshot::channel();
        self.read_with(read, move |answer| {
            // Whoever asked may have gone.
            let _ = sender.send(answer);
        });
        receiver.await.unwrap_or_else(|_| {
            Err(Arc::new(Error::Unreachable {
                place: "the object".to_owned(),
                reason: "the reader has ended".to_owned(),
            }))
        })
    }

    fn start(&self, fetches: Vec<Fetch>) {
        for fetch in fetches {
            let reader = self.clone();
            self.0.runtime.spawn(async move {
                let inner = &reader.0;
                let object = &inner.objects[fetch.object as usize];
                let begun = Instant::now();
                let fetched = match inner.requests.acquire().await {
                    Ok(_permit) => {
                        let mut buffer = inner.spare.take((fetch.range.end - fetch.range.start) as usize);
                        let fetched = object.fetch(fetch.range.clone(), &mut buffer.room).await;
                        fetched.map(|()| buffer.freeze())
                    }
                    Err(_) => Err(Error::Unreachable {
                        place: object.name().to_owned(),
                        reason: "the mount is ending".to_owned(),
                    }),
                };
                if let Some(recorder) = &inner.recorder {
                    recorder.fetched(&fetch, begun, fetched.is_ok());
                }
                reader.landed(fetch.block, fetched.map_err(Arc::new));
            });
        }
    }

    /// A block has arrived or failed: answers the reads that waited for it, and those that waited for room.
    fn landed(&self, block: BlockId, fetched: Result<Bytes, Arc<Error>>) {
        let mut ready = Vec::new();
        let mut fetches = Vec::new();
        let mut state = self.0.state();
        if fetched.is_ok() {
            state.planner.arrived(block);
        } else {
            state.planner.failed(block);
        }
        let cell =
            if fetched.is_ok() { state.cells.get(&block).cloned() } else { state.cells.remove(&block) };
        if let Some(cell) = cell {
            // A block is fetched once, so it is set once.
            let _ = cell.content.set(fetched);
        }
        for pending in state.waiting.remove(&block).unwrap_or_default() {
            if pending.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
                ready.push(pending);
            }
        }
        while let Some(pending) = state.blocked.front().cloned() {
            let plan = state.planner.again(pending.read, &pending.region);
            if plan.is_blocked {
                break;
            }
            state.blocked.pop_front();
            let (more, is_ready) = state.admit(&pending, plan);
            fetches.extend(more);
            if is_ready {
                ready.push(pending);
            }
        }
        drop(state);
        self.start(fetches);
        for pending in ready {
            pending.answer();
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes a plan up: the fetches to start, and whether the read can be answered now.
    fn admit(&mut self, pending: &Arc<Pending>, plan: Plan) -> (Vec<Fetch>, bool) {
        for block in &plan.evicted {
            self.cells.remove(block);
        }
        for fetch in &plan.fetches {
            let cell = Cell { range: fetch.range.clone(), content: OnceLock::new() };
            self.cells.insert(fetch.block, Arc::new(cell));
        }
        let mut missing = 0;
        let mut cells = Vec::with_capacity(plan.needed.len());
        for block in &plan.needed {
            let cell = &self.cells[block];
            if cell.content.get().is_none() {
                missing += 1;
                self.waiting.entry(*block).or_default().push(Arc::clone(pending));
            }
            cells.push(Arc::clone(cell));
        }
        // A read is admitted once, so this is set once.
        let _ = pending.cells.set(cells);
        pending.missing.store(missing, Ordering::Release);
        (plan.fetches, missing == 0)
    }
}
