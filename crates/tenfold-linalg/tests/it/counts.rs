//! Published parameter counts (P10) and padding (P11).

use tenfold_linalg::{Bonds, Gauge, MpoShape, decompose};

use crate::sample::Random;

/// Rows, columns, row factors, column factors, inner bonds, total, auxiliary, central.
type Row = (usize, usize, [usize; 5], [usize; 5], [usize; 4], usize, usize, usize);

/// The shapes of MPOP, MPOE and MPOBERT with five cores.
const PUBLISHED: [Row; 10] = [
    (768, 768, [3, 4, 4, 4, 4], [4, 4, 4, 4, 3], [12, 192, 192, 12], 663_840, 74_016, 589_824),
    (768, 3072, [3, 4, 4, 4, 4], [4, 4, 8, 6, 4], [12, 192, 384, 16], 2_544_016, 184_720, 2_359_296),
    (3072, 768, [4, 4, 8, 6, 4], [3, 4, 4, 4, 4], [12, 192, 384, 16], 2_544_016, 184_720, 2_359_296),
    (30000, 128, [5, 10, 10, 10, 6], [2, 2, 4, 4, 2], [10, 200, 480, 12], 4_110_644, 270_644, 3_840_000),
    (30720, 768, [4, 8, 20, 12, 4], [4, 4, 4, 4, 3], [16, 512, 576, 12], 24_187_280, 594_320, 23_592_960),
    (1024, 1024, [4, 4, 4, 4, 4], [4, 4, 4, 4, 4], [16, 256, 256, 16], 1_180_160, 131_584, 1_048_576),
    (4096, 1024, [4, 4, 8, 8, 4], [4, 4, 4, 4, 4], [16, 256, 512, 16], 4_522_496, 328_192, 4_194_304),
    (32768, 768, [8, 8, 8, 8, 8], [3, 4, 4, 4, 4], [24, 768, 1024, 32], 26_805_824, 1_640_000, 25_165_824),
    (32768, 1024, [8, 8, 8, 8, 8], [4, 4, 4, 4, 4], [32, 1024, 1024, 32], 35_653_632, 2_099_200, 33_554_432),
    (50400, 768, [5, 10, 14, 12, 6], [4, 4, 4, 4, 3], [20, 800, 864, 18], 40_094_420, 1_387_220, 38_707_200),
];

#[test]
fn published_shapes_have_their_published_counts() {
    for (rows, cols, row_factors, col_factors, bonds, total, auxiliary, central) in PUBLISHED {
        let shape = MpoShape::automatic(rows, cols, 5);
        assert_eq!((shape.row_factors(), shape.col_factors()), (&row_factors[..], &col_factors[..]));
        let full = shape.full_bonds();
        assert_eq!(full[1..5], bonds, "{rows} x {cols}");
        assert_eq!((full[0], full[5]), (1, 1));
        let sizes: Vec<usize> = shape.core_shapes(&full).iter().map(|s| s.iter().product()).collect();
        assert_eq!(shape.parameters(&full), total);
        assert_eq!(sizes[shape.central()], central);
        assert_eq!(total - central, auxiliary);
    }
}

#[test]
fn the_other_embedding_variant_counts_too() {
    let shape = MpoShape::new(vec![6, 8, 10, 8, 8], vec![4, 4, 4, 4, 3]).unwrap();
    assert_eq!(shape.full_bonds(), [1, 24, 768, 768, 24, 1]);
    assert_eq!(shape.parameters(&shape.full_bonds()), 24_773_760);
}

#[test]
fn default_lists_apply_away_from_the_published_pairs() {
    let total = |rows, cols, n| {
        let shape = MpoShape::automatic(rows, cols, n);
        shape.parameters(&shape.full_bonds())
    };
    // Both sides from the per-side table.
    assert_eq!(MpoShape::automatic(2304, 768, 5).row_factors(), [4, 4, 8, 6, 3]);
    assert_eq!(MpoShape::automatic(2048, 2048, 7).col_factors(), [2, 4, 4, 4, 4, 2, 2]);
    assert_eq!(MpoShape::automatic(50257, 768, 3).row_factors(), [35, 40, 36]);
    assert_eq!(total(768, 768, 3), 598_016);
    assert_eq!(total(768, 768, 7), 676_640);
    assert_eq!(total(768, 768, 9), 729_632);
    // With five cores the default lists give the square matrix other bonds than the published pair does.
    let square = MpoShape::new(vec![4, 4, 4, 4, 3], vec![4, 4, 4, 4, 3]).unwrap();
    assert_eq!(square.full_bonds(), [1, 16, 256, 144, 9, 1]);
    assert_eq!(square.parameters(&square.full_bonds()), 676_433);
    let wide = MpoShape::new(vec![4, 4, 8, 6, 4], vec![4, 4, 4, 4, 3]).unwrap();
    assert_eq!(wide.full_bonds(), [1, 16, 256, 288, 12, 1]);
    assert_eq!(wide.parameters(&wide.full_bonds()), 2_508_176);
    assert_eq!(2_508_176 - 2_359_296, 148_880);
}

#[test]
fn every_default_list_multiplies_to_its_side() {
    for side in [768, 3072, 1024, 2048, 4096, 2304, 50400] {
        for n in [2, 3, 5, 7, 9] {
            let shape = MpoShape::automatic(side, 17, n);
            assert_eq!(shape.padded_rows(), side, "{side} in {n}");
            assert_eq!(shape.cores(), n);
        }
    }
}

#[test]
fn truncated_counts_are_as_published() {
    let table: [(_, &[(usize, usize)]); 4] = [
        (
            (768, 768),
            &[(240, 663_840), (192, 663_840), (128, 311_584), (64, 90_400), (32, 28_960), (16, 10_528)],
        ),
        ((768, 3072), &[(192, 1_290_640), (128, 598_416), (64, 168_336), (32, 51_600), (16, 17_808)]),
        ((30000, 128), &[(240, 2_075_444), (128, 742_644), (32, 62_964)]),
        ((30720, 768), &[(240, 4_869_520), (128, 1_450_384), (64, 397_712), (32, 117_136)]),
    ];
    for ((rows, cols), counts) in table {
        let shape = MpoShape::automatic(rows, cols, 5);
        for &(cap, total) in counts {
            assert_eq!(shape.parameters(&shape.capped(cap)), total, "{rows} x {cols} at {cap}");
        }
    }
    let ratio = |total: usize| total as f64 / (768.0 * 768.0);
    assert!((ratio(663_840) - 1.1255).abs() < 5e-5 && (ratio(90_400) - 0.1533).abs() < 5e-5);
}

#[test]
fn break_even_caps_and_savings_are_as_published() {
    for (rows, cols, cap, total) in
        [(768, 768, 180, 587_808), (768, 3072, 355, 2_354_704), (30000, 128, 448, 3_839_284)]
    {
        let shape = MpoShape::automatic(rows, cols, 5);
        assert_eq!(shape.cap_for(rows * cols - 1), Some(cap));
        assert_eq!(shape.parameters(&shape.capped(cap)), total);
    }
    for (rows, cols, savings) in [
        (768, 3072, [3084, 12480, 6528, 9232]),
        (768, 768, [3084, 3264, 3264, 3084]),
        (30000, 128, [4010, 19400, 8480, 19212]),
    ] {
        let shape = MpoShape::automatic(rows, cols, 5);
        let full = shape.full_bonds();
        for k in 1..5 {
            assert_eq!(shape.saving(&full, k), savings[k - 1]);
            let mut lowered = full.clone();
            lowered[k] -= 1;
            assert_eq!(shape.parameters(&full) - shape.parameters(&lowered), savings[k - 1]);
        }
    }
}

#[test]
fn vocabularies_are_padded_as_published_and_cut_back() {
    for (vocabulary, padded) in [(30522, 30720), (32128, 32768), (50257, 50400)] {
        assert_eq!(MpoShape::automatic(vocabulary, 768, 5).padded_rows(), padded);
        // A narrow table keeps this quick; the padding is what is tested.
        let shape = MpoShape::automatic(vocabulary, 4, 5);
        assert_eq!(shape.padded_rows(), padded);
        let table = Random(15).matrix(vocabulary, 4);
        let mpo = decompose(&table, &shape, &Bonds::Full, Gauge::Symmetric).unwrap();
        let back = mpo.rebuild();
        assert_eq!((back.rows(), back.cols()), (vocabulary, 4));
        assert!(back.subtract(&table).max_abs() < 1e-12 * table.frobenius());
    }
}

/// OPF (ACL 2023): sizes with square inner cores, eleven cores and two.
#[test]
fn factors_at_both_ends_have_the_published_counts() {
    for (rows, cols, bond, added, pair) in [
        ([32, 24], [32, 24], 576, 3_317_760, 331_776),
        ([32, 24], [64, 48], 1152, 13_271_040, 1_327_104),
        ([16, 32], [32, 16], 512, 2_621_440, 262_144),
        ([32, 16], [64, 32], 512, 2_621_440, 262_144),
        ([32, 32], [32, 32], 1024, 10_485_760, 1_048_576),
        ([32, 32], [64, 64], 2048, 41_943_040, 4_194_304),
    ] {
        let total = |cores| {
            let shape = MpoShape::ends(rows, cols, cores).unwrap();
            let bonds = shape.full_bonds();
            assert!(bonds[1..cores].iter().all(|one| *one == bond), "{rows:?}, {cols:?}: {bonds:?}");
            shape.parameters(&bonds) - shape.padded_rows() * shape.padded_cols()
        };
        assert_eq!((total(11), total(2)), (added, pair), "{rows:?}, {cols:?}");
    }
}

#[test]
fn the_largest_ends_have_the_largest_bond() {
    for (rows, cols) in [(384, 384), (384, 1536), (1536, 384), (768, 3072), (7, 12), (1, 5), (30, 42)] {
        let [a, b] = MpoShape::largest_ends(rows, cols);
        assert_eq!((a[0] * a[1], b[0] * b[1]), (rows, cols));
        let bond = (a[0] * b[0]).min(a[1] * b[1]);
        let best = (1..=rows)
            .filter(|i| rows % i == 0)
            .flat_map(|i| {
                (1..=cols).filter(|j| cols % j == 0).map(move |j| (i * j).min(rows / i * (cols / j)))
            })
            .max();
        assert_eq!(Some(bond), best, "{rows} x {cols}");
    }
}
