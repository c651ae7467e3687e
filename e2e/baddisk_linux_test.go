//go:build amd64 || arm64

package e2e_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"freeway/internal/baddisk"
)

// disk is what a server has its store on.
type disk struct {
	store string          // path, as the server names it
	fill  func(full bool) // lets there be no room, or room again
}

// TestThreat68FullDisk: on a full disk the gateway goes on from memory, what only
// the store would remember is refused, and it says so; with room it recovers by
// itself and everything is saved.
func TestThreat68FullDisk(t *testing.T) {
	t.Parallel()
	s, d := onSmallDisk(t)
	s.live(t, 3)
	s.mustAdd(t, deadList(0, 100))
	d.fill(true)
	s.mustBeReadOnly(t, "no space left on device")
	for range 5 {
		s.worksOn(t)
	}
	d.fill(false)
	s.mustRecover(t)
}

// TestThreat67FailedSync: after a sync that failed nothing is tried again on the
// same file; the gateway goes on from memory, says so, and recovers in a new file.
func TestThreat67FailedSync(t *testing.T) {
	t.Parallel()
	l, text := smallLab(t, 3)
	s := &small{prepare(t, "gateway: {listen: GATEWAY}\n"+text), l}
	var broken atomic.Bool
	s.onBadDisk(t, baddisk.Sync, func(c baddisk.Call) syscall.Errno {
		if broken.Load() && strings.HasPrefix(c.Path, s.dir+"/freeway.db") {
			return syscall.EIO
		}
		return 0
	})
	s.live(t, 3)
	s.mustAdd(t, deadList(0, 100))
	before := inode(t, s.dir+"/freeway.db")
	broken.Store(true)
	s.mustBeReadOnly(t, "input/output error")
	for range 5 {
		s.worksOn(t)
	}
	if inode(t, s.dir+"/freeway.db") != before {
		t.Error("the file was replaced on a disk that cannot sync")
	}
	broken.Store(false)
	s.mustRecover(t)
	if inode(t, s.dir+"/freeway.db") == before {
		t.Error("it went on in the file whose sync failed")
	}
}

// TestThreat71SlowDisk: while a sync of the store does not return, requests and
// tunnels go through; nothing on their way waits for the disk.
func TestThreat71SlowDisk(t *testing.T) {
	t.Parallel()
	l, text := smallLab(t, 3)
	s := &small{prepare(t, "gateway: {listen: GATEWAY}\n"+text), l}
	var slow atomic.Bool
	held, release := make(chan struct{}, 1000), make(chan struct{})
	s.onBadDisk(t, baddisk.Sync, func(c baddisk.Call) syscall.Errno {
		if slow.Load() && strings.HasPrefix(c.Path, s.dir+"/freeway.db") {
			held <- struct{}{}
			<-release
		}
		return 0
	})
	defer close(release)
	s.live(t, 3)
	slow.Store(true)
	added := make(chan int, 1)
	go func() {
		status, _ := s.add(t, deadList(0, 100))
		added <- status
	}()
	<-held // the addition, or what was learnt, waits for the disk now
	for range 10 {
		for _, tunnel := range []bool{false, true} {
			if err := s.short(tunnel); err != nil {
				t.Errorf("a request on a disk that does not return: %v", err)
			}
		}
	}
	if line := s.storeLine(t); line == "" {
		t.Error("/readyz waits for the disk")
	}
	select {
	case status := <-added:
		t.Errorf("an addition was answered with %d before it was on disk", status)
	default:
	}
	slow.Store(false)
	for len(added) == 0 {
		select {
		case release <- struct{}{}:
		case status := <-added:
			if status != http.StatusOK {
				t.Errorf("POST /api/proxies = %d after the disk returned", status)
			}
			return
		}
	}
}

// inode tells files at one path apart.
func inode(t *testing.T, path string) uint64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Ino
}

// onBadDisk starts the server so that judge decides about its calls.
func (s *server) onBadDisk(t *testing.T, kinds baddisk.Kind, judge func(baddisk.Call) syscall.Errno) {
	t.Helper()
	p := &process{name: "freeway", cmd: exec.Command(binary, "serve", "--config", s.dir+"/freeway.yaml"), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	var d *baddisk.Disk
	t.Cleanup(func() { d.Wait() }) // after the one that ends the process
	p.runWith(t, func() (err error) {
		d, err = baddisk.Start(p.cmd, kinds, judge)
		return err
	})
	s.process = p
	s.waitUp(t)
}

// onSmallDisk starts a lab and a server with its store on a disk of four MiB of
// its own; where this system lets nobody mount one, on one that refuses writes.
func onSmallDisk(t *testing.T) (*small, *disk) {
	t.Helper()
	l, text := smallLab(t, 3)
	s := &small{prepare(t, "gateway: {listen: GATEWAY}\n"+text), l}
	args := []string{"-m"}
	if os.Getuid() != 0 {
		args = []string{"-rm"}
	}
	if err := exec.Command("unshare", append(args, "mount", "-t", "tmpfs", "none", s.dir)...).Run(); err != nil {
		t.Logf("no disk of its own: %v", err)
		return s, refusing(t, s.server)
	}
	mnt := s.dir + "/disk"
	if err := os.Mkdir(mnt, 0o700); err != nil {
		t.Fatal(err)
	}
	s.process = start(t, "unshare", append(args, "sh", "-c", `mount -t tmpfs -o size=4m none "$1" && exec "$2" serve --config "$3" --store.path "$1/freeway.db"`,
		"sh", mnt, binary, s.dir+"/freeway.yaml")...)
	s.waitUp(t)
	return s, &disk{mnt + "/freeway.db", func(full bool) {
		name := filepath.Join(fmt.Sprintf("/proc/%d/root", s.cmd.Process.Pid), mnt, "filler")
		if !full {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
			return
		}
		if err := os.WriteFile(name, make([]byte, 8<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("fill the disk: %v", err)
		}
	}}
}

// refusing starts the server so that writes to its store can be refused.
func refusing(t *testing.T, s *server) *disk {
	t.Helper()
	var full atomic.Bool
	s.onBadDisk(t, baddisk.Write, func(c baddisk.Call) syscall.Errno {
		if full.Load() && strings.HasPrefix(c.Path, s.dir+"/freeway.db") {
			return syscall.ENOSPC
		}
		return 0
	})
	return &disk{s.dir + "/freeway.db", full.Store}
}

// mustBeReadOnly adds until a write fails, and checks what the server says then.
func (s *small) mustBeReadOnly(t *testing.T, why string) {
	t.Helper()
	round := 0
	eventually(t, "an addition is refused", func() bool {
		round++
		status, body := s.add(t, deadList(1000+round*1000, 1000))
		if status != http.StatusOK && (status != http.StatusInsufficientStorage || !strings.Contains(body, "store")) {
			t.Fatalf("POST /api/proxies = %d %s, want 507", status, body)
		}
		return status == http.StatusInsufficientStorage
	})
	if n := s.metric(t, "freeway_store_read_only"); n != 1 {
		t.Errorf("freeway_store_read_only = %v, want 1", n)
	}
	if line := s.storeLine(t); !strings.Contains(line, "ALARM: read-only since ") || !strings.Contains(line, why) {
		t.Errorf("/readyz?verbose says %q, want the alarm and %q", line, why)
	}
	if status, _ := s.get(t, "/readyz"); status != http.StatusOK {
		t.Errorf("/readyz = %d, want 200: the gateway goes on", status)
	}
	if log := s.out.String(); !strings.Contains(log, "a write to the store failed; it is read-only now") {
		t.Errorf("the log says %s", tail(log, 2000))
	}
}

// worksOn makes a request and a tunnel, and changes that must be refused.
func (s *small) worksOn(t *testing.T) {
	t.Helper()
	for _, tunnel := range []bool{false, true} {
		if err := s.short(tunnel); err != nil {
			t.Errorf("a request on a disk that cannot be written: %v", err)
		}
	}
	req, err := http.NewRequest(http.MethodPatch, "http://"+s.admin+"/api/sources/mine", strings.NewReader(`{"enabled":true}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusInsufficientStorage {
		t.Errorf("PATCH /api/sources/mine = %d, want 507", resp.StatusCode)
	}
}

// mustRecover waits until the store is written again, and looks into a copy.
func (s *small) mustRecover(t *testing.T) {
	t.Helper()
	eventually(t, "the store is written again", func() bool {
		status, _ := s.add(t, "socks5://127.10.0.1:1")
		return status == http.StatusOK
	})
	eventually(t, "the alarm is off", func() bool { return s.metric(t, "freeway_store_read_only") == 0 })
	if line := s.storeLine(t); strings.Contains(line, "ALARM") {
		t.Errorf("/readyz?verbose says %q", line)
	}
	if !strings.Contains(s.out.String(), "the store was opened again and is whole") {
		t.Error("the log does not say that it was opened again")
	}
	s.mustFreeway(t, "store", "check", "--server", "http://"+s.admin)
	file := t.TempDir() + "/after.db"
	s.mustFreeway(t, "store", "backup", "--server", "http://"+s.admin, file)
	want := s.urls(t)
	s.mustHold(t, file, want, want, false)
	s.signal(syscall.SIGTERM)
	if code := s.exitCode(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
