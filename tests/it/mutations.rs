//! The lists of `tests/mutations/` name what stands in the tree: a list that has fallen behind would prove nothing.

use std::path::Path;

#[test]
fn every_check_that_is_taken_away_is_there_once() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut checked = 0;
    for list in std::fs::read_dir(root.join("tests/mutations")).unwrap() {
        let list = list.unwrap().path();
        if list.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let text = std::fs::read_to_string(&list).unwrap();
        // Whoever reads the lists takes each such file for one.
        assert!(text.contains("\n["), "{} is no list", list.display());
        for entry in text.split("\n[").skip(1) {
            let (title, rest) = entry.split_once(']').unwrap();
            let file = rest.lines().find_map(|line| line.strip_prefix("file ")).unwrap();
            let before: Vec<_> = rest.lines().filter_map(|line| line.strip_prefix('-')).collect();
            let source = std::fs::read_to_string(root.join(file)).unwrap();
            let times = source.matches(&before.join("\n")).count();
            assert_eq!(times, 1, "{title}: {file} must hold what is taken away once; mend {}", list.display());
            checked += 1;
        }
    }
    assert!(checked > 20, "the lists were found");
}
