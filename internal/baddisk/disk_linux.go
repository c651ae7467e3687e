//go:build amd64 || arm64

package baddisk

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Kind is what a call does to a file.
type Kind int

// The kinds. A set of them is their sum.
const (
	Write    Kind = 1 << iota // write or pwrite64, Data at Offset; -1: where the file stands
	Truncate                  // ftruncate, to Offset bytes
	Sync                      // fdatasync or fsync
	Open                      // openat that makes or empties a file, Flags
	Rename                    // renameat, to To
	Remove                    // unlinkat
	Link                      // linkat, to To
	Copying                   // copy_file_range, sendfile or splice; a test that wants to see all writes refuses it with ENOSYS

	Everything = 1<<iota - 1
)

// Call is a call that a program is about to make.
type Call struct {
	Kind   Kind
	Path   string // of the file, as the kernel or the program names it
	To     string
	Offset int64
	Flags  int
	Data   []byte
}

// Disk is what a program runs on.
type Disk struct {
	judge    func(Call) syscall.Errno
	listener int
	calls    sync.WaitGroup
	ended    chan struct{}
}

// kinds are the system calls by number.
var kinds = map[int32]Kind{unix.SYS_WRITE: Write, unix.SYS_PWRITE64: Write, unix.SYS_FTRUNCATE: Truncate, unix.SYS_FSYNC: Sync, unix.SYS_FDATASYNC: Sync,
	unix.SYS_OPENAT: Open, unix.SYS_RENAMEAT: Rename, unix.SYS_RENAMEAT2: Rename, unix.SYS_UNLINKAT: Remove, unix.SYS_LINKAT: Link,
	unix.SYS_COPY_FILE_RANGE: Copying, unix.SYS_SENDFILE: Copying, unix.SYS_SPLICE: Copying}

const env = "FREEWAY_BADDISK"

// Start starts cmd, whose calls of these kinds judge decides: it returns 0 for
// what the kernel should do, else the error that the program gets. It is called
// from several goroutines and may take its time. TestMain of the calling
// package must begin with Launch. Wait for the Disk after cmd has ended.
func Start(cmd *exec.Cmd, which Kind, judge func(Call) syscall.Errno) (*Disk, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	defer ours.Close()
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d %d %s", env, 3+len(cmd.ExtraFiles), which, cmd.Path))
	cmd.ExtraFiles = append(cmd.ExtraFiles, theirs)
	cmd.Path = exe
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return nil, err
	}
	d := &Disk{judge: judge, ended: make(chan struct{})}
	if d.listener, err = receive(pair[0]); err != nil {
		_ = cmd.Process.Kill()
		return nil, errors.Join(fmt.Errorf("the program could not be put on a bad disk: %w", err), cmd.Wait())
	}
	go d.serve()
	return d, nil
}

// Wait returns when the program has ended and judge has returned for the last time.
func (d *Disk) Wait() { <-d.ended }

// receive takes the descriptor that Launch sends.
func receive(sock int) (int, error) {
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(sock, make([]byte, 1), oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return 0, err
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(msgs) != 1 {
		return 0, errors.Join(errors.New("it sent nothing"), err)
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		return 0, errors.Join(errors.New("it sent no descriptor"), err)
	}
	return fds[0], nil
}

// notice is struct seccomp_notif, answer struct seccomp_notif_resp.
type notice struct {
	id         uint64
	pid, flags uint32
	nr         int32
	arch       uint32
	ip         uint64
	args       [6]uint64
}

type answer struct {
	id    uint64
	val   int64
	error int32
	flags uint32
}

// serve takes the calls until the program has ended.
func (d *Disk) serve() {
	defer close(d.ended)
	defer unix.Close(d.listener)
	defer d.calls.Wait()
	for {
		fds := []unix.PollFd{{Fd: int32(d.listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, int(time.Minute/time.Millisecond)); err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		if fds[0].Revents&unix.POLLIN == 0 {
			if fds[0].Revents != 0 {
				return
			}
			continue
		}
		n := notice{}
		if ioctl(d.listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)) == 0 {
			d.calls.Go(func() { d.answer(&n) })
		}
	}
}

// answer asks judge about one call.
func (d *Disk) answer(n *notice) {
	a := answer{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	if c, ok := n.call(); ok {
		if errno := d.judge(c); errno != 0 {
			a.error, a.flags = -int32(errno), 0
		}
	}
	ioctl(d.listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&a)) // it may have been killed meanwhile
}

func ioctl(fd int, what uintptr, arg unsafe.Pointer) syscall.Errno {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), what, uintptr(arg))
		if errno != unix.EINTR {
			return errno
		}
	}
}

// call reads what a call is about; ok is false when it is about no file.
func (n *notice) call() (c Call, ok bool) {
	c = Call{Kind: kinds[n.nr], Offset: -1}
	switch n.nr {
	case unix.SYS_OPENAT:
		c.Path, c.Flags = n.text(n.args[1]), int(n.args[2])
		return c, c.Flags&(unix.O_CREAT|unix.O_TRUNC) != 0
	case unix.SYS_UNLINKAT:
		c.Path = n.text(n.args[1])
		return c, true
	case unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_LINKAT:
		c.Path, c.To = n.text(n.args[1]), n.text(n.args[3])
		return c, true
	case unix.SYS_FTRUNCATE:
		c.Offset = int64(n.args[1])
	case unix.SYS_PWRITE64:
		c.Offset = int64(n.args[3])
	}
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", n.pid, n.args[0]))
	if err != nil {
		return c, false
	}
	if c.Path = path; c.Kind == Write {
		c.Data = n.memory(n.args[1], n.args[2])
	}
	return c, true
}

// memory reads the program's memory.
func (n *notice) memory(at, size uint64) []byte {
	b := make([]byte, size)
	got, err := unix.ProcessVMReadv(int(n.pid), []unix.Iovec{{Base: unsafe.SliceData(b), Len: size}}, []unix.RemoteIovec{{Base: uintptr(at), Len: int(size)}}, 0)
	if err != nil {
		return nil
	}
	return b[:got]
}

// text reads a string that ends with a zero, at most a page of it.
func (n *notice) text(at uint64) string {
	var b []byte
	for len(b) < 4096 {
		part := n.memory(at+uint64(len(b)), 64-(at+uint64(len(b)))%64) // within a page
		if part == nil {
			break
		}
		b = append(b, part...)
		if text, _, found := strings.Cut(string(b), "\x00"); found {
			return text
		}
	}
	return string(b)
}

// Launch becomes the program that Start is to start, if this process is the
// one that it made for that, and else does nothing. It returns only then or
// with an error, after which the process should end.
func Launch() error {
	text, ok := os.LookupEnv(env)
	if !ok {
		return nil
	}
	return launch(text)
}

func launch(text string) error {
	sock, rest, _ := strings.Cut(text, " ")
	set, path, _ := strings.Cut(rest, " ")
	fd, err1 := strconv.Atoi(sock)
	which, err2 := strconv.Atoi(set)
	if err := errors.Join(err1, err2, os.Unsetenv(env)); err != nil {
		return err
	}
	listener, err := install(Kind(which))
	if err != nil {
		return err
	}
	err = unix.Sendmsg(fd, []byte{0}, unix.UnixRights(listener), nil, 0)
	if err = errors.Join(err, unix.Close(fd), unix.Close(listener)); err != nil {
		return err
	}
	return unix.Exec(path, os.Args, os.Environ())
}
