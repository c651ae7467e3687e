package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// LockedError is ErrLocked with who has the file open.
type LockedError struct {
	Path string
	PID  int // 0: not known
}

// Error names the process.
func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("%s is in use by another process", e.Path)
	}
	return fmt.Sprintf("%s is in use by process %d", e.Path, e.PID)
}

// Is makes errors.Is(err, ErrLocked) true.
func (e *LockedError) Is(target error) bool { return target == ErrLocked }

// pidFile is PATH.pid: it names the process that writes the store, and is
// locked as long as that lives, so that only one looks at a file that may be
// broken.
type pidFile struct{ f *os.File }

// pidPath is where the number of the writing process is.
func pidPath(path string) string { return path + ".pid" }

const lockPoll = 20 * time.Millisecond

// lockPID takes the lock and writes our number.
func lockPID(path string, timeout time.Duration) (*pidFile, error) {
	deadline := time.Now().Add(timeout)
	for {
		p, err := tryPID(path)
		if err == nil || !errors.Is(err, ErrLocked) {
			return p, err
		}
		if time.Now().After(deadline) {
			return nil, err
		}
		time.Sleep(lockPoll)
	}
}

// tryPID takes the lock or fails at once. Whoever had it may have removed the
// file meanwhile, so it must still be the one at its path.
func tryPID(path string) (*pidFile, error) {
	f, err := os.OpenFile(pidPath(path), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if err := tryLock(f, true); err != nil {
		pid := readPID(f)
		f.Close()
		return nil, &LockedError{path, pid}
	}
	if now, err := os.Stat(pidPath(path)); err != nil || !same(f, now) { // its owner has just removed it
		f.Close()
		return nil, &LockedError{path, 0}
	}
	p := &pidFile{f}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if errors.Is(err, syscall.ENOSPC) { // the lock holds without the number
		err = nil
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write %s: %w", pidPath(path), err), p.release())
	}
	return p, nil
}

// same reports whether an open file is the one that info is about.
func same(f *os.File, info os.FileInfo) bool {
	own, err := f.Stat()
	return err == nil && os.SameFile(own, info)
}

// readPID returns the number in a pid file, 0 when there is none or nobody lives
// under it any more.
func readPID(f *os.File) int {
	text, err := io.ReadAll(io.NewSectionReader(f, 0, 32))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 0 || !alive(pid) {
		return 0
	}
	return pid
}

// alive reports whether a process may exist.
func alive(pid int) bool {
	if runtime.GOOS == "windows" {
		return true
	}
	p, err := os.FindProcess(pid)
	return err == nil && !errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone)
}

// release removes the file and the lock.
func (p *pidFile) release() error {
	_ = os.Remove(p.f.Name()) // where an open file cannot be removed it stays, unlocked
	return p.f.Close()
}

// owned reports whether a process has the store open for writing, and which.
func owned(path string) (pid int, ok bool) {
	f, err := os.Open(pidPath(path))
	if err != nil {
		return 0, false
	}
	defer f.Close()
	if tryLock(f, false) == nil {
		return 0, false
	}
	return readPID(f), true
}
