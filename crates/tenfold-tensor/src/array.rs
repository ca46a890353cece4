//! The array: a contiguous row-major block of `f32` with a shape.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::device::{self, Argument, Block};
use crate::kernel::{elementwise, reduce};
use crate::par;
use crate::pool::Buffer;
use crate::product::Panels;

/// A contiguous row-major array of `f32`. Cloning and reshaping share the storage; writing copies it first when it
/// is shared, so no two arrays ever see each other's writes.
#[derive(Clone)]
pub struct Array {
    storage: Arc<Storage>,
    shape: Vec<usize>,
}

/// The elements, on either side or on both, and what products have packed of them. Whoever writes the elements drops the
/// other side's copy and the packed ones, so none can be stale. Where no side has any they are unspecified.
struct Storage {
    len: usize,
    host: OnceLock<Buffer>,
    device: OnceLock<Block>,
    packed: Mutex<Vec<Arc<Panels>>>,
}

impl Storage {
    fn new(len: usize) -> Storage {
        Storage { len, host: OnceLock::new(), device: OnceLock::new(), packed: Mutex::new(Vec::new()) }
    }

    /// The elements in the processor's memory, brought there if they are on the device alone.
    fn host(&self) -> &Buffer {
        self.host.get_or_init(|| {
            let mut buffer = Buffer::stale(self.len);
            if let Some(block) = self.device.get() {
                block.read(&mut buffer);
            }
            buffer
        })
    }

    /// The elements on the device, brought there if they are in the processor's memory alone.
    fn device(&self) -> &Block {
        self.device.get_or_init(|| match self.host.get() {
            Some(buffer) => Block::of(buffer),
            None => Block::stale(self.len),
        })
    }
}

impl Array {
    /// An array with unspecified contents, for kernels that overwrite every element.
    pub(crate) fn stale(shape: &[usize]) -> Array {
        let len = shape.iter().product();
        Array { storage: Arc::new(Storage::new(len)), shape: shape.to_vec() }
    }

    /// An array of zeros.
    pub fn zeros(shape: &[usize]) -> Array {
        Array::full(shape, 0.0)
    }

    /// An array whose elements all equal `value`.
    pub fn full(shape: &[usize], value: f32) -> Array {
        let mut array = Array::stale(shape);
        par::chunks_mut(array.data_mut(), par::GRAIN, |_, chunk| chunk.fill(value));
        array
    }

    /// An array of one element, with the empty shape.
    pub fn scalar(value: f32) -> Array {
        Array::full(&[], value)
    }

    /// An array with the given elements in row-major order.
    ///
    /// # Panics
    /// When the number of elements is not the product of the shape.
    #[track_caller]
    pub fn from_vec(values: Vec<f32>, shape: &[usize]) -> Array {
        Array::from_slice(&values, shape)
    }

    /// An array with a copy of the given elements in row-major order.
    ///
    /// # Panics
    /// When the number of elements is not the product of the shape.
    #[track_caller]
    pub fn from_slice(values: &[f32], shape: &[usize]) -> Array {
        assert_eq!(
            values.len(),
            shape.iter().product::<usize>(),
            "elements given against the shape {shape:?}"
        );
        let mut array = Array::stale(shape);
        array.data_mut().copy_from_slice(values);
        array
    }

    /// The length of every dimension, slowest first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.storage.len
    }

    /// The columns with the k largest numbers of every row, the largest first; of equal ones the first. Height times k of them.
    ///
    /// # Panics
    /// When k is 0 or above the width.
    #[track_caller]
    pub fn largest_columns(&self, k: usize) -> Vec<u32> {
        let width = self.width();
        assert!((1..=width).contains(&k), "the {k} largest of {width} columns");
        let mut chosen = Vec::with_capacity(self.height() * k);
        let mut order: Vec<u32> = Vec::with_capacity(width);
        for row in self.data().chunks_exact(width) {
            order.clear();
            order.extend(0..width as u32);
            order.sort_by(|a, b| row[*b as usize].total_cmp(&row[*a as usize]));
            chosen.extend(&order[..k]);
        }
        chosen
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The last dimension; 1 for a scalar.
    pub fn width(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// The product of all dimensions but the last: the number of rows of the array seen as a matrix.
    pub fn height(&self) -> usize {
        self.shape.split_last().map_or(1, |(_, rest)| rest.iter().product())
    }

    /// The elements in row-major order.
    pub fn data(&self) -> &[f32] {
        self.storage.host()
    }

    /// The sum with another array, in this one's storage where nobody shares it.
    ///
    /// # Panics
    /// When the shapes differ.
    #[track_caller]
    pub fn plus(mut self, other: &Array) -> Array {
        assert_eq!(self.shape, other.shape, "a sum of arrays of different shapes");
        if let Some(device) = device::near([&self, other]) {
            device.add_scaled(&mut self, other, 1.0);
            return self;
        }
        let source = other.data();
        par::chunks_mut(self.data_mut(), par::GRAIN, |start, chunk| {
            elementwise::add_assign(chunk, &source[start..start + chunk.len()]);
        });
        self
    }

    /// The elements for writing; copies the storage first when another array shares it.
    pub fn data_mut(&mut self) -> &mut [f32] {
        if Arc::get_mut(&mut self.storage).is_none() {
            let mut copy = Buffer::stale(self.len());
            let source = self.data();
            par::chunks_mut(&mut copy, par::GRAIN, |start, chunk| {
                chunk.copy_from_slice(&source[start..start + chunk.len()]);
            });
            let storage = Storage::new(self.len());
            let _ = storage.host.set(copy);
            self.storage = Arc::new(storage);
        }
        self.storage.host();
        let Some(storage) = Arc::get_mut(&mut self.storage) else {
            unreachable!("the storage was made unique above")
        };
        storage.packed.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
        drop(storage.device.take());
        match storage.host.get_mut() {
            Some(elements) => elements,
            None => unreachable!("the elements were brought above"),
        }
    }

    /// Whether the elements are on the device, so that an op may as well be computed there.
    pub(crate) fn is_on_device(&self) -> bool {
        self.storage.device.get().is_some()
    }

    /// Where a kernel finds the elements.
    pub(crate) fn read(&self) -> Argument {
        self.storage.device().argument()
    }

    /// Where a kernel writes the elements, all of them or some; copies the storage first when another array shares it.
    pub(crate) fn write(&mut self) -> Argument {
        if Arc::get_mut(&mut self.storage).is_none() {
            let mut copy = Array::stale(&self.shape);
            if let Some(device) = device::active() {
                device.copy(&mut copy, self);
            }
            self.storage = copy.storage;
        }
        self.storage.device();
        let Some(storage) = Arc::get_mut(&mut self.storage) else {
            unreachable!("the storage was made unique above")
        };
        storage.packed.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
        drop(storage.host.take());
        storage.device().argument()
    }

    /// The packed copy for which `fits` holds, made by `pack` where there is none. It is kept until the elements are
    /// written.
    pub(crate) fn packed(
        &self,
        fits: impl Fn(&Panels) -> bool,
        pack: impl FnOnce() -> Panels,
    ) -> Arc<Panels> {
        // Held while packing, so that two products at a time pack once. A list is whole after every push.
        let mut packed = self.storage.packed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = packed.iter().find(|known| fits(known)) {
            return Arc::clone(known);
        }
        let fresh = Arc::new(pack());
        packed.push(Arc::clone(&fresh));
        fresh
    }

    /// Whether no other array shares the storage, so that writing copies nothing.
    pub(crate) fn is_unique(&self) -> bool {
        Arc::strong_count(&self.storage) == 1
    }

    /// The same elements under another shape; shares the storage.
    ///
    /// # Panics
    /// When the number of elements differs.
    #[track_caller]
    pub fn reshape(&self, shape: &[usize]) -> Array {
        assert_eq!(
            self.len(),
            shape.iter().product::<usize>(),
            "cannot reshape {:?} to {shape:?}: the number of elements differs",
            self.shape
        );
        Array { storage: Arc::clone(&self.storage), shape: shape.to_vec() }
    }

    /// The only element.
    ///
    /// # Panics
    /// When there is not exactly one.
    #[track_caller]
    pub fn item(&self) -> f32 {
        assert_eq!(self.len(), 1, "item of an array of shape {:?}", self.shape);
        self.data()[0]
    }

    /// The Euclidean norm of every row of the array seen as a matrix, summed in double precision.
    pub fn row_norms(&self) -> Array {
        let width = self.width();
        let mut norms = Array::stale(&[self.height()]);
        par::chunks_mut(norms.data_mut(), par::block_rows(width), |start, norms| {
            for (at, norm) in norms.iter_mut().enumerate() {
                let row = (start + at) * width..(start + at + 1) * width;
                *norm = reduce::sum_squares(&self.data()[row]).sqrt() as f32;
            }
        });
        norms
    }

    /// Whether no element is infinite or NaN.
    pub fn is_finite(&self) -> bool {
        if let Some(device) = device::near([self]) {
            return device.is_finite(self);
        }
        par::all(self.data(), par::GRAIN, elementwise::all_finite)
    }

    /// Whether both arrays share one storage.
    pub fn same_storage(&self, other: &Array) -> bool {
        Arc::ptr_eq(&self.storage, &other.storage)
    }
}

impl fmt::Debug for Array {
    /// The shape and the first elements; whole arrays are too long to print.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        let shown = &self.data()[..self.len().min(SHOWN)];
        write!(f, "Array{:?}{:?}{}", self.shape, shown, if self.len() > SHOWN { ".." } else { "" })
    }
}

impl PartialEq for Array {
    /// Same shape and equal elements; NaN differs from itself.
    fn eq(&self, other: &Array) -> bool {
        self.shape == other.shape && self.data() == other.data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_copies_shared_storage() {
        let a = Array::from_vec(vec![1.0, 2.0, 3.0, 4.0], &[2, 2]);
        let mut b = a.reshape(&[4]);
        assert!(a.same_storage(&b));
        b.data_mut()[0] = 9.0;
        assert!(!a.same_storage(&b));
        assert_eq!((a.data()[0], b.data()[0]), (1.0, 9.0));
    }

    #[test]
    fn dimensions() {
        let a = Array::zeros(&[2, 3, 4]);
        assert_eq!((a.len(), a.width(), a.height()), (24, 4, 6));
        let s = Array::scalar(2.5);
        assert_eq!((s.len(), s.width(), s.height(), s.item()), (1, 1, 1, 2.5));
        let e = Array::zeros(&[0, 5]);
        assert!(e.is_empty() && e.is_finite() && e.width() == 5 && e.height() == 0);
        assert!(!Array::from_vec(vec![0.0, f32::NAN], &[2]).is_finite());
        assert!(!Array::from_vec(vec![0.0, f32::NEG_INFINITY], &[2]).is_finite());
    }
}
