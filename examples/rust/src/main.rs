//! Makes an image smaller by the mean of each K x K block of each channel; blocks at the end may be smaller ones.
//! The work is shared among threads of this program's own.
//!
//!     PKG_CONFIG_PATH=$(python -m fastpool config --pkgconfigdir) cargo run --release -- in.ppm out.ppm 8
use std::ffi::CStr;
use std::os::raw::{c_char, c_int, c_void};
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicPtr, Ordering::Relaxed};
use std::{env, fs, mem, process, ptr, thread};

const OK: c_int = 0;
const MEAN: i32 = 2;
const U8: i32 = 5;

/// `fastpool_spec`; the library checks its size.
#[repr(C)]
#[rustfmt::skip]
struct Spec {
    struct_size: u32, operation: i32, direction: i32, dtype: i32, indices: i32, skip_nan: i32, include_pad: i32,
    ceil_mode: i32, strided: i32, rank: i32, pooled: i32, form: i32,
    divisor: i64, norm: f64,
    shape: [i64; 16], x_strides: [i64; 16], y_strides: [i64; 16], index_strides: [i64; 16], input_strides: [i64; 16],
    axes: [i64; 16], kernel: [i64; 16], stride: [i64; 16], dilation: [i64; 16], pad_begin: [i64; 16],
    pad_end: [i64; 16],
}

#[repr(C)]
struct RawPlan {
    _private: [u8; 0],
}

#[link(name = "fastpool")]
extern "C" {
    fn fastpool_status_text(status: c_int) -> *const c_char;
    fn fastpool_spec_init(spec: *mut Spec, struct_size: usize) -> c_int;
    fn fastpool_plan_create(spec: *const Spec, plan: *mut *mut RawPlan) -> c_int;
    fn fastpool_plan_destroy(plan: *mut RawPlan);
    fn fastpool_output_shape(plan: *const RawPlan, shape: *mut i64) -> c_int;
    fn fastpool_tiles(plan: *const RawPlan, stage: c_int) -> i64;
    fn fastpool_scratch_size(plan: *const RawPlan) -> usize;
    #[rustfmt::skip]
    fn fastpool_forward_range(
        plan: *const RawPlan, begin: i64, end: i64, x: *const c_void, y: *mut c_void, indices: *mut c_void,
        scratch: *mut c_void,
    ) -> c_int;
}

fn check(status: c_int) -> Result<(), String> {
    if status == OK {
        return Ok(());
    }
    let text = unsafe { CStr::from_ptr(fastpool_status_text(status)) };
    Err(text.to_string_lossy().into_owned())
}

#[derive(Clone, Copy)]
struct Shape {
    height: usize,
    width: usize,
    channels: usize,
}

impl Shape {
    fn size(&self) -> usize {
        self.height * self.width * self.channels
    }
}

/// The mean of blocks in images of one shape, whose channels lie together.
struct Mean {
    plan: *mut RawPlan,
    input: Shape,
    output: Shape,
}

/// A plan is only read when it is run.
unsafe impl Sync for Mean {}

impl Mean {
    fn new(input: Shape, k: i64) -> Result<Mean, String> {
        let (mut plan, mut shape) = (ptr::null_mut(), [0; 3]);
        unsafe {
            let mut spec: Spec = mem::zeroed();
            check(fastpool_spec_init(&mut spec, mem::size_of::<Spec>()))?;
            (spec.operation, spec.dtype, spec.ceil_mode) = (MEAN, U8, 1);
            (spec.rank, spec.pooled) = (3, 2);
            spec.shape[..3].copy_from_slice(&[input.height as i64, input.width as i64, input.channels as i64]);
            spec.axes[..2].copy_from_slice(&[0, 1]);
            spec.kernel[..2].fill(k);
            spec.stride[..2].fill(k);
            check(fastpool_plan_create(&spec, &mut plan))?;
            check(fastpool_output_shape(plan, shape.as_mut_ptr()))?;
        }
        let [height, width, channels] = shape.map(|size| size as usize);
        Ok(Mean { plan, input, output: Shape { height, width, channels } })
    }

    fn run(&self, x: &[u8], y: &mut [u8], threads: usize) -> Result<(), String> {
        assert!(x.len() == self.input.size() && y.len() == self.output.size());
        let (next, failed, y) = (AtomicI64::new(0), AtomicI32::new(OK), AtomicPtr::new(y.as_mut_ptr()));
        let (tiles, bytes) = unsafe { (fastpool_tiles(self.plan, 0), fastpool_scratch_size(self.plan)) };
        let work = || {
            let mut scratch = vec![0u8; bytes];
            loop {
                // no two tiles write the same elements of y
                let tile = next.fetch_add(1, Relaxed);
                if tile >= tiles {
                    return;
                }
                let (x, y, scratch) = (x.as_ptr().cast(), y.load(Relaxed).cast(), scratch.as_mut_ptr().cast());
                let status = unsafe {
                    fastpool_forward_range(self.plan, tile, tile + 1, x, y, ptr::null_mut(), scratch)
                };
                failed.fetch_max(status, Relaxed);
            }
        };
        thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
        check(failed.into_inner())
    }
}

impl Drop for Mean {
    fn drop(&mut self) {
        unsafe { fastpool_plan_destroy(self.plan) }
    }
}

/// The shape and the pixels of a file, or None if it is no image of 8 bits a channel (P5 or P6).
fn parse(bytes: &[u8]) -> Option<(Shape, &[u8])> {
    let channels = match bytes.get(..2)? {
        b"P5" => 1,
        b"P6" => 3,
        _ => return None,
    };
    let (mut numbers, mut rest) = ([0; 3], &bytes[2..]);
    for number in &mut numbers {
        loop {
            rest = rest.trim_ascii_start();
            if rest.first()? != &b'#' {
                break;
            }
            rest = &rest[rest.iter().position(|c| *c == b'\n')?..];
        }
        let (word, after) = rest.split_at(rest.iter().position(u8::is_ascii_whitespace)?);
        *number = std::str::from_utf8(word).ok()?.parse().ok().filter(|n| (1..1 << 24).contains(n))?;
        rest = after;
    }
    let [width, height, most] = numbers;
    let shape = Shape { height, width, channels };
    Some((shape, rest.get(1..=shape.size())?)).filter(|_| most == 255)
}

fn run(words: &[String]) -> Result<(), String> {
    let [_, from, to, k] = words else {
        return Err("usage: shrink IN.ppm OUT.ppm K".into());
    };
    let k = k.parse().map_err(|_| format!("{k}: not a number"))?;
    let bytes = fs::read(from).map_err(|error| format!("{from}: {error}"))?;
    let (shape, pixels) = parse(&bytes).ok_or(format!("{from}: not an image of 8 bits a channel (P5 or P6)"))?;
    let mean = Mean::new(shape, k)?;
    let mut small = vec![0; mean.output.size()];
    mean.run(pixels, &mut small, thread::available_parallelism().map_or(1, |n| n.get()))?;
    let kind = if shape.channels == 3 { "P6" } else { "P5" };
    let mut file = format!("{kind}\n{} {}\n255\n", mean.output.width, mean.output.height).into_bytes();
    file.append(&mut small);
    fs::write(to, file).map_err(|error| format!("{to}: {error}"))
}

fn main() {
    if let Err(message) = run(&env::args().collect::<Vec<_>>()) {
        eprintln!("{message}");
        process::exit(1);
    }
}
