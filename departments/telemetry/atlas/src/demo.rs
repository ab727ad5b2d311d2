//! Deterministic demonstration data: starts per second of a video service by device, with waves, noise and outages.
//!
//! The formulas are those of Atlas' own demonstration set, so that the examples in its documentation have data here: sine
//! waves of a day, noise from a fixed table of Java's generator (a 48-bit linear congruential generator, Knuth, "The Art of
//! Computer Programming", volume 2, section 3.2.1), and outages at fixed times.

use std::sync::Arc;

use backlot_series::{Grid, Tags};

use crate::{DataExpr, Database, Error, Line};

/// The data's step in milliseconds.
pub const STEP: i64 = 60_000;

const DAY: i64 = 24 * 3600 * 1000;
const MINUTE: i64 = 60_000;
/// 2012-01-01T00:00:00Z.
const NEW_YEAR: i64 = 1_325_376_000_000;
const FEBRUARY: i64 = NEW_YEAR + 31 * DAY;

type Function = Arc<dyn Fn(i64) -> f64 + Send + Sync>;

/// Series of which each is a function of time.
pub struct Demo {
    series: Vec<(Tags, Function)>,
}

impl Demo {
    /// Starts per second: six device types, three noise levels, 249 series.
    pub fn small() -> Self {
        let mut series = Vec::new();
        for (stack, nodes, low, high, noisy) in DEVICES {
            for node in 0..nodes {
                let tags = app_tags("nccp", &format!("{stack}-{node:04x}"), Some(stack)).with("name", "sps");
                let ideal = wave(low, high, DAY);
                let kinds = [
                    ("ideal", ideal.clone()),
                    ("low-noise", noise(31, noisy, ideal.clone())),
                    ("high-noise", noise(31, 4.0 * noisy, ideal)),
                ];
                for (kind, function) in kinds {
                    series.push((tags.with("type", kind).with("type2", kind.to_uppercase()), function));
                }
            }
        }
        Self { series }
    }

    /// The small set, timers of every node, and series with outages that alerts should find.
    pub fn alert() -> Self {
        let mut demo = Self::small();
        demo.timers();
        demo.latencies();
        let alert = |name: &str| app_tags("alerttest", "alert1", None).with("name", name);
        let noisy = || noise(31, 25.0, wave(50.0, 300.0, DAY));
        let outages = interval(noisy(), constant(0.0), NEW_YEAR + 300 * MINUTE, NEW_YEAR + 398 * MINUTE);
        let outages = interval(outages, constant(0.0), FEBRUARY + 424 * MINUTE, FEBRUARY + 425 * MINUTE);
        let strange = noise(31, 25.0, wave(50.0, 300.0, 137 * MINUTE));
        let outages =
            interval(outages, strange, NEW_YEAR + DAY + 262 * MINUTE, NEW_YEAR + DAY + 360 * MINUTE);
        demo.series.push((alert("requestsPerSecond"), outages));
        let spikes = interval(
            noise(31, 4.0, constant(20.0)),
            noise(31, 20.0, constant(80.0)),
            NEW_YEAR + 300 * MINUTE,
            FEBRUARY + 425 * MINUTE,
        );
        demo.series.push((alert("ssCpuUser"), spikes));
        for (name, normal) in [("DiscoveryStatus_UP", 1.0), ("DiscoveryStatus_DOWN", 0.0)] {
            let function = interval(
                constant(normal),
                constant(1.0 - normal),
                NEW_YEAR + 300 * MINUTE,
                NEW_YEAR + 360 * MINUTE,
            );
            demo.series.push((alert(name), function));
        }
        demo
    }

    /// Constant series: the name says the value.
    pub fn constants(values: impl IntoIterator<Item = u32>) -> Self {
        let one = |value: u32| {
            let tags = Tags::new([
                ("name".to_owned(), value.to_string()),
                ("type".to_owned(), "constant".to_owned()),
            ]);
            (tags, constant(f64::from(value)))
        };
        Self { series: values.into_iter().map(one).collect() }
    }

    /// Adds a series.
    pub fn with(mut self, tags: Tags, function: impl Fn(i64) -> f64 + Send + Sync + 'static) -> Self {
        self.series.push((tags, Arc::new(function)));
        self
    }

    /// Tags and values of each series.
    pub fn columns(&self, grid: Grid) -> impl Iterator<Item = (&Tags, Vec<f64>)> {
        self.series
            .iter()
            .map(move |(tags, function)| (tags, grid.times().map(|time| function(time)).collect()))
    }

    fn timers(&mut self) {
        /// How many places the table of a node's latencies has.
        const PLACES: usize = 41;
        for (stack, nodes, low, high, noisy) in MORE_DEVICES {
            for node in 0..nodes {
                let name = format!("{stack}-{node:04x}");
                let app = app_tags("nccp", &name, Some(stack));
                let up = if node % 2 == 0 { 1.0 } else { 0.0 };
                self.series.push((app.with("name", "poller.asg.instance"), constant(1.0)));
                self.series.push((app.with("name", "DiscoveryStatus_nccp_UP"), constant(up)));
                let count = noise(31, 4.0 * noisy, wave(low, high, DAY));
                let mut random = JavaRandom::new(java_hash(&name));
                let table: Arc<[f64]> = (0..PLACES).map(|_| 0.25 * random.gaussian().abs()).collect();
                let place = |time: i64| (time.rem_euclid(PLACES as i64)) as usize;
                let tags = app.with("name", "playback.startLatency");
                let (weights, counts) = (table.clone(), count.clone());
                let total: Function = Arc::new(move |time| counts(time) * weights[place(time)]);
                let max: Function = Arc::new(move |time| table[place(time)]);
                for (statistic, function) in
                    [("count", count), ("totalTime", total.clone()), ("totalOfSquares", total), ("max", max)]
                {
                    self.series.push((tags.with("statistic", statistic), function));
                }
            }
        }
    }

    fn latencies(&mut self) {
        let settings =
            [("silverlight", 300, 600.0, 5.0), ("xbox", 120, 520.0, 5.0), ("wii", 111, 440.0, 8.0)];
        let mut functions = Vec::new();
        for (stack, size, high, noisy) in settings {
            let function = noise(size, noisy, constant(high));
            self.series.push((
                app_tags("nccp", &format!("{stack}-node"), Some(stack)).with("name", "requestLatency"),
                function.clone(),
            ));
            functions.push(function);
        }
        let bucket =
            |function: &Function, time: i64| backlot_meters::buckets::index_of(function(time) as i64);
        let mut used: Vec<usize> = functions
            .iter()
            .flat_map(|function| (0..300).map(move |time| bucket(function, NEW_YEAR + time * MINUTE)))
            .collect();
        used.sort_unstable();
        used.dedup();
        for wanted in used {
            let functions = functions.clone();
            let count = move |time: i64| {
                functions.iter().filter(|function| bucket(function, time) == wanted).count() as f64 / 60.0
            };
            let tags = Tags::new([
                ("name".to_owned(), "requestLatency".to_owned()),
                ("percentile".to_owned(), format!("D{wanted:04X}")),
            ]);
            self.series.push((tags, Arc::new(count)));
        }
    }
}

impl Database for Demo {
    fn lines(&self, data: &DataExpr, grid: Grid) -> Result<Vec<Line>, Error> {
        if grid.step % STEP != 0 {
            return Err(Error::Argument(
                "step for query must be a multiple of the step of the data, 1m".to_owned(),
            ));
        }
        let multiple = usize::try_from(grid.step / STEP).unwrap_or(1);
        let fine = grid.refined(multiple);
        let fulfilling = self.series.iter().filter(|(tags, _)| data.query.matches(tags));
        let columns: Vec<(&Tags, Vec<f64>)> = fulfilling
            .map(|(tags, function)| (tags, fine.times().map(|time| function(time)).collect()))
            .collect();
        Ok(data.collect(grid, multiple, columns.iter().map(|(tags, column)| (*tags, Some(&column[..])))))
    }
}

/// Stack, nodes, least and largest value, noise.
const DEVICES: [(&str, u32, f64, f64, f64); 6] = [
    ("silverlight", 30, 50.0, 300.0, 5.0),
    ("xbox", 12, 40.0, 220.0, 5.0),
    ("wii", 11, 20.0, 240.0, 8.0),
    ("ps3", 22, 40.0, 260.0, 15.0),
    ("appletv", 5, 3.0, 40.0, 5.0),
    ("psvita", 3, 0.2, 1.2, 0.6),
];

const MORE_DEVICES: [(&str, u32, f64, f64, f64); 6] = [
    ("silverlight", 300, 50.0, 300.0, 5.0),
    ("xbox", 120, 40.0, 220.0, 5.0),
    ("wii", 111, 20.0, 240.0, 8.0),
    ("ps3", 220, 40.0, 260.0, 15.0),
    ("appletv", 10, 3.0, 40.0, 5.0),
    ("psvita", 3, 0.2, 1.2, 0.6),
];

fn app_tags(app: &str, node: &str, stack: Option<&str>) -> Tags {
    let cluster = stack.map_or_else(|| app.to_owned(), |stack| format!("{app}-{stack}"));
    let asg = format!("{cluster}-v042");
    Tags::new([("nf.app", app), ("nf.cluster", &cluster), ("nf.asg", &asg), ("nf.node", node)])
}

fn constant(value: f64) -> Function {
    Arc::new(move |_| value)
}

fn wave(low: f64, high: f64, length: i64) -> Function {
    let amplitude = (high - low) / 2.0;
    let turn = std::f64::consts::TAU / length as f64;
    Arc::new(move |time| amplitude * (time as f64 * turn).sin() + low + amplitude)
}

/// A function with one of `size` fixed offsets added, which depends on the time; never below zero.
fn noise(size: usize, strength: f64, function: Function) -> Function {
    let mut random = JavaRandom::new(42);
    let offsets: Vec<f64> = (0..size)
        .map(|_| {
            let offset = strength * random.double();
            if random.boolean() { offset } else { -offset }
        })
        .collect();
    Arc::new(move |time| (function(time) + offsets[time.rem_euclid(size as i64) as usize]).max(0.0))
}

/// Another function from `start` until before `end`.
fn interval(function: Function, other: Function, start: i64, end: i64) -> Function {
    Arc::new(move |time| if (start..end).contains(&time) { other(time) } else { function(time) })
}

fn java_hash(text: &str) -> i64 {
    i64::from(text.bytes().fold(0i32, |hash, byte| hash.wrapping_mul(31).wrapping_add(i32::from(byte))))
}

/// Java's documented pseudo-random generator.
struct JavaRandom {
    seed: u64,
    spare: Option<f64>,
}

impl JavaRandom {
    const MULTIPLIER: u64 = 0x5_deec_e66d;
    const MASK: u64 = (1 << 48) - 1;

    fn new(seed: i64) -> Self {
        Self { seed: (seed as u64 ^ Self::MULTIPLIER) & Self::MASK, spare: None }
    }

    fn bits(&mut self, count: u32) -> u64 {
        self.seed = self.seed.wrapping_mul(Self::MULTIPLIER).wrapping_add(0xb) & Self::MASK;
        self.seed >> (48 - count)
    }

    fn double(&mut self) -> f64 {
        let high = self.bits(26) << 27;
        (high + self.bits(27)) as f64 / (1u64 << 53) as f64
    }

    fn boolean(&mut self) -> bool {
        self.bits(1) == 1
    }

    /// The polar method (Knuth, section 3.4.1, algorithm P).
    fn gaussian(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let (a, b) = (2.0 * self.double() - 1.0, 2.0 * self.double() - 1.0);
            let square = a * a + b * b;
            if square < 1.0 && square != 0.0 {
                let scale = (-2.0 * square.ln() / square).sqrt();
                self.spare = Some(b * scale);
                return a * scale;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_javas() {
        // new java.util.Random(42): nextDouble, nextBoolean; and new Random(0).nextGaussian().
        let mut random = JavaRandom::new(42);
        assert_eq!(random.double(), 0.727_563_680_032_868_1);
        assert!((JavaRandom::new(0).gaussian() - 0.802_533_063_739_030_5).abs() < 1e-15);
        assert_eq!(java_hash("hello"), 99_162_322);
    }

    #[test]
    fn outages_are_where_they_should_be() {
        let demo = Demo::alert();
        let (_, column) = demo
            .columns(Grid::new(NEW_YEAR + 299 * MINUTE, MINUTE, 2))
            .find(|(tags, _)| tags.get("name") == Some("requestsPerSecond"))
            .unwrap();
        assert!(column[0] > 0.0 && column[1] == 0.0);
        assert_eq!(Demo::small().series.len(), 249);
    }
}
