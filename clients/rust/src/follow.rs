//! Following a stream of messages over lost connections.
//!
//! A thread reads the stream and hands on what it says through a short queue, so that the follower can wait for a limited time
//! and do something else between. When the connection is lost the thread asks again, from the last message it saw, until the
//! client's patience is at an end: a server may be restarted while somebody follows. Dropping the follower closes the
//! connection under the thread, which then ends.

use std::io::BufReader;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ureq::Body;
use ureq::http::Response;

use crate::http::{Ask, Target, unreachable};
use crate::sse::{Message, read_message};
use crate::{Client, Error};

/// Messages that wait for the follower; a slow one slows the stream down, and nothing piles up.
const QUEUE: usize = 64;

/// The pause before the connection is tried again: short at first, for a server that is just being restarted.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The pause before looking again for something that is not there yet.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A connection that held this long was a good one, even if nothing happened: its loss is a new one.
const HELD: Duration = Duration::from_secs(5);

/// What follows next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next<T> {
    /// This.
    Item(T),
    /// Nothing within the time given.
    Nothing,
    /// Nothing any more.
    End,
}

/// A stream that is being followed. As an iterator it waits for as long as it takes; after an error it ends.
#[derive(Debug)]
pub struct Follow<T> {
    received: Receiver<Result<T, Error>>,
    halt: Arc<Halt>,
    /// Its connections are the thread's own, so that they can be shut.
    client: Client,
}

impl<T> Follow<T> {
    /// What comes next within `limit`; `None` is no limit.
    ///
    /// # Errors
    /// What the server refused, or [`Error::Unreachable`] when it stayed away longer than the client's patience. Nothing
    /// follows an error.
    pub fn next_within(&mut self, limit: Option<Duration>) -> Result<Next<T>, Error> {
        let received = match limit {
            Some(limit) => self.received.recv_timeout(limit),
            None => self.received.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match received {
            Ok(item) => item.map(Next::Item),
            Err(RecvTimeoutError::Timeout) => Ok(Next::Nothing),
            Err(RecvTimeoutError::Disconnected) => Ok(Next::End),
        }
    }
}

impl<T> Iterator for Follow<T> {
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.received.recv().ok()
    }
}

impl<T> Drop for Follow<T> {
    fn drop(&mut self) {
        self.halt.set();
        self.client.shut();
    }
}

/// The flag that ends the thread, also while it pauses.
#[derive(Debug, Default)]
struct Halt {
    flag: Mutex<bool>,
    set: Condvar,
}

impl Halt {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.flag.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self) {
        *self.lock() = true;
        self.set.notify_all();
    }

    /// Waits for so long, or until the flag is set; says whether it is.
    fn wait(&self, pause: Duration) -> bool {
        let waited = self.set.wait_timeout_while(self.lock(), pause, |flag| !*flag);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// What a message means.
pub(crate) enum Heard<T> {
    /// Something for the follower.
    Item(T),
    /// Something of a later server.
    Nothing,
    /// The end.
    End,
}

/// Looks whether a stream is there yet; an error when it never will be.
pub(crate) type IsThere = dyn Fn(&Client) -> Result<bool, Error> + Send;

/// What is followed.
pub(crate) struct Stream<T> {
    pub(crate) target: Target,
    /// What to ask first, for a stream that may not be there yet.
    pub(crate) is_there: Option<Box<IsThere>>,
    pub(crate) hear: fn(Message) -> Result<Heard<T>, Error>,
}

/// Begins to follow.
pub(crate) fn follow<T: Send + 'static>(client: &Client, stream: Stream<T>) -> Follow<T> {
    let (sender, received) = sync_channel(QUEUE);
    let halt = Arc::new(Halt::default());
    let client = client.apart();
    let reader = Reader { client: client.clone(), stream, halt: halt.clone(), sender, last: None };
    thread::spawn(move || reader.run());
    Follow { received, halt, client }
}

struct Reader<T> {
    client: Client,
    stream: Stream<T>,
    halt: Arc<Halt>,
    sender: SyncSender<Result<T, Error>>,
    /// The number of the last message.
    last: Option<u64>,
}

/// How a connection ended.
enum Ended {
    /// The stream is over, or nobody follows it any more.
    Over,
    /// There is no stream yet.
    NotThere,
    /// It was lost; whether it was good before.
    Lost { was_good: bool, error: Error },
}

impl<T> Reader<T> {
    fn run(mut self) {
        let mut lost_since = None;
        let mut pause = FIRST_PAUSE;
        loop {
            let wait = match self.read_once() {
                Ended::Over => return,
                Ended::NotThere => {
                    lost_since = None;
                    LOOK_AGAIN
                }
                Ended::Lost { was_good, error } => {
                    if was_good {
                        lost_since = None;
                        pause = FIRST_PAUSE;
                    }
                    let since: &mut Instant = lost_since.get_or_insert_with(Instant::now);
                    if !error.is_passing() || since.elapsed() >= self.client.patience() {
                        // A follower that has gone does not want to know.
                        let _ = self.sender.send(Err(error));
                        return;
                    }
                    let wait = pause;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    wait
                }
            };
            if self.halt.wait(wait) {
                return;
            }
        }
    }

    fn read_once(&mut self) -> Ended {
        let lost = |error| Ended::Lost { was_good: false, error };
        match self.stream.is_there.as_ref().map_or(Ok(true), |is_there| is_there(&self.client)) {
            Ok(true) => {}
            Ok(false) => return Ended::NotThere,
            Err(error) => return lost(error),
        }
        match self.client.ask(&self.stream.target, Ask::Stream(self.last)) {
            Ok(response) => self.read(response),
            Err(error) => lost(error),
        }
    }

    fn read(&mut self, response: Response<Body>) -> Ended {
        let opened = Instant::now();
        let mut has_heard = false;
        let mut body = BufReader::new(response.into_body().into_reader());
        let reason = loop {
            match read_message(&mut body) {
                Ok(Some(message)) => {
                    has_heard = true;
                    self.last = message.id.or(self.last);
                    match (self.stream.hear)(message) {
                        Ok(Heard::Nothing) => {}
                        Ok(Heard::End) => return Ended::Over,
                        Ok(Heard::Item(item)) => {
                            if self.sender.send(Ok(item)).is_err() {
                                return Ended::Over;
                            }
                        }
                        Err(error) => return Ended::Lost { was_good: true, error },
                    }
                }
                Ok(None) => break "the stream ended early".to_owned(),
                Err(error) => break error.to_string(),
            }
        };
        let was_good = has_heard || opened.elapsed() >= HELD;
        Ended::Lost { was_good, error: unreachable(&self.client.base(), &reason) }
    }
}
