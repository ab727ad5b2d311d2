//! What is published, worked out by hand from the scripts and the rules of the meters.
//!
//! Of a timer of 0.5 s and 0.25 s: count 2, total 0.75, squares 0.25 + 0.0625, greatest 0.5. Of a summary of 3 and 4: total 7,
//! squares 9 + 16. 100 ms lie above 4^13 ns by one third of it and a part: bucket 113 + 1 + 1 = 0x73. 42 lies in 16 by five
//! thirds of it: bucket 14 + 5 + 1 = 0x14.

/// `lines.py`, first interval. Ages and what the agent tells of itself are looked at apart.
pub(crate) const LINES_FIRST: &[&str] = &[
    "D,percentile=D0014,platform=python,statistic=percentile Add 1",
    "D,platform=python,statistic=count Add 1",
    "D,platform=python,statistic=max Max 42",
    "D,platform=python,statistic=totalAmount Add 42",
    "D,platform=python,statistic=totalOfSquares Add 1764",
    // xxHash64 of "user-12345" is 64797fca50bfc10c, of 42 b556806fb6d14353, of "a" d24ec4f1a98c6e5b.
    "S,distinct=R0C,platform=python,statistic=distinct Max 2",
    "S,distinct=R13,platform=python,statistic=distinct Max 1",
    "S,distinct=R1B,platform=python,statistic=distinct Max 1",
    "T,percentile=T0073,platform=python,statistic=percentile Add 1",
    "T,platform=python,statistic=count Add 1",
    "T,platform=python,statistic=max Max 0.1",
    "T,platform=python,statistic=totalOfSquares Add 0.01",
    "T,platform=python,statistic=totalTime Add 0.1",
    "c,id=a_b,k=v,platform=python,statistic=count Add 3",
    "d,platform=python,statistic=count Add 2",
    "d,platform=python,statistic=max Max 4",
    "d,platform=python,statistic=totalAmount Add 7",
    "d,platform=python,statistic=totalOfSquares Add 25",
    "g,platform=python,statistic=gauge Max 1.5",
    "g.ttl,platform=python,statistic=gauge Max 2",
    "m,platform=python,statistic=max Max 3",
    "t,platform=python,statistic=count Add 2",
    "t,platform=python,statistic=max Max 0.5",
    "t,platform=python,statistic=totalOfSquares Add 0.3125",
    "t,platform=python,statistic=totalTime Add 0.75",
];

/// `lines.py`, second interval: 42.5 - 10.5; five to the greatest number, one over it, four on; (16 - 10) in 2 s; gauges stay.
pub(crate) const LINES_SECOND: &[&str] = &[
    "C,platform=python,statistic=count Add 32",
    "U,platform=python,statistic=count Add 10",
    "X,statistic=count Add 3",
    "g,platform=python,statistic=gauge Max 1.5",
    "g.ttl,platform=python,statistic=gauge Max 2",
];

/// `payload.py`. This client tells squares of times in seconds squared, as the agent does.
pub(crate) const PAYLOAD_PYTHON: &[&str] = &[
    "T,nf.app=python,percentile=T0073,statistic=percentile Add 1",
    "T,nf.app=python,statistic=count Add 1",
    "T,nf.app=python,statistic=max Max 0.1",
    "T,nf.app=python,statistic=totalOfSquares Add 0.010000000000000002",
    "T,nf.app=python,statistic=totalTime Add 0.1",
    "c,id=a,nf.app=python,statistic=count Add 3",
    "d,nf.app=python,statistic=count Add 2",
    "d,nf.app=python,statistic=max Max 4",
    "d,nf.app=python,statistic=totalAmount Add 7",
    "d,nf.app=python,statistic=totalOfSquares Add 25",
    "g,nf.app=python,statistic=gauge Max 1.5",
    "t,nf.app=python,statistic=count Add 2",
    "t,nf.app=python,statistic=max Max 0.5",
    "t,nf.app=python,statistic=totalOfSquares Add 0.3125",
    "t,nf.app=python,statistic=totalTime Add 0.75",
];

/// `payload.js`.
pub(crate) const PAYLOAD_NODE: &[&str] = &[
    "D,nf.app=node,percentile=D0014,statistic=percentile Add 1",
    "D,nf.app=node,statistic=count Add 1",
    "D,nf.app=node,statistic=max Max 42",
    "D,nf.app=node,statistic=totalAmount Add 42",
    "D,nf.app=node,statistic=totalOfSquares Add 1764",
    "T,nf.app=node,percentile=T0073,statistic=percentile Add 1",
    "T,nf.app=node,statistic=count Add 1",
    "T,nf.app=node,statistic=max Max 0.1",
    "T,nf.app=node,statistic=totalOfSquares Add 0.01",
    "T,nf.app=node,statistic=totalTime Add 0.1",
    "b,bucket=large,nf.app=node,statistic=count Add 1",
    "c,id=a,nf.app=node,statistic=count Add 3",
    "d,nf.app=node,statistic=count Add 2",
    "d,nf.app=node,statistic=max Max 4",
    "d,nf.app=node,statistic=totalAmount Add 7",
    "d,nf.app=node,statistic=totalOfSquares Add 25",
    "g,nf.app=node,statistic=gauge Max 1.5",
    "t,nf.app=node,statistic=count Add 2",
    "t,nf.app=node,statistic=max Max 0.5",
    "t,nf.app=node,statistic=totalOfSquares Add 0.3125",
    "t,nf.app=node,statistic=totalTime Add 0.75",
];

/// `statsd.js`: a sampled count of 1 at one half is 2, a sampled time counts twice; what falls, sets, events and checks are not
/// published.
pub(crate) const STATSD: &[&str] = &[
    "app.c,env=test,k=v,statistic=count Add 2",
    "app.c,env=test,statistic=count Add 1",
    "app.c.sampled,env=test,statistic=count Add 2",
    "app.d,env=test,statistic=count Add 1",
    "app.d,env=test,statistic=max Max 5",
    "app.d,env=test,statistic=totalAmount Add 5",
    "app.d,env=test,statistic=totalOfSquares Add 25",
    "app.g,env=test,statistic=gauge Max 1.5",
    "app.h,env=test,statistic=count Add 2",
    "app.h,env=test,statistic=max Max 4",
    "app.h,env=test,statistic=totalAmount Add 7",
    "app.h,env=test,statistic=totalOfSquares Add 25",
    "app.t,env=test,statistic=count Add 1",
    "app.t,env=test,statistic=max Max 0.25",
    "app.t,env=test,statistic=totalOfSquares Add 0.0625",
    "app.t,env=test,statistic=totalTime Add 0.25",
    "app.t.sampled,env=test,statistic=count Add 2",
    "app.t.sampled,env=test,statistic=max Max 0.5",
    "app.t.sampled,env=test,statistic=totalOfSquares Add 0.5",
    "app.t.sampled,env=test,statistic=totalTime Add 1",
];
