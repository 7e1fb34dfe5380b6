//! A disk for tests: a SQLite VFS that records every operation in order, and fails when it is told to.
//!
//! It stands in front of SQLite's own `unix` VFS: files, locks and shared memory are real. A sync is recorded and not done,
//! as a power cut is replayed from the recording ([`super::power_cut`]) and none is waited for.
#![expect(unsafe_code, reason = "SQLite takes its file system as a table of C functions")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::ffi;

/// What SQLite did to a file. Files are numbered in the order of their first use.
#[derive(Debug, Clone)]
pub enum Operation {
    /// The file was made: its name is not on the disk before the folder is synced.
    Create {
        /// The file's number.
        file: usize,
    },
    /// Bytes were written.
    Write {
        /// The file's number.
        file: usize,
        /// Where.
        offset: u64,
        /// What.
        bytes: Box<[u8]>,
    },
    /// The file was cut or lengthened.
    Truncate {
        /// The file's number.
        file: usize,
        /// To this many bytes.
        bytes: u64,
    },
    /// What was written to the file before is on the disk now; after a failed sync it is there never.
    Sync {
        /// The file's number.
        file: usize,
        /// The names in its folder are on the disk too.
        with_folder: bool,
        /// It was told to fail.
        failed: bool,
    },
    /// The file was deleted.
    Delete {
        /// The file's number.
        file: usize,
        /// The folder was synced after it.
        with_folder: bool,
    },
}

/// What the disk is to do wrong, once it has done so many more of the kind well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Every sync fails.
    Sync,
    /// Every sync of the database itself fails, as a checkpoint does it.
    DatabaseSync,
    /// Every write finds the disk full.
    Full,
    /// Every write fails.
    Write,
}

#[derive(Default)]
struct State {
    files: Vec<PathBuf>,
    operations: Vec<Operation>,
    fault: Option<(Fault, u64)>,
}

impl State {
    fn file(&mut self, path: &Path) -> usize {
        self.files.iter().position(|known| known == path).unwrap_or_else(|| {
            self.files.push(path.to_owned());
            self.files.len() - 1
        })
    }

    /// Whether an operation of one of these kinds is to fail now, and how.
    fn fails(&mut self, kinds: &[Fault]) -> Option<Fault> {
        let (fault, left) = self.fault.as_mut()?;
        if !kinds.contains(fault) {
            return None;
        }
        if *left > 0 {
            *left -= 1;
            return None;
        }
        Some(*fault)
    }
}

/// The VFS under its name. It stays registered for the rest of the process.
pub struct Disk {
    name: CString,
    unix: *mut ffi::sqlite3_vfs,
    state: Mutex<State>,
}

// SAFETY: `unix` points to a static of SQLite that its own threads share; everything else is behind the mutex.
unsafe impl Send for Disk {}
// SAFETY: as above.
unsafe impl Sync for Disk {}

static DISKS: Mutex<Vec<&'static Disk>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Disk {
    /// A new one, registered with SQLite.
    pub fn register() -> &'static Self {
        let mut disks = lock(&DISKS);
        let name = CString::new(format!("tessera-test-disk-{}", disks.len())).expect("it holds no NUL");
        // SAFETY: the name is a C string, and the answer a static of SQLite.
        let unix = unsafe { ffi::sqlite3_vfs_find(c"unix".as_ptr()) };
        assert!(!unix.is_null(), "this system's SQLite has the unix VFS");
        let disk: &'static Self = Box::leak(Box::new(Self { name, unix, state: Mutex::default() }));
        // SAFETY: `unix` is a valid VFS; its functions that are copied make no use of the VFS they are given, except for those
        // that are replaced. The copy lives for ever.
        let registered = unsafe {
            let mut vfs = *unix;
            vfs.pNext = ptr::null_mut();
            vfs.zName = disk.name.as_ptr();
            vfs.pAppData = ptr::from_ref(disk).cast_mut().cast();
            vfs.szOsFile += size_of::<File>() as c_int;
            vfs.xOpen = Some(open);
            vfs.xDelete = Some(delete);
            ffi::sqlite3_vfs_register(Box::leak(Box::new(vfs)), 0)
        };
        assert_eq!(registered, ffi::SQLITE_OK, "SQLite takes the VFS");
        disks.push(disk);
        disk
    }

    /// The name for [`Config::vfs`](crate::Config::vfs).
    pub fn name(&self) -> String {
        self.name.to_string_lossy().into_owned()
    }

    /// From now on `fault`, after `well` more operations of its kind that go well.
    pub fn fail(&self, fault: Fault, well: u64) {
        lock(&self.state).fault = Some((fault, well));
    }

    /// All is well again.
    pub fn heal(&self) {
        lock(&self.state).fault = None;
    }

    /// How many operations were recorded.
    pub fn position(&self) -> usize {
        lock(&self.state).operations.len()
    }

    /// The paths of the files, by their numbers, and the operations so far, which are recorded from the start again.
    pub fn take(&self) -> (Vec<PathBuf>, Vec<Operation>) {
        let state = &mut *lock(&self.state);
        (state.files.clone(), std::mem::take(&mut state.operations))
    }

    /// What `seen` makes of the operations so far.
    pub fn look<T>(&self, seen: impl FnOnce(&[PathBuf], &[Operation]) -> T) -> T {
        let state = lock(&self.state);
        seen(&state.files, &state.operations)
    }
}

fn named(vfs: Option<&str>) -> Option<&'static Disk> {
    let name = vfs?;
    lock(&DISKS).iter().find(|disk| disk.name.to_bytes() == name.as_bytes()).copied()
}

/// Records what the store wrote without SQLite.
pub(crate) fn wrote_beside(vfs: Option<&str>, path: &Path, offset: u64, bytes: &[u8]) {
    if let Some(disk) = named(vfs) {
        let mut state = lock(&disk.state);
        let file = state.file(path);
        state.operations.push(Operation::Write { file, offset, bytes: bytes.into() });
    }
}

/// Records what the store synced without SQLite.
pub(crate) fn synced_beside(vfs: Option<&str>, path: &Path) {
    if let Some(disk) = named(vfs) {
        let mut state = lock(&disk.state);
        let file = state.file(path);
        state.operations.push(Operation::Sync { file, with_folder: false, failed: false });
    }
}

/// What SQLite holds for an open file; the `unix` VFS's own follows it in memory.
#[repr(C)]
struct File {
    base: ffi::sqlite3_file,
    disk: *const Disk,
    /// The file's number; temporary files have none and are not recorded.
    number: Option<usize>,
    /// The first sync puts the file's name on the disk too.
    is_new: bool,
}

/// The parts of an open file.
///
/// # Safety
/// `file` was opened by [`open`] and is not closed yet; SQLite uses it from one thread at a time.
unsafe fn parts<'a>(file: *mut ffi::sqlite3_file) -> (&'a mut File, *mut ffi::sqlite3_file, &'a Disk) {
    // SAFETY: `open` has filled a `File` here, and the VFS asked for room for the real file behind it.
    unsafe {
        let own = &mut *file.cast::<File>();
        let real = file.cast::<File>().add(1).cast();
        let disk = &*own.disk;
        (own, real, disk)
    }
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite calls with the VFS that was registered, a name that is a C string or null, and `szOsFile` bytes at `file`.
    unsafe {
        let disk = &*(*vfs).pAppData.cast::<Disk>();
        let path = (!name.is_null()).then(|| path_of(name));
        let mut state = lock(&disk.state);
        let is_new = flags & ffi::SQLITE_OPEN_CREATE != 0 && path.as_ref().is_some_and(|path| !path.exists());
        let number = path.map(|path| state.file(&path));
        // Before its fields are there, no method may be called on it.
        file.cast::<File>().write(File { base: ffi::sqlite3_file { pMethods: ptr::null() }, disk, number, is_new: false });
        let real: *mut ffi::sqlite3_file = file.cast::<File>().add(1).cast();
        (*real).pMethods = ptr::null();
        let Some(real_open) = (*disk.unix).xOpen else { return ffi::SQLITE_ERROR };
        let opened = real_open(disk.unix, name, real, flags, out_flags);
        if opened != ffi::SQLITE_OK {
            return opened;
        }
        (*file).pMethods = &METHODS;
        if let Some(file_number) = number
            && is_new
        {
            // As the unix VFS has it: journals and logs are synced with their folder, databases are not.
            (*file.cast::<File>()).is_new = flags & (ffi::SQLITE_OPEN_WAL | ffi::SQLITE_OPEN_MAIN_JOURNAL) != 0;
            state.operations.push(Operation::Create { file: file_number });
        }
        ffi::SQLITE_OK
    }
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync_folder: c_int) -> c_int {
    // SAFETY: as for `open`.
    unsafe {
        let disk = &*(*vfs).pAppData.cast::<Disk>();
        let mut state = lock(&disk.state);
        let Some(real_delete) = (*disk.unix).xDelete else { return ffi::SQLITE_ERROR };
        let deleted = real_delete(disk.unix, name, 0);
        if deleted == ffi::SQLITE_OK {
            let file = state.file(&path_of(name));
            state.operations.push(Operation::Delete { file, with_folder: sync_folder != 0 });
        }
        deleted
    }
}

/// # Safety
/// `name` is a C string.
unsafe fn path_of(name: *const c_char) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    // SAFETY: the caller's promise.
    PathBuf::from(std::ffi::OsStr::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes()))
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, bytes: *const c_void, length: c_int, offset: i64) -> c_int {
    // SAFETY: SQLite hands over an open file and `length` bytes.
    unsafe {
        let (own, real, disk) = parts(file);
        let mut state = lock(&disk.state);
        match state.fails(&[Fault::Full, Fault::Write]) {
            Some(Fault::Full) => return ffi::SQLITE_FULL,
            Some(_) => return ffi::SQLITE_IOERR_WRITE,
            None => {}
        }
        let Some(real_write) = (*(*real).pMethods).xWrite else { return ffi::SQLITE_IOERR };
        let written = real_write(real, bytes, length, offset);
        if let (ffi::SQLITE_OK, Some(file)) = (written, own.number) {
            let bytes = std::slice::from_raw_parts(bytes.cast::<u8>(), length as usize);
            state.operations.push(Operation::Write { file, offset: offset as u64, bytes: bytes.into() });
        }
        written
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, bytes: i64) -> c_int {
    // SAFETY: SQLite hands over an open file.
    unsafe {
        let (own, real, disk) = parts(file);
        let mut state = lock(&disk.state);
        let Some(real_truncate) = (*(*real).pMethods).xTruncate else { return ffi::SQLITE_IOERR };
        let cut = real_truncate(real, bytes);
        if let (ffi::SQLITE_OK, Some(file)) = (cut, own.number) {
            state.operations.push(Operation::Truncate { file, bytes: bytes as u64 });
        }
        cut
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    // SAFETY: SQLite hands over an open file.
    unsafe {
        let (own, _, disk) = parts(file);
        let mut state = lock(&disk.state);
        let of_database = own.number.is_some_and(|file| state.files[file].extension().is_some_and(|end| end == "db"));
        let kinds: &[Fault] = if of_database { &[Fault::Sync, Fault::DatabaseSync] } else { &[Fault::Sync] };
        let failed = state.fails(kinds).is_some();
        if let Some(file) = own.number {
            let with_folder = !failed && std::mem::take(&mut own.is_new);
            state.operations.push(Operation::Sync { file, with_folder, failed });
        }
        if failed { ffi::SQLITE_IOERR_FSYNC } else { ffi::SQLITE_OK }
    }
}

/// Functions that only call those of the file behind.
macro_rules! passed_on {
    ($($name:ident = $method:ident($($argument:ident: $kind:ty),*) -> $answer:ty, $otherwise:expr;)*) => {
        $(unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file $(, $argument: $kind)*) -> $answer {
            // SAFETY: SQLite hands over an open file, whose real one has methods of its own.
            unsafe {
                let (_, real, _) = parts(file);
                match (*(*real).pMethods).$method {
                    Some(method) => method(real $(, $argument)*),
                    None => $otherwise,
                }
            }
        })*
    };
}

passed_on! {
    close = xClose() -> c_int, ffi::SQLITE_OK;
    read = xRead(bytes: *mut c_void, length: c_int, offset: i64) -> c_int, ffi::SQLITE_IOERR;
    file_size = xFileSize(bytes: *mut i64) -> c_int, ffi::SQLITE_IOERR;
    take_lock = xLock(level: c_int) -> c_int, ffi::SQLITE_IOERR;
    drop_lock = xUnlock(level: c_int) -> c_int, ffi::SQLITE_IOERR;
    is_reserved = xCheckReservedLock(answer: *mut c_int) -> c_int, ffi::SQLITE_IOERR;
    control = xFileControl(operation: c_int, argument: *mut c_void) -> c_int, ffi::SQLITE_NOTFOUND;
    sector_size = xSectorSize() -> c_int, 0;
    characteristics = xDeviceCharacteristics() -> c_int, 0;
    shm_map = xShmMap(page: c_int, bytes: c_int, extend: c_int, at: *mut *mut c_void) -> c_int, ffi::SQLITE_IOERR;
    shm_lock = xShmLock(offset: c_int, count: c_int, flags: c_int) -> c_int, ffi::SQLITE_IOERR;
    shm_barrier = xShmBarrier() -> (), ();
    shm_unmap = xShmUnmap(delete: c_int) -> c_int, ffi::SQLITE_OK;
}

/// Version 2: with shared memory, without memory-mapped reads.
static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(take_lock),
    xUnlock: Some(drop_lock),
    xCheckReservedLock: Some(is_reserved),
    xFileControl: Some(control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};
