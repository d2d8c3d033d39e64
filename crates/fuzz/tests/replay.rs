//! What fuzzing found worth keeping goes through its target again.

use std::{fs, path::Path};

use tallylight_fuzz::TARGETS;

#[test]
fn the_corpora_break_no_promise() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in TARGETS {
        let mut inputs: Vec<_> = fs::read_dir(corpora.join(name))
            .unwrap_or_else(|error| panic!("no corpus for {name}: {error}"))
            .map(|entry| entry.unwrap().path())
            .collect();
        inputs.sort();
        assert!(inputs.len() >= 10, "{name}: {} inputs", inputs.len());
        for input in inputs {
            // What fails is named by the last line.
            println!("{}", input.display());
            target(&fs::read(&input).unwrap());
        }
    }
}
