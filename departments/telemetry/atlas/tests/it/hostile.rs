//! Expressions and bodies that want to break the reader: errors, never panics or endless work.

use backlot_atlas::demo::Demo;
use backlot_atlas::wire::{Json, Smile, Token, Tokens, read_publish, read_update};
use backlot_atlas::{evaluate, parse, words, zone};
use backlot_series::Grid;
use proptest::prelude::*;

fn refused(text: &str) {
    let shown: String = text.chars().take(60).collect();
    assert!(parse(text).is_err(), "{shown}");
}

#[test]
fn limits_hold() {
    refused(&"1,".repeat(1025));
    refused(&format!("(,{})", "1,".repeat(1025)));
    refused(&format!("1,{}", ":dup,:add,".repeat(20)).replace("1,:dup", "name,a,:eq,:sum,:dup"));
    refused(&format!("{}1{}", "(,".repeat(5000), ",)".repeat(5000)));
    refused(&format!("1,{}", ":list,".repeat(2000)));
    refused(&format!("name,a,:eq,:sum,{}", ":neg,".repeat(2000)));
    refused("f,(,f,:fcall,f,:fcall,),:set,f,:fcall");
    let items = "1,".repeat(1000);
    refused(&format!("(,{items}),(,:drop,(,{items}),(,:drop,(,{items}),(,:drop,),:each,),:each,),:each"));
    refused(&"/*".repeat(100_000));
    refused(&"x".repeat(300_000));
    refused("name,((a{1000}){1000}){1000},:re");
    refused("a%s%s,(,b,),:format");
}

#[test]
fn a_pattern_that_backtracks_elsewhere_is_linear_here() {
    let text = format!("name,(a+)+$,:re,:sum,$(name),:legend,(a+)+$,x,:s,{},:legend", "a".repeat(5000));
    assert!(parse(&text).is_ok());
}

fn token() -> impl Strategy<Value = String> {
    let words: Vec<String> = words::all().map(|form| format!(":{}", form.word)).collect();
    prop_oneof![
        5 => prop::sample::select(words),
        3 => prop::sample::select(vec!["name", "1", "0", "10", "type", "NaN", "max", "1w", "5m", "-1", "1e300", "$name"]).prop_map(str::to_owned),
        2 => Just("(".to_owned()),
        2 => Just(")".to_owned()),
        1 => "[ -~]{0,8}",
        1 => any::<String>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_words_are_executed_or_refused(tokens in prop::collection::vec(token(), 0..25)) {
        let text = tokens.join(",");
        if let Ok(all) = parse(&text) {
            let demo = Demo::constants(0..=3);
            for styled in all.iter().take(4) {
                let shown = styled.to_string();
                prop_assert!(!shown.is_empty());
                if let Ok(lines) = evaluate(&styled.expr, &demo, Grid::new(0, 60_000, 5), &zone("UTC").unwrap()) {
                    for line in lines.iter().take(3) {
                        prop_assert_eq!(line.values.len(), 5);
                        let _ = styled.legend(line);
                    }
                }
            }
        }
    }

    #[test]
    fn any_body_is_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..200), header in any::<bool>()) {
        if header {
            bytes.splice(0..0, *b":)\n\x03");
        }
        let _ = read_update(&mut Json::new(&bytes), |_, _, _| ());
        let _ = read_publish(&mut Json::new(&bytes), |_| Ok(()));
        if let Ok(mut smile) = Smile::new(&bytes) {
            for _ in 0..1000 {
                match smile.token() {
                    Ok(Token::End) | Err(_) => break,
                    Ok(_) => {}
                }
            }
            let _ = Smile::new(&bytes).map(|mut smile| read_update(&mut smile, |_, _, _| ()));
        }
    }

    #[test]
    fn any_numbers_make_a_body_or_not(numbers in prop::collection::vec(prop_oneof![0i64..4, any::<i64>()], 0..40)) {
        let text = format!("[2,\"name\",\"aa\",{}]", numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
        let _ = read_update(&mut Json::new(text.as_bytes()), |_, _, _| ());
    }
}
