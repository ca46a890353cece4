//! The emulated device does what kernels ask for, and finds what they do wrong.

use std::sync::OnceLock;

use tenfold_tensor::Precision;
use tenfold_tensor::device::{Argument, Driver, Fault, Matrix, Product};

use crate::emulated::{Emulated, bf16, compiler};

const SOURCE: &str = include_str!("itself.cu");

/// The device, or nothing and a word about it where kernels cannot be compiled.
fn device() -> Option<&'static Emulated> {
    static DEVICE: OnceLock<Option<Emulated>> = OnceLock::new();
    let device = DEVICE.get_or_init(|| compiler().map(|_| Emulated::build(SOURCE)));
    if device.is_none() {
        println!("not tested: no C++ compiler");
    }
    device.as_ref()
}

fn numbers(device: &Emulated, values: &[f32]) -> u64 {
    let address = device.allocate(values.len() * 4).unwrap();
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    device.upload(address, &bytes).unwrap();
    address
}

fn read(device: &Emulated, address: u64, len: usize) -> Vec<f32> {
    let mut bytes = vec![0; len * 4];
    device.download(address, &mut bytes).unwrap();
    bytes.as_chunks().0.iter().map(|&word| f32::from_le_bytes(word)).collect()
}

fn spread(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0).collect()
}

/// Runs a kernel on one block of memory of 4096 numbers; its fault.
fn fault(kernel: &str, block: u32) -> String {
    let Some(device) = device() else { return String::new() };
    let to = numbers(device, &[0.0; 4096]);
    let arguments = [Argument::Address(to), Argument::Whole(4096)];
    let outcome = device.launch(kernel, [1, 1], block, &arguments);
    device.release(to);
    let Err(Fault::Failed { reason, .. }) = outcome else { panic!("{kernel}: {outcome:?}") };
    reason
}

#[track_caller]
fn assert_fault(kernel: &str, block: u32, says: &[&str]) {
    let reason = fault(kernel, block);
    for word in says.iter().filter(|_| device().is_some()) {
        assert!(reason.contains(word), "{kernel} should say {word:?}: {reason}");
    }
}

#[test]
fn adds_numbers() {
    let Some(device) = device() else { return };
    let (a, b) = (spread(1000, 1), spread(1000, 2));
    let (from, with) = (numbers(device, &a), numbers(device, &b));
    let to = device.allocate(4000).unwrap();
    let addresses = [from, with, to].map(Argument::Address);
    let arguments = [&addresses[..], &[Argument::Number(0.5), Argument::Whole(1000)]].concat();
    device.launch("add", [4, 1], 256, &arguments).unwrap();
    let expected: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + 0.5 * b).collect();
    assert_eq!(read(device, to, 1000), expected);
    assert!(device.watch().launches_of("add") > 0 && device.watch().downloads() > 0);
    [from, with, to].into_iter().for_each(|address| device.release(address));
}

#[test]
fn reduces_blocks_and_warps() {
    let Some(device) = device() else { return };
    let values = spread(3000, 3);
    let from = numbers(device, &values);
    for (kernel, block) in [("sum_block", 256), ("sum_block", 96), ("sum_warps", 256), ("sum_warps", 32)] {
        let to = numbers(device, &[0.0; 3]);
        let arguments = [Argument::Address(from), Argument::Address(to), Argument::Whole(1000)];
        device.launch(kernel, [3, 1], block, &arguments).unwrap();
        for (sum, values) in read(device, to, 3).iter().zip(values.chunks(1000)) {
            let expected: f64 = values.iter().map(|&x| f64::from(x)).sum();
            assert!((f64::from(*sum) - expected).abs() < 1e-3, "{kernel}: {sum} is not {expected}");
        }
        device.release(to);
    }
    device.release(from);
}

#[test]
fn lanes_exchange() {
    let Some(device) = device() else { return };
    let to = device.allocate(64 * 8 * 4).unwrap();
    device.launch("lanes", [1, 1], 64, &[Argument::Address(to)]).unwrap();
    for (thread, got) in read(device, to, 64 * 8).as_chunks::<8>().0.iter().enumerate() {
        let (warp, lane) = (thread / 32 * 32, thread % 32);
        let down = if lane + 3 < 32 { thread + 3 } else { thread };
        let up = if lane >= 5 { thread - 5 } else { thread };
        let eight = warp + lane / 8 * 8 + 2;
        let odd = if warp == 0 { 0xAAAA } else { 0x0_5555 };
        let expected = [down, up, warp + (lane ^ 9), warp + 7, eight, odd, 1, usize::from(warp == 0)];
        assert_eq!(got.map(|x| x as usize), expected, "thread {thread}");
    }
    device.release(to);
}

#[test]
fn grids_have_two_sides() {
    let Some(device) = device() else { return };
    let to = device.allocate(3 * 5 * 7 * 4).unwrap();
    device.launch("place", [3, 5], 7, &[Argument::Address(to)]).unwrap();
    let expected: Vec<f32> = (0..5)
        .flat_map(|y| (0..3).flat_map(move |x| (0..7).map(move |t| (100 * y + 10 * x + t) as f32)))
        .collect();
    assert_eq!(read(device, to, 105), expected);
    device.release(to);
}

#[test]
fn atomic_sums_are_whole() {
    let Some(device) = device() else { return };
    let to = numbers(device, &[0.0; 4]);
    device.launch("count", [3, 2], 64, &[Argument::Address(to)]).unwrap();
    assert_eq!(read(device, to, 1), [384.0]);
    device.release(to);
}

#[test]
fn wide_loads_and_doubles_work() {
    let Some(device) = device() else { return };
    let values = spread(64, 4);
    let from = numbers(device, &values);
    let to = device.allocate(16 * 4).unwrap();
    device.launch("quads", [1, 1], 16, &[from, to].map(Argument::Address)).unwrap();
    let expected: Vec<f32> = values
        .as_chunks::<4>()
        .0
        .iter()
        .map(|quad| quad.iter().map(|&x| f64::from(x)).sum::<f64>() as f32)
        .collect();
    assert_eq!(read(device, to, 16), expected);
    [from, to].into_iter().for_each(|address| device.release(address));
}

#[test]
fn fresh_and_shared_memory_are_nan() {
    let Some(device) = device() else { return };
    let fresh = device.allocate(1000).unwrap();
    assert_eq!(fresh % 256, 0);
    assert!(read(device, fresh, 250).iter().all(|x| x.is_nan()));
    device.launch("stale_shared", [1, 1], 32, &[Argument::Address(fresh)]).unwrap();
    assert!(read(device, fresh, 1)[0].is_nan());
    device.release(fresh);
}

#[test]
fn threads_that_do_not_meet_are_found() {
    assert_fault("leaves_barrier", 64, &["divergent barrier", "has returned", "__syncthreads"]);
    assert_fault("parts_at_barriers", 64, &["divergent barrier", "waits at line"]);
    assert_fault("parts_at_shuffles", 32, &["divergent warp", "waits at line"]);
    assert_fault("not_in_mask", 32, &["is not in its own mask"]);
}

#[test]
fn wrong_addresses_are_found() {
    assert_fault("writes_past_end", 32, &["writes 4 bytes outside", "byte 16384", "to[count] ="]);
    assert_fault("reads_before_begin", 32, &["reads 4 bytes outside", "byte -4"]);
    assert_fault("uses_nothing", 32, &["address that is 0"]);
    assert_fault("is_unaligned", 32, &["not aligned", "float4"]);
    assert_fault("beyond_shared", 33, &["beyond its end", "cells[threadIdx.x]"]);
    assert_fault("spills", 1, &["byte 16388 of a block of 16384 bytes was written"]);
}

#[test]
fn races_are_found() {
    assert_fault("forgets_barrier", 64, &["race", "shared", "cells[63 -", "cells[threadIdx.x] ="]);
    assert_fault("all_write", 64, &["race", "global", "writes"]);
    assert_fault("reuses_too_early", 64, &["race", "shared", "reads"]);
    assert_fault("traps", 1, &["traps"]);
}

#[test]
fn launches_are_checked() {
    let Some(device) = device() else { return };
    let to = numbers(device, &[0.0; 64]);
    let at = Argument::Address(to);
    assert_eq!(device.launch("nothing", [1, 1], 1, &[]), Err(Fault::Kernel("nothing".to_owned())));
    assert!(device.launch("count", [1, 1], 1, &[at, at]).is_err(), "too many arguments");
    assert!(device.launch("count", [1, 1], 1, &[Argument::Whole(1)]).is_err(), "a wrong kind");
    assert!(device.launch("count", [1, 1], 128, &[at]).is_err(), "more threads than its bounds");
    assert!(device.launch("count", [1, 65_536], 1, &[at]).is_err(), "a grid that is too high");
    assert!(device.launch("count", [0, 1], 1, &[at]).is_err(), "an empty grid");
    assert!(device.launch("count", [1, 1], 1, &[Argument::Address(to + 260)]).is_err(), "an address outside");
    assert!(device.launch("no_kernel", [1, 1], 1, &[at]).is_err(), "a comment");
    assert!(device.launch("made_by_macro", [1, 1], 1, &[at]).is_ok());
    assert!(device.upload(to + 4, &[0; 256]).is_err(), "a copy beyond the end");
    assert!(device.download(to, &mut [0; 257]).is_err(), "a copy from beyond the end");
    device.release(to);
}

#[test]
fn memory_ends() {
    if compiler().is_none() {
        return;
    }
    let device = Emulated::build(SOURCE);
    device.watch().set_room(Some(1000));
    let block = device.allocate(600).unwrap();
    assert_eq!(device.allocate(600), Err(Fault::Memory { bytes: 600 }));
    device.release(block);
    assert!(device.allocate(600).is_ok());
    assert_eq!(device.watch().live_bytes(), 600);
}

#[test]
fn threads_may_run_backwards() {
    if compiler().is_none() {
        return;
    }
    let device = Emulated::build(SOURCE);
    let [forwards, backwards] = [false, true].map(|backwards| {
        device.watch().set_backwards(backwards);
        let to = numbers(&device, &[0.0; 64]);
        device.launch("order", [1, 1], 64, &[to].map(Argument::Address)).unwrap();
        read(&device, to, 2)
    });
    assert_eq!((forwards, backwards), (vec![0.0, 1.0], vec![63.0, 62.0]));
}

/// Every way to store the operands, against sums made element by element.
#[test]
fn products_have_every_form() {
    let Some(device) = device() else { return };
    let (rows, cols, inner, batch) = (3, 5, 4, 2);
    let (a, b, c) = (spread(200, 5), spread(200, 6), spread(200, 7));
    let (lhs, rhs) = (numbers(device, &a), numbers(device, &b));
    for form in 0..32 {
        let bit = |at: usize| form >> at & 1 == 1;
        let matrix = |address, turned, [rows, cols]: [usize; 2], wide: bool| {
            let row_step = if turned { rows } else { cols } + usize::from(wide) * 3;
            Matrix { address, row_step, batch_step: row_step * 5 + 2, turned }
        };
        let to = numbers(device, &if bit(3) { c.clone() } else { vec![f32::NAN; 200] });
        let product = Product {
            rows,
            cols,
            inner,
            batch,
            lhs: matrix(lhs, bit(0), [rows, inner], bit(2)),
            rhs: Matrix { batch_step: 0, ..matrix(rhs, bit(1), [inner, cols], false) },
            to: matrix(to, false, [rows, cols], bit(2)),
            alpha: 1.5,
            beta: if bit(3) { 0.25 } else { 0.0 },
            precision: if bit(4) { Precision::Bf16 } else { Precision::Bf16x3 },
        };
        device.multiply(&product).unwrap();
        let got = read(device, to, 200);
        let at = |matrix: &Matrix, of: usize, row: usize, col: usize| {
            let (row, col) = if matrix.turned { (col, row) } else { (row, col) };
            of * matrix.batch_step + row * matrix.row_step + col
        };
        let round = |x: f32| if bit(4) { bf16(x) } else { x };
        let mut left: Vec<f32> = if bit(3) { c.clone() } else { vec![f32::NAN; 200] };
        for (of, row, col) in (0..batch * rows * cols).map(|i| (i / 15, i / 5 % 3, i % 5)) {
            let mut sum = 0.0;
            for k in 0..inner {
                sum += round(a[at(&product.lhs, of, row, k)]) * round(b[at(&product.rhs, of, k, col)]);
            }
            let place = at(&product.to, of, row, col);
            let before = if bit(3) { 0.25 * c[place] } else { 0.0 };
            assert!((got[place] - (1.5 * sum + before)).abs() < 1e-5, "form {form}");
            left[place] = got[place];
        }
        let same = left.iter().zip(&got).all(|(a, b)| a.to_bits() == b.to_bits());
        assert!(same, "form {form} writes its result only");
        device.release(to);
    }
    [lhs, rhs].into_iter().for_each(|address| device.release(address));
}

#[test]
fn products_outside_of_memory_are_refused() {
    let Some(device) = device() else { return };
    let address = numbers(device, &[1.0; 64]);
    let matrix = |at: u64, row_step| Matrix { address: address + at, row_step, batch_step: 4, turned: false };
    let (lhs, rhs, to) = (matrix(0, 4), matrix(64, 4), matrix(128, 4));
    let (rows, precision) = (4, Precision::F32);
    let whole = Product { rows, cols: 4, inner: 4, batch: 1, lhs, rhs, to, alpha: 1.0, beta: 0.0, precision };
    assert_eq!(device.multiply(&whole), Ok(()));
    let wrong = [
        Product { to: matrix(200, 4), ..whole },
        Product { rhs: matrix(0, 3), ..whole },
        Product { to: matrix(32, 4), ..whole },
        Product { batch: 2, ..whole },
        Product { lhs: matrix(2, 4), ..whole },
        Product { to: Matrix { turned: true, ..to }, ..whole },
    ];
    for product in wrong {
        assert!(device.multiply(&product).is_err(), "{product:?}");
    }
    device.release(address);
}
