//! STS-B read from the real file, where it is there.

use std::path::Path;
use tenfold_eval::task::stsb;

#[test]
fn the_real_file_is_read_whole() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    if !dir.join(stsb::FILE).is_file() {
        println!("not run: {} is not there", stsb::FILE);
        return;
    }
    let pairs = stsb::read(&dir).unwrap();
    assert_eq!(pairs.len(), 1200);
    assert_eq!(pairs[0].first, "A man with a hard hat is dancing.");
    assert_eq!((pairs[0].score, pairs[1].score), (5.0, 4.75));
    assert!(pairs.iter().filter(|pair| pair.score < 1.0).count() > 200);
}
