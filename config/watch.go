package config

import (
	"context"
	"crypto/sha256"
	"io"
	"os"
	"time"

	"github.com/fsnotify/fsnotify"
)

// WatchOptions tunes Watch. The zero value is right outside tests.
type WatchOptions struct {
	Settle time.Duration // how long the folder must be quiet before the file is read; 0: 200ms
	Poll   time.Duration // how often the file is read though nothing was seen; 0: 30s
	Since  string        // Fingerprint of what was loaded, taken before that; "": the contents when Watch begins

	// More names further files to follow, such as secrets and certificates; it is
	// asked at every look, as the configuration may name others by then. Moved is
	// told of those whose contents have become different, or that came or went,
	// on Watch's goroutine; it is called after changed. Both may be nil.
	More  func() []string
	Moved func(names []string)
}

// Watch calls changed whenever the contents of the file at path have become
// different from what they were before, until ctx ends, and returns nil then. A
// path of "" is no file; there may be others, see WatchOptions.More.
// A busy folder does not delay it for more than five times Settle.
// It watches the folder, not the file, so it sees editors that replace files
// and mounted configuration that changes by moving a symlink; where the
// system tells nothing (network mounts), it looks every Poll. A file that is
// missing for a while is no change. changed runs on Watch's goroutine.
func Watch(ctx context.Context, path string, opt WatchOptions, changed func()) error {
	if opt.Settle <= 0 {
		opt.Settle = 200 * time.Millisecond
	}
	if opt.Poll <= 0 {
		opt.Poll = 30 * time.Second
	}
	last := opt.Since
	if last == "" {
		last = Fingerprint(path)
	}
	var events <-chan fsnotify.Event // nil where the system cannot watch: then only the polls see anything
	var lost <-chan error
	f := newFollower(path, opt)
	if w, err := fsnotify.NewWatcher(); err == nil {
		defer w.Close()
		f.watcher, events, lost = w, w.Events, w.Errors
	}
	f.look()
	poll := time.NewTicker(opt.Poll)
	defer poll.Stop()
	settle := time.NewTimer(opt.Settle)
	defer settle.Stop()
	latest := time.Now().Add(5 * opt.Settle) // when it is read though the folder is never quiet; zero: nothing has happened
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-events:
			latest = postpone(settle, opt.Settle, latest)
			continue
		case <-lost: // more events than the system keeps
			latest = postpone(settle, opt.Settle, latest)
			continue
		case <-settle.C:
		case <-poll.C:
		}
		latest = time.Time{}
		if now := Fingerprint(path); now != "" && now != last {
			last = now
			changed()
		}
		if moved := f.look(); len(moved) > 0 && opt.Moved != nil {
			opt.Moved(moved)
		}
	}
}

// postpone puts the timer off after an event, never beyond latest, and returns
// latest, which begins with the first event.
func postpone(settle *time.Timer, by time.Duration, latest time.Time) time.Time {
	now := time.Now()
	if latest.IsZero() {
		latest = now.Add(5 * by)
	}
	settle.Reset(max(0, min(by, latest.Sub(now))))
	return latest
}

// Fingerprint is a hash of the file's contents, "" when it cannot be read, or is
// empty: then somebody is about to write it, and all defaults are hardly meant.
func Fingerprint(path string) string {
	if path == "" {
		return ""
	}
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	h := sha256.New()
	if n, err := io.Copy(h, io.LimitReader(f, maxFile+1)); err != nil || n == 0 {
		return ""
	}
	return string(h.Sum(nil))
}
