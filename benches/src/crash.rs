//! The crash harness: three processes work on one home, and one after the other is killed at a random moment.
//!
//! A *server* submits runs and works on them; two *workers* help. The harness watches the same ledger from a process of
//! its own. It kills one of the three with SIGKILL and starts it again, over and over; now and then it leaves the victim
//! away until its lease has run out, and now and then it stops one with SIGSTOP for longer than its lease, so that
//! it wakes up with results that come too late. On a private PostgreSQL it also crashes the database server.
//!
//! After each run the history in the event log, the task rows and the outputs are compared with those of an undisturbed
//! run ([`verify`]); a marker file of each task tells how often it was really executed.

pub mod harness;
pub mod process;
pub mod scenario;
pub mod verify;
