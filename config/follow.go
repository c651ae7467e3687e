package config

import (
	"maps"
	"path/filepath"
	"slices"

	"github.com/fsnotify/fsnotify"
)

// follower knows what the further files of a Watch held at its last look, and
// keeps the folders of all files watched.
type follower struct {
	path    string
	more    func() []string
	watcher *fsnotify.Watcher // nil: the system cannot watch
	seen    map[string]string // name -> fingerprint
	watched map[string]bool   // folders
}

// newFollower has looked at nothing yet.
func newFollower(path string, opt WatchOptions) *follower {
	f := &follower{path: path, more: opt.More, seen: map[string]string{}, watched: map[string]bool{}}
	if f.more == nil {
		f.more = func() []string { return nil }
	}
	return f
}

// look returns the files that differ from the last look. One that is new in the
// list is no difference: whoever named it has read it.
func (f *follower) look() (moved []string) {
	names := f.more()
	f.watch(names)
	now := map[string]string{}
	for _, name := range names {
		print := Fingerprint(name)
		if before, known := f.seen[name]; known && before != print && !slices.Contains(moved, name) {
			moved = append(moved, name)
		}
		now[name] = print
	}
	f.seen = now
	return moved
}

// watch makes the watched folders those of the files. One that cannot be watched,
// as it is not there, is tried again at the next look.
func (f *follower) watch(names []string) {
	if f.watcher == nil {
		return
	}
	want := map[string]bool{}
	for _, name := range names {
		want[filepath.Dir(name)] = true
	}
	if f.path != "" {
		want[filepath.Dir(f.path)] = true
	}
	for dir := range maps.Keys(f.watched) {
		if !want[dir] {
			f.watcher.Remove(dir) //nolint:errcheck // a folder that is gone is not watched any more
			delete(f.watched, dir)
		}
	}
	for dir := range want {
		if f.watcher.Add(dir) == nil { // again: a folder that was replaced has to be watched anew
			f.watched[dir] = true
		}
	}
}
