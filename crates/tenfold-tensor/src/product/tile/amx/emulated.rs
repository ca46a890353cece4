//! Matrix units in software, for tests on machines without them: a handler of the signal that their instructions raise
//! there carries out the ones that kernels use, as Intel's manual defines them (volume 2, TILELOADD, TDPBF16PS and
//! others), and ends the program at any other, or where an operand breaks a rule of theirs.

use std::cell::UnsafeCell;
use std::sync::Once;

const ROWS: usize = 16;
const COLS: usize = 16;

/// Of one thread, as the processor keeps them.
struct Tiles {
    configured: bool,
    row_bytes: [usize; 8],
    rows: [usize; 8],
    data: [[[u32; COLS]; ROWS]; 8],
}

thread_local! {
    static TILES: UnsafeCell<Tiles> = const {
        UnsafeCell::new(Tiles { configured: false, row_bytes: [0; 8], rows: [0; 8], data: [[[0; COLS]; ROWS]; 8] })
    };
}

/// From here on the process has tiles, as long as nobody else handles the signal.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    // SAFETY: the handler touches the thread's own tiles, the registers of the context it is given, and memory that
    // the instruction names.
    ONCE.call_once(|| unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handle as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        assert_eq!(libc::sigaction(libc::SIGILL, &raw const action, std::ptr::null_mut()), 0);
    });
}

extern "C" fn handle(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the system gives a context, and the program counter stands at an instruction.
    let known = unsafe {
        let registers = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
        TILES.with(|tiles| step(&mut *tiles.get(), registers))
    };
    if known.is_none() {
        std::process::abort();
    }
}

/// In the order in which instructions number them.
const NUMBERED: [libc::c_int; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];

/// A three-byte VEX instruction of the second opcode map.
struct Instruction {
    prefix: u8,
    opcode: u8,
    /// Whether the last operand is a register.
    register: bool,
    reg: usize,
    rm: usize,
    vvvv: usize,
    address: usize,
    /// From row to row of a tile in memory.
    stride: usize,
    len: i64,
}

/// # Safety
/// The program counter must stand at an instruction.
unsafe fn decode(registers: &[i64; 23]) -> Option<Instruction> {
    let at = registers[libc::REG_RIP as usize] as *const u8;
    // SAFETY: of an instruction only the bytes that it has are read, one after the other.
    let byte = |i: usize| unsafe { *at.add(i) };
    let value = |number: usize| registers[NUMBERED[number] as usize] as usize;
    if byte(0) != 0xc4 || byte(1) & 0x1f != 2 || byte(2) & 0x84 != 0 {
        return None;
    }
    let high = |bit: u8| usize::from(byte(1) >> bit & 1 == 0) * 8;
    let modrm = byte(4);
    let (mode, reg, rm) = (modrm >> 6, usize::from(modrm >> 3 & 7) + high(7), usize::from(modrm & 7));
    let mut len = 5;
    let (mut address, mut stride) = (0, 0);
    if mode < 3 {
        let mut base = rm + high(5);
        if rm == 4 {
            let sib = byte(5);
            len = 6;
            base = usize::from(sib & 7) + high(5);
            let index = usize::from(sib >> 3 & 7) + high(6);
            if index != 4 {
                stride = value(index) << (sib >> 6);
            }
        }
        if mode == 0 && base & 7 == 5 {
            return None;
        }
        let displacement = match mode {
            0 => 0,
            1 => {
                len += 1;
                i64::from(byte(len - 1) as i8)
            }
            _ => {
                len += 4;
                i64::from(i32::from_le_bytes([byte(len - 4), byte(len - 3), byte(len - 2), byte(len - 1)]))
            }
        };
        address = value(base).wrapping_add_signed(displacement as isize);
    }
    Some(Instruction {
        prefix: byte(2) & 3,
        opcode: byte(3),
        register: mode == 3,
        reg,
        rm,
        vvvv: usize::from(!byte(2) >> 3 & 15),
        address,
        stride,
        len: len as i64,
    })
}

/// # Safety
/// As for `decode`, and its memory operand must be there.
unsafe fn step(tiles: &mut Tiles, registers: &mut [i64; 23]) -> Option<()> {
    // SAFETY: promised by the caller, here and below.
    let one = unsafe { decode(registers) }?;
    match (one.prefix, one.opcode, one.register) {
        (0, 0x49, false) => unsafe { configure(tiles, one.address as *const u8) }?,
        (0, 0x49, true) => tiles.configured = false,
        _ if !tiles.configured || one.reg > 7 => return None,
        (3, 0x49, true) => tiles.data[one.reg] = [[0; COLS]; ROWS],
        (3, 0x4b, false) => {
            tiles.data[one.reg] = [[0; COLS]; ROWS];
            for row in 0..tiles.rows[one.reg] {
                let from = one.address.wrapping_add(row.wrapping_mul(one.stride)) as *const u8;
                let to = tiles.data[one.reg][row].as_mut_ptr().cast::<u8>();
                // SAFETY: as above.
                unsafe { to.copy_from_nonoverlapping(from, tiles.row_bytes[one.reg]) };
            }
        }
        (2, 0x4b, false) => {
            for row in 0..tiles.rows[one.reg] {
                let to = one.address.wrapping_add(row.wrapping_mul(one.stride)) as *mut u8;
                let from = tiles.data[one.reg][row].as_ptr().cast::<u8>();
                // SAFETY: as above.
                unsafe { to.copy_from_nonoverlapping(from, tiles.row_bytes[one.reg]) };
            }
        }
        (2, 0x5c, true) => dot_products(tiles, one.reg, one.rm, one.vvvv)?,
        _ => return None,
    }
    registers[libc::REG_RIP as usize] += one.len;
    Some(())
}

/// # Safety
/// 64 bytes must be there.
unsafe fn configure(tiles: &mut Tiles, from: *const u8) -> Option<()> {
    // SAFETY: promised by the caller.
    let byte = |i: usize| unsafe { *from.add(i) };
    let valid = byte(0) == 1 && byte(1) == 0 && (2..16).all(|i| byte(i) == 0);
    let unused = (8..16).all(|i| byte(16 + 2 * i) == 0 && byte(17 + 2 * i) == 0 && byte(48 + i) == 0);
    for i in 0..8 {
        tiles.row_bytes[i] = usize::from(byte(16 + 2 * i)) + 256 * usize::from(byte(17 + 2 * i));
        tiles.rows[i] = usize::from(byte(48 + i));
        if tiles.row_bytes[i] > 64
            || tiles.rows[i] > ROWS
            || (tiles.row_bytes[i] == 0) != (tiles.rows[i] == 0)
        {
            return None;
        }
    }
    tiles.data = [[[0; COLS]; ROWS]; 8];
    tiles.configured = true;
    (valid && unused).then_some(())
}

/// TDPBF16PS: even and odd numbers of the pairs are summed apart, then together, then added; subnormals are 0.
fn dot_products(tiles: &mut Tiles, sums: usize, left: usize, right: usize) -> Option<()> {
    let words = |tile: usize| tiles.row_bytes[tile] / 4;
    let fits = sums != left && sums != right && left != right && left.max(right) < 8;
    if !fits
        || [sums, left, right].iter().any(|&tile| !tiles.row_bytes[tile].is_multiple_of(4))
        || tiles.rows[sums] != tiles.rows[left]
        || words(sums) != words(right)
        || words(left) != tiles.rows[right]
    {
        return None;
    }
    for row in 0..tiles.rows[sums] {
        let mut halves = [[0f32; 2]; COLS];
        for k in 0..words(left) {
            for n in 0..words(sums) {
                for (half, shift) in halves[n].iter_mut().zip([16, 0]) {
                    let number = |unit: u32| flushed(f32::from_bits(unit << shift & 0xffff_0000));
                    let (a, b) = (number(tiles.data[left][row][k]), number(tiles.data[right][k][n]));
                    *half = flushed(a.mul_add(b, *half));
                }
            }
        }
        for n in 0..words(sums) {
            let before = flushed(f32::from_bits(tiles.data[sums][row][n]));
            tiles.data[sums][row][n] = flushed(before + flushed(halves[n][0] + halves[n][1])).to_bits();
        }
    }
    Some(())
}

fn flushed(x: f32) -> f32 {
    if x.is_subnormal() { 0.0f32.copysign(x) } else { x }
}
