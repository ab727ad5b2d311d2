//! Queries over the demonstration data; also those of Atlas' own documentation, where they are at hand.

use backlot_atlas::demo::Demo;
use backlot_atlas::graph::{Defaults, Graph, Request, percent_decoded};
use backlot_atlas::{Error, zone};

fn evaluate(demo: &Demo, uri: &str) -> Result<usize, Error> {
    let defaults =
        Defaults { now: 1_325_376_000_000, step: 60_000, zone: zone("US/Pacific").expect("a zone") };
    let query = uri.split_once('?').map_or(uri, |(_, query)| query);
    let pairs: Vec<(String, String)> = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (name.to_owned(), percent_decoded(value)))
        .collect();
    let request =
        Request::read(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())), &defaults)?;
    Graph::evaluate(request, demo).map(|graph| graph.lines.len())
}

#[test]
fn the_usual_questions_have_answers() {
    let demo = Demo::alert();
    let at = "e=2012-01-01T00:00&tz=UTC&s=e-1h&q=";
    let cases = [
        ("name,sps,:eq,:sum", 1),
        ("name,sps,:eq,(,nf.cluster,),:by,:pct", 6),
        ("name,sps,:eq,:avg,(,nf.cluster,),:by", 6),
        ("name,playback.startLatency,:eq,:dist-avg", 1),
        ("name,playback.startLatency,:eq,:dist-max,(,nf.cluster,),:by", 6),
        ("name,playback.startLatency,:eq,:dist-stddev,(,nf.cluster,),:by", 6),
        ("name,requestLatency,:eq,(,25,50,99,),:percentiles", 3),
        ("name,requestLatency,:eq,:median", 1),
        (
            "nf.cluster,alerttest,:eq,name,requestsPerSecond,:eq,:and,:sum,10,0.1,0.02,0.85,0.85,10,:des-epic-signal",
            1,
        ),
        (
            "nf.cluster,alerttest,:eq,name,requestsPerSecond,:eq,:and,:sum,:dup,10,0.1,0.02,:des,0.85,:mul,:2over,:lt,:rot,$name,:legend,:rot,prediction,:legend,:rot,:vspan,60,:alpha,alert+triggered,:legend",
            3,
        ),
    ];
    for (query, lines) in cases {
        assert_eq!(evaluate(&demo, &format!("{at}{query}")), Ok(lines), "{query}");
    }
}

#[test]
fn an_outage_triggers_the_alert() {
    let demo = Demo::alert();
    let defaults = Defaults { now: 0, step: 60_000, zone: zone("UTC").unwrap() };
    let query =
        "nf.cluster,alerttest,:eq,name,requestsPerSecond,:eq,:and,:sum,:dup,10,0.1,0.02,:des,0.65,:mul,:lt";
    let request = Request::read(
        [("q", query), ("s", "2012-01-01T04:00"), ("e", "2012-01-01T07:00"), ("format", "json")],
        &defaults,
    )
    .unwrap();
    let graph = Graph::evaluate(request, &demo).unwrap();
    let triggered: Vec<usize> = (0..180).filter(|&at| graph.lines[0].values[at] == 1.0).collect();
    // The outage begins at 05:00, the 60th step's end.
    assert_eq!(triggered.first(), Some(&59), "{triggered:?}");
    assert!(triggered.len() >= 5);
}

#[test]
fn documented_queries_evaluate() {
    let Some(folder) = std::env::var_os("BACKLOT_ATLAS_QUERIES") else {
        eprintln!(
            "skipped: a file of Atlas graph URIs is missing; name one, a URI a line, in BACKLOT_ATLAS_QUERIES"
        );
        return;
    };
    let text = std::fs::read_to_string(folder).unwrap();
    let demo = Demo::alert();
    let uris: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("/api/v1/graph?") || line.starts_with("/api/v2/graph?"))
        .collect();
    let wrong: Vec<String> = uris
        .iter()
        .filter_map(|uri| evaluate(&demo, uri).err().map(|error| format!("{uri}: {error}")))
        .collect();
    eprintln!("{} of {} documented queries evaluate", uris.len() - wrong.len(), uris.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
