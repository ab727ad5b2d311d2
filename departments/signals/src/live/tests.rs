//! Odd answers of a source.

use backlot_series::Tags;

use super::*;

const STEP: i64 = 60_000;

fn window() -> Window {
    Window { grid: Grid::new(0, STEP, 400), fired: 380 * STEP }
}

fn asked() -> LiveAsked {
    LiveAsked { alert: "alert".into(), candidates: "all".into(), ..LiveAsked::default() }
}

fn series(name: &str, from: usize) -> Series {
    let own: usize = name.bytes().map(usize::from).sum();
    let wave = |t: usize| if t < from { f64::NAN } else { (t * 7919 % (31 + own % 17) + own) as f64 };
    Series { tags: Tags::new([("name", name), ("app", "www")]), values: (0..400).map(wave).collect() }
}

#[test]
fn candidates_are_sorted_named_and_without_the_alert() {
    let all = vec![series("b", 0), series("a", 0), series("errors", 0)];
    let gathered = assemble(&asked(), &window(), vec![series("errors", 0)], all).unwrap();
    let table = gathered.table;
    assert_eq!(table.header.names, ["errors{app=www}", "a", "b"]);
    assert_eq!((table.header.points, gathered.asked.at.as_deref()), (400, Some("1970-01-01T06:20:00Z")));
    assert_eq!(table.header.notes, ["all candidates have app=www"]);
}

#[test]
fn the_window_begins_with_the_data() {
    let mut all: Vec<Series> = (0..8).map(|index| series(&format!("s{index}"), 200)).collect();
    all.push(series("old", 0));
    let gathered = assemble(&asked(), &window(), vec![series("errors", 200)], all).unwrap();
    assert_eq!((gathered.table.header.points, gathered.table.header.start_ms), (200, 200 * STEP));
    assert!(
        gathered.table.header.notes[1].contains("180 min before the alert"),
        "{:?}",
        gathered.table.header.notes
    );
    let young: Vec<Series> = (0..8).map(|index| series(&format!("s{index}"), 300)).collect();
    let refused = assemble(&asked(), &window(), vec![series("errors", 300)], young).unwrap_err().to_string();
    assert!(refused.contains("20 observed points") && refused.contains("60"), "{refused}");
}

#[test]
fn an_alert_must_be_one_series_with_values() {
    let refusal = |asked: &LiveAsked, alert: Vec<Series>| {
        assemble(asked, &window(), alert, vec![series("a", 0)]).unwrap_err().to_string()
    };
    assert!(refusal(&asked(), Vec::new()).contains("no series"));
    assert!(
        refusal(&asked(), vec![series("x", 0), series("y", 0)]).contains("x{app=www}, y{app=www}; aggregate")
    );
    assert!(refusal(&asked(), vec![series("x", 400)]).contains("no value"));
    assert!(refusal(&asked(), vec![series("a", 0)]).contains("but the alert's own"));
    let tags =
        BTreeMap::from([("name".to_owned(), "y".to_owned()), ("severity".to_owned(), "page".to_owned())]);
    let picked = LiveAsked { tags, name: Some("Down".into()), ..asked() };
    let gathered =
        assemble(&picked, &window(), vec![series("x", 0), series("y", 0)], vec![series("a", 0)]).unwrap();
    assert_eq!(gathered.table.header.names, ["Down", "a{app=www}"]);
    let dotted = |node: &str| Series { tags: Tags::new([("nf.node", node)]), ..series(node, 0) };
    let labels = BTreeMap::from([("nf_node".to_owned(), "i-2".to_owned())]);
    let picked = LiveAsked { tags: labels, ..asked() };
    let gathered =
        assemble(&picked, &window(), vec![dotted("i-1"), dotted("i-2")], vec![series("a", 0)]).unwrap();
    assert_eq!(gathered.table.header.names[0], "{nf.node=i-2}");
    let unseen = LiveAsked { unseen: true, name: Some("Down".into()), ..asked() };
    let gathered = assemble(&unseen, &window(), Vec::new(), vec![series("a", 0)]).unwrap();
    assert_eq!(gathered.table.signals[0][378..382], [0.0, 0.0, 1.0, 1.0]);
}

struct Slow;

#[async_trait::async_trait]
impl Source for Slow {
    fn language(&self) -> &'static str {
        "slow"
    }

    async fn fetch(&self, _: &str, _: Grid) -> Result<Vec<Series>, SourceError> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_hangs_is_left_and_a_crowd_is_refused() {
    let gate = Gate::default();
    let ask = || async { gate.gather(&Slow, &asked(), 1_000_000_000_000).await.unwrap_err() };
    let crowd = (0..=AT_ONCE + WAITING).map(|_| ask());
    let errors = futures::future::join_all(crowd).await;
    assert_eq!(errors.iter().filter(|error| matches!(error, Error::Busy(_))).count(), 1);
    assert_eq!(
        errors.iter().filter(|error| error.to_string().contains("longer than 60 s")).count(),
        AT_ONCE + WAITING
    );
}
