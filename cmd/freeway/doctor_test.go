package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"freeway/proxy"
	"freeway/store"
)

// TestDoctorOnline: nothing is sent anywhere unless it is asked for, and then
// once to each host and nowhere else.
func TestDoctorOnline(t *testing.T) {
	t.Parallel()
	var asked, elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	t.Cleanup(other.Close)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1); r.Method != http.MethodHead || r.URL.String() != "/" || !strings.HasPrefix(r.UserAgent(), "freeway/") {
			t.Errorf("asked %s %s as %q, want HEAD / by our name", r.Method, r.URL, r.UserAgent())
		}
		http.Redirect(w, r, other.URL, http.StatusFound)
	}))
	t.Cleanup(srv.Close)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "freeway.yaml")
	text := "store: {path: " + dir + "/freeway.db}\ngateway: {listen: 127.0.0.1:0}\nadmin: {listen: 127.0.0.1:0}\nchecker: {judges: [\"" + srv.URL + "/judge?key=1\"]}\n" +
		"sources: {builtin: false, list: [{name: a, url: \"" + srv.URL + "/a\"}, {name: b, url: \"" + gone.URL + "/{page}\", pages: {from: 1, to: 9}}, {name: c, url: \"http://192.0.2.1/\", enabled: false}]}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{loopbackOnly: "1"}
	code, out, errs := command(t, env, "doctor", "--config", file)
	if code != 0 || asked.Load() != 0 || strings.Contains(out, "online") {
		t.Errorf("doctor = %d, asked %d times: %s%s", code, asked.Load(), out, errs)
	}
	code, out, errs = command(t, env, "doctor", "--online", "--config", file)
	if code != 0 || asked.Load() != 2 || elsewhere.Load() != 0 || !strings.Contains(out, "judges online   1 of 1 hosts answer\n") ||
		!strings.Contains(out, "sources online  1 of 2 hosts answer; not "+gone.URL+"/ (") {
		t.Errorf("doctor --online = %d, asked %d times, elsewhere %d: %s%s", code, asked.Load(), elsewhere.Load(), out, errs)
	}
	srv.Close()
	if code, out, _ = command(t, env, "doctor", "--online", "--config", file); code != 1 || strings.Count(out, "BAD") != 2 {
		t.Errorf("doctor --online with nobody there = %d: %s", code, out)
	}
}

// TestDoctorPermissions: a file with secrets that everybody can read is named
// with what to do.
func TestDoctorPermissions(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("skipped: there are no modes")
	}
	dir := t.TempDir()
	token, file := filepath.Join(dir, "token"), filepath.Join(dir, "freeway.yaml")
	for name, text := range map[string]string{token: "s3cret", file: "gateway: {listen: 127.0.0.1:0, users: [{name: bob, password: hunter2}]}\nadmin: {listen: 127.0.0.1:0, token_file: token}\nstore: {path: " + dir + "/x.db}\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		token, file os.FileMode
		code        int
		says        string
	}{
		{0o600, 0o600, 0, "no file with secrets"},
		{0o640, 0o440, 0, "no file with secrets"},
		{0o644, 0o600, 1, "chmod 600 " + token + "\n"},
		{0o602, 0o600, 1, "chmod 600 " + token + "\n"},
		{0o644, 0o644, 1, "chmod 600 " + file + " " + token + "\n"},
	} {
		for name, mode := range map[string]os.FileMode{token: tt.token, file: tt.file} {
			if err := os.Chmod(name, mode); err != nil {
				t.Fatal(err)
			}
		}
		if code, out, errs := command(t, nil, "doctor", "--config", file); code != tt.code || !strings.Contains(out, tt.says) {
			t.Errorf("token %v, configuration %v: %d, %s%s, want %d and %q", tt.token, tt.file, code, out, errs, tt.code, tt.says)
		}
	}
}

// TestDoctorClock: a store from the future, or a past before the table of
// places, says that the clock is wrong.
func TestDoctorClock(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name         string
		newest, made time.Time
		says         string
	}{
		{"right", now.Add(-time.Hour), now.AddDate(0, -1, 0), ""},
		{"a little off", now.Add(time.Minute), now, ""},
		{"no store", time.Time{}, now, ""},
		{"store from the future", now.Add(time.Hour), now, "2026-08-01 01:00:00, which is to come"},
		{"behind the table", time.Time{}, now.AddDate(0, 1, 0), "the clock is behind"},
	} {
		f := checkClock(now, tt.newest, tt.made)
		if f.bad != (tt.says != "") || !strings.Contains(f.says, tt.says) {
			t.Errorf("%s: %+v, want %q", tt.name, f, tt.says)
		}
	}
	path := filepath.Join(t.TempDir(), "freeway.db")
	st, err := store.Open(path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ep, err := proxy.Parse("http://9.9.9.9:80")
	if err != nil {
		t.Fatal(err)
	}
	r := proxy.Record{Endpoint: ep, FirstSeen: time.Now(), LastSeen: time.Now().AddDate(1, 0, 0)}
	if err := st.Save(context.Background(), proxy.Batch{Put: []proxy.Record{r}}); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"FREEWAY_STORE_PATH": path, "FREEWAY_GATEWAY_LISTEN": "127.0.0.1:0", "FREEWAY_ADMIN_LISTEN": "127.0.0.1:0"}
	if code, out, errs := command(t, env, "doctor"); code != 1 || !strings.Contains(out, "which is to come: set the clock") {
		t.Errorf("doctor over a store from the future = %d, %s%s", code, out, errs)
	}
}
